//! What all handles and tasks of a store have in common.

use crate::connection::{Connection, Connector};
use crate::error::{Failure, unavailable};
use crate::hints::Outbox;
use crate::known::{Entry, Known};
use crate::pool::Pool;
use crate::queue::Queue;
use crate::sql::Sql;
use crate::stats::{self, Counters};
use durable_session::SessionId;
use durable_session::env::SystemRandom;
use durable_session::store::{Durability, Incarnation, Opening, Salt, StoreError, StoreLimits};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio_postgres::types::Type;

/// 16 MiB for a message body and for the app state, 64 MiB and 65,536 operations for a commit.
pub(crate) const LIMITS: StoreLimits = StoreLimits::new(16 << 20, 16 << 20, 64 << 20, 1 << 16);

/// The numbers that one value of the sequence stands for.
const BLOCK: u64 = 64;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) connector: Connector,
    pub(crate) sql: Sql,
    pub(crate) queue: Queue,
    pub(crate) pool: Pool,
    pub(crate) outbox: Outbox,
    pub(crate) counters: Counters,
    pub(crate) opening: Opening,
    /// What was declared when the store was opened.
    pub(crate) durability: Durability,
    known: Mutex<Known>,
    numbers: Mutex<(Salt, Range<u64>)>,
    /// Sessions with a change whose outcome is not known, and which may still be under way.
    doubts: Mutex<HashMap<SessionId, u64>>,
    doubtful: AtomicBool,
    /// How many doubts there were, so that an old fence does not remove a new one.
    doubted: AtomicU64,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics while it holds one of these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(
        connector: Connector,
        sql: Sql,
        opening: Opening,
        durability: Durability,
        writers: usize,
    ) -> Self {
        Self {
            connector,
            sql,
            queue: Queue::new(writers),
            pool: Pool::new(4),
            outbox: Outbox::default(),
            counters: Counters::default(),
            opening,
            durability,
            known: Mutex::default(),
            numbers: Mutex::new((Salt::NONE, 0..0)),
            doubts: Mutex::default(),
            doubtful: AtomicBool::new(false),
            doubted: AtomicU64::new(0),
        }
    }

    /// Connects to a server that gives what the store has declared.
    pub(crate) async fn connect(&self) -> Result<Connection, StoreError> {
        let mut connection = self.connector.connect().await?;
        let found = connection.find_history(&self.sql).await;
        if found.map_err(Failure::nothing_changed)?.is_none() {
            return Err(unavailable("the tables of the store are no longer there"));
        }
        if connection.durability == Durability::Unsynced && self.durability != Durability::Unsynced
        {
            return Err(unavailable(
                "fsync or synchronous_commit was turned off after the store was opened",
            ));
        }
        Ok(connection)
    }

    pub(crate) fn known(&self, id: &SessionId, salt: Salt) -> Option<Entry> {
        lock(&self.known).get(id).filter(|entry| entry.salt == salt)
    }

    pub(crate) fn know(&self, id: &SessionId, entry: Entry) {
        lock(&self.known).put(id, entry);
    }

    /// The id of a session that was used not long ago.
    pub(crate) fn id_of(&self, number: u64) -> Option<SessionId> {
        lock(&self.known).id_of(number)
    }

    pub(crate) fn forget(&self, id: &SessionId) {
        lock(&self.known).forget(id);
    }

    /// A number for a new session, and its incarnation if none was given.
    pub(crate) async fn new_number(&self, connection: &Connection) -> Result<u64, Failure> {
        loop {
            {
                let mut numbers = lock(&self.numbers);
                // A history that lost commits can give the same block again.
                if numbers.0 == connection.salt
                    && let Some(number) = numbers.1.next()
                {
                    return Ok(number);
                }
            }
            let rows = connection.query(&self.sql.numbers, &[]).await?;
            let start: i64 = crate::connection::first(&rows)?.try_get(0)?;
            let start = start.unsigned_abs();
            *lock(&self.numbers) = (connection.salt, start..start + BLOCK);
        }
    }

    /// Notes that a change of these sessions may still be under way.
    pub(crate) fn doubt<'a>(&self, ids: impl IntoIterator<Item = &'a SessionId>) {
        let mut doubts = lock(&self.doubts);
        for id in ids {
            self.forget(id);
            doubts.insert(id.clone(), self.doubted.fetch_add(1, Ordering::Relaxed));
            stats::add(&self.counters.unknown_outcomes, 1);
        }
        self.doubtful.store(true, Ordering::Release);
    }

    pub(crate) fn doubt_of(&self, id: &SessionId) -> Option<u64> {
        if !self.doubtful.load(Ordering::Acquire) {
            return None;
        }
        lock(&self.doubts).get(id).copied()
    }

    /// Before anything is said about a session, waits for what may still change it.
    pub(crate) async fn settle(
        &self,
        connection: &Connection,
        id: &SessionId,
    ) -> Result<(), Failure> {
        let Some(doubt) = self.doubt_of(id) else { return Ok(()) };
        connection.query(&self.sql.fence, &[(&id.as_str(), Type::TEXT)]).await?;
        let mut doubts = lock(&self.doubts);
        if doubts.get(id) == Some(&doubt) {
            doubts.remove(id);
        }
        self.doubtful.store(!doubts.is_empty(), Ordering::Release);
        Ok(())
    }
}

pub(crate) fn draw_incarnation(id: &SessionId) -> Result<Incarnation, StoreError> {
    Incarnation::draw(&SystemRandom).map_err(|e| {
        unavailable("could not draw the new session's incarnation").in_session(id).with_source(e)
    })
}
