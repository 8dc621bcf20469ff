//! The store: sessions in the SQLite storage of one Durable Object.

pub(crate) mod commit;
pub(crate) mod find;
mod list;
mod read;

use crate::env::WorkerRandom;
use crate::sql::{MAX_INTEGER, Sql, SqlError};
use crate::{schema, takeover};
use async_trait::async_trait;
use durable_session::env::Random;
use durable_session::rows;
use durable_session::store::{
    Commit, CommitOutcome, DeleteIf, DeleteOutcome, Durability, ListPage, ListQuery, Loaded, Page, ReadQuery,
    Salvaged, SessionList, SessionStore, StoreError, StoreErrorKind, StoreLimits, TailBounds,
};
use durable_session::{InvalidSessionId, SessionId};
use find::Found;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use worker::Storage;

/// Keeps sessions in the SQLite storage of one Durable Object: one session (the object's own) or many.
///
/// # Guarantees
/// - An append of one message writes one row, which is what the platform bills.
/// - A commit is one transaction, begun and ended within the first poll of its future (S1). Success means what the
///   platform means by it: no reply leaves the object before the write is confirmed ([`Durability::Platform`]). The
///   *reply* is the acknowledgement, so answer requests from within the object.
/// - The class has to be SQLite-backed (`new_sqlite_classes`); otherwise every call fails, saying so.
/// - Tables are made by the first commit. Their names begin with `durable_session_`; the object's other tables and keys
///   are left alone.
///
/// One store per object: make it in the object's constructor and keep it.
pub struct DurableObjectStore {
    sql: Sql,
    /// A source of randomness that panicked has no part in what is stored, so the object outlives it where it can unwind.
    random: AssertUnwindSafe<Arc<dyn Random>>,
    /// The tables are known to be there.
    ready: AtomicBool,
    /// Whose state a former object may have left here.
    former: Option<SessionId>,
    /// It is known that there is nothing to take over.
    looked: AtomicBool,
}

impl DurableObjectStore {
    /// The platform limits a whole row to about 2 MB, differently by version: these limits are below all of them.
    pub const LIMITS: StoreLimits = StoreLimits {
        max_body_bytes: 1_950_000,
        max_app_bytes: 1_950_000,
        max_commit_bytes: 16 << 20,
        max_commit_ops: 1 << 16,
    };

    /// Over the storage of an object, with the runtime's randomness.
    pub fn new(storage: Storage) -> Self {
        Self::with_random(storage, Arc::new(WorkerRandom))
    }

    /// Over the storage of an object, with randomness that makes versions unique (S3).
    pub fn with_random(storage: Storage, random: Arc<dyn Random>) -> Self {
        let random = AssertUnwindSafe(random);
        Self {
            sql: Sql::new(storage),
            random,
            ready: AtomicBool::new(false),
            former: None,
            looked: AtomicBool::new(false),
        }
    }

    /// Takes over what a whole-state object in JavaScript left under the key `chatState`, as session `id`, before anything
    /// else is done in the object.
    ///
    /// It happens once per object, in one transaction. `chatState` stays as it is until the session is deleted, so that
    /// rolling back to the former class shows the old conversation rather than none. A session that exists, or once was
    /// taken over, is left alone.
    ///
    /// If `chatState` is not a session's state, or holds more than [`LIMITS`](Self::LIMITS) allow for one message or for the
    /// app state, every operation on the session fails, [`Corrupt`](StoreErrorKind::Corrupt) or
    /// [`TooLarge`](StoreErrorKind::TooLarge), and nothing is changed.
    pub fn succeeding(self, id: SessionId) -> Self {
        Self { former: Some(id), ..self }
    }

    /// How many rows this store has written since it was made, indexes included: what the platform bills.
    pub fn rows_written(&self) -> u64 {
        self.sql.rows_written()
    }

    /// Whether the object holds no session.
    ///
    /// # Errors
    /// As the platform fails.
    pub fn is_empty(&self) -> Result<bool, StoreError> {
        if !self.has_tables()? {
            return Ok(true);
        }
        let what = "could not look for sessions";
        let row = self.sql.first("SELECT 1 FROM durable_session_numbers LIMIT 1", Vec::new());
        Ok(row.map_err(|e| e.into_store(what))?.is_none())
    }

    /// Waits until the platform has confirmed everything written so far.
    pub(crate) async fn confirmed(&self) -> worker::Result<()> {
        self.sql.confirmed().await
    }

    /// Empties the object's storage if it holds no session and nothing of anybody else; answers whether it did.
    ///
    /// An object that was emptied costs nothing and ceases to exist. The object's alarm goes too.
    ///
    /// # Errors
    /// As the platform fails; the next call tries again.
    pub async fn purge_if_empty(&self) -> Result<bool, StoreError> {
        if !self.has_tables()? || !schema::holds_nothing(&self.sql).map_err(|e| e.into_store(PURGE))? {
            return Ok(false);
        }
        // All of this happens before anything else can run; only what confirms it is waited for.
        let emptied = self.sql.empty().map_err(|e| e.into_store(PURGE))?;
        self.ready.store(false, Ordering::Relaxed);
        self.looked.store(false, Ordering::Relaxed);
        emptied.await.map_err(|e| e.into_store(PURGE))?;
        Ok(true)
    }

    /// Whether there are tables, after what a former object left has been taken over.
    fn has_tables(&self) -> Result<bool, StoreError> {
        if let Some(id) = &self.former
            && !self.looked.load(Ordering::Relaxed)
        {
            let tables = self.look_for_tables()?;
            takeover::take_over(&self.sql, &**self.random, tables, id, Self::LIMITS)?;
            self.looked.store(true, Ordering::Relaxed);
        }
        self.look_for_tables()
    }

    fn look_for_tables(&self) -> Result<bool, StoreError> {
        if self.ready.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let exists = schema::exists(&self.sql)?;
        self.ready.store(exists, Ordering::Relaxed);
        Ok(exists)
    }

    fn find(&self, id: &SessionId) -> Result<Option<Found>, StoreError> {
        if self.has_tables()? { find::session(&self.sql, id) } else { Ok(None) }
    }
}

impl fmt::Debug for DurableObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableObjectStore").field("limits", &Self::LIMITS).finish_non_exhaustive()
    }
}

#[async_trait]
impl SessionStore for DurableObjectStore {
    async fn load(&self, id: &SessionId, tail: TailBounds) -> Result<Option<Loaded>, StoreError> {
        let Some(found) = self.find(id)? else { return Ok(None) };
        let tail = read::tail(&self.sql, id, found.number, tail)?;
        Ok(Some(Loaded { head: found.current, app: found.app, tail }))
    }

    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        let Some(found) = self.find(id)? else { return Ok(None) };
        let (rows, more) = read::page(&self.sql, id, found.number, &query)?;
        Ok(Some(Page { head: found.current, rows, more }))
    }

    async fn salvage(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Salvaged>, StoreError> {
        if self.has_tables()? { read::salvage(&self.sql, id, &query) } else { Ok(None) }
    }

    async fn commit(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        Self::LIMITS.check(id, &commit)?;
        let exists = self.has_tables()?;
        let outcome = commit::commit(&self.sql, &**self.random, exists, id, commit)?;
        if matches!(outcome, CommitOutcome::Committed(_)) {
            self.ready.store(true, Ordering::Relaxed);
        }
        Ok(outcome)
    }

    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        let Some(mut found) = self.find(id)? else { return Ok(()) };
        if at <= found.current.last_accessed_at {
            return Ok(());
        }
        // Not the current head: the row keeps what it says of version and seqs, and the last message the rest.
        found.stored.last_accessed_at = at;
        commit::write_head(&self.sql, id, found.number, &found.stored, &found.app)
            .map_err(|e| e.into_store("could not record the use of the session").in_session(id))
    }

    async fn delete(&self, id: &SessionId, condition: DeleteIf) -> Result<DeleteOutcome, StoreError> {
        if self.has_tables()? { commit::delete(&self.sql, id, condition) } else { Ok(DeleteOutcome::Absent) }
    }

    fn limits(&self) -> StoreLimits {
        Self::LIMITS
    }

    fn durability(&self) -> Durability {
        Durability::Platform
    }
}

#[async_trait]
impl SessionList for DurableObjectStore {
    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        if self.has_tables()? {
            list::list(&self.sql, query)
        } else {
            Ok(ListPage { sessions: Vec::new(), next: None })
        }
    }
}

const PURGE: &str = "could not empty the object's storage";

// The largest message row and head row, with what SQLite and the keys add, stay below 2,000,000 bytes.
const _: () = assert!(
    DurableObjectStore::LIMITS.max_body_bytes + rows::MESSAGE_OVERHEAD as u64 + 64 < 2_000_000
        && DurableObjectStore::LIMITS.max_app_bytes + 1024 < 2_000_000
);

/// A statement failed while something was done to session `id`.
fn failed(id: &SessionId, what: &'static str) -> impl FnOnce(SqlError) -> StoreError {
    move |e| e.into_store(what).in_session(id)
}

fn corrupt_id(e: InvalidSessionId) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, "stored session id is not valid").with_source(e)
}

fn corrupt(id: &SessionId, what: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, what).in_session(id)
}

/// A seq as SQL can hold it; higher ones do not occur.
fn bounded_seq(seq: u64) -> u64 {
    seq.min(MAX_INTEGER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{RefUnwindSafe, UnwindSafe};

    #[test]
    fn the_store_fits_an_object_that_unwinds_and_any_executor() {
        fn fits<T: UnwindSafe + RefUnwindSafe + Send + Sync + 'static>() {}
        fits::<DurableObjectStore>();
    }
}
