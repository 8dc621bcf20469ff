//! The peers: each keeps the same messages of the same sessions.

mod adk;
mod bare;
mod bare_log;
mod ours;
mod redb_by_hand;
mod sqlite_blocking;
mod sqlite_by_hand;
mod tower;

use anyhow::{Result, ensure};
use durable_session::Message;
use futures_util::future::try_join_all;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::runtime::Runtime;

pub(crate) use adk::Adk;
pub(crate) use bare::Bare;
pub(crate) use ours::{Ours, id};
pub(crate) use redb_by_hand::RedbByHand;
pub(crate) use sqlite_blocking::SqliteBlocking;
pub(crate) use sqlite_by_hand::SqliteByHand;
pub(crate) use tower::Tower;

/// How many sessions each has, numbered from 0, with ten messages each.
pub(crate) const SESSIONS: usize = 1_000;
/// The messages of session 0, the long one.
pub(crate) const LONG: usize = 2_000;

/// One way to keep sessions.
pub(crate) trait Peer {
    fn name(&self) -> &'static str;

    /// The durability of a successful append, by the peer's own statement at run time.
    fn durability(&self) -> &str;

    /// Appends to one session.
    fn append(&mut self, runtime: &Runtime, session: usize) -> Result<()>;

    /// Appends to each of these sessions, each append a call of its own, all at once if it can.
    fn together(&mut self, runtime: &Runtime, sessions: &[usize]) -> Result<()>;

    /// Appends `each` messages to each of these sessions, which do not wait for each other if they
    /// need not.
    fn in_tasks(&mut self, runtime: &Runtime, sessions: &[usize], each: u32) -> Result<()> {
        (0..each).try_for_each(|_| self.together(runtime, sessions))
    }

    /// Like [`in_tasks`](Self::in_tasks), but until a time; answers how many were appended.
    fn in_tasks_until(
        &mut self,
        runtime: &Runtime,
        sessions: &[usize],
        end: Instant,
    ) -> Result<u64> {
        let mut appends = 0;
        while Instant::now() < end {
            self.together(runtime, sessions)?;
            appends += sessions.len() as u64;
        }
        Ok(appends)
    }

    /// Whether it can load messages.
    fn loads(&self) -> bool {
        true
    }

    /// Loads all messages of the long session, as if for the first time; answers how many.
    fn load(&mut self, runtime: &Runtime) -> Result<usize>;

    /// Takes these sessions into memory, if it keeps sessions there.
    fn warm(&mut self, _: &Runtime, _: usize) -> Result<()> {
        Ok(())
    }

    /// Closes the files. Answers when all work is done.
    fn close(self: Box<Self>, _: &Runtime) -> Result<()> {
        Ok(())
    }
}

/// A peer that many can use at once.
pub(crate) trait Service: Clone + Send + 'static {
    const NAME: &'static str;
    /// Whether it can load messages.
    const LOADS: bool = true;

    fn durability(&self) -> &str;

    /// A durable append to one session.
    fn add(&self, session: usize) -> impl Future<Output = Result<()>> + Send;

    /// The messages of the long session, as if loaded for the first time.
    fn load(&self) -> impl Future<Output = Result<usize>>;

    /// Takes a session into memory, if it keeps sessions there.
    fn warm(&self, _: usize) -> impl Future<Output = Result<()>> + Send {
        std::future::ready(Ok(()))
    }

    /// Closes the files. Answers when all work is done.
    fn end(self) -> impl Future<Output = Result<()>> {
        std::future::ready(Ok(()))
    }
}

impl<S: Service> Peer for S {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn durability(&self) -> &str {
        Service::durability(self)
    }

    fn append(&mut self, runtime: &Runtime, session: usize) -> Result<()> {
        runtime.block_on(self.add(session))
    }

    fn together(&mut self, runtime: &Runtime, sessions: &[usize]) -> Result<()> {
        runtime.block_on(try_join_all(sessions.iter().map(|&n| self.add(n)))).map(drop)
    }

    fn in_tasks(&mut self, runtime: &Runtime, sessions: &[usize], each: u32) -> Result<()> {
        let tasks = sessions.iter().map(|&session| {
            let service = self.clone();
            runtime.spawn(async move {
                for _ in 0..each {
                    service.add(session).await?;
                }
                Ok(())
            })
        });
        let tasks: Vec<_> = tasks.collect();
        runtime.block_on(try_join_all(tasks))?.into_iter().collect()
    }

    fn in_tasks_until(
        &mut self,
        runtime: &Runtime,
        sessions: &[usize],
        end: Instant,
    ) -> Result<u64> {
        let tasks = sessions.iter().map(|&session| {
            let service = self.clone();
            runtime.spawn(async move {
                let mut appends = 0;
                while Instant::now() < end {
                    service.add(session).await?;
                    appends += 1;
                }
                anyhow::Ok(appends)
            })
        });
        let tasks: Vec<_> = tasks.collect();
        runtime.block_on(try_join_all(tasks))?.into_iter().sum()
    }

    fn loads(&self) -> bool {
        S::LOADS
    }

    fn load(&mut self, runtime: &Runtime) -> Result<usize> {
        runtime.block_on(Service::load(self))
    }

    fn warm(&mut self, runtime: &Runtime, sessions: usize) -> Result<()> {
        (0..sessions).try_for_each(|n| runtime.block_on(Service::warm(self, n)))
    }

    fn close(self: Box<Self>, runtime: &Runtime) -> Result<()> {
        runtime.block_on(self.end())
    }
}

/// Role and text: 400 bytes of JSON.
pub(crate) fn message() -> Message {
    Message::user(text())
}

/// No two are equal: SQLite neither writes nor syncs a row that is replaced by its equal.
fn text() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let length = 400 - Message::user("").bytes();
    format!("{:m>length$}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A pool of one SQLite connection, because SQLite has one writer and more connections would only
/// wait for each other. With it, SQLite's statement of its durability.
async fn sqlite_pool(path: &Path) -> Result<(SqlitePool, String)> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    let mode: String = sqlx::query_scalar("pragma journal_mode").fetch_one(&pool).await?;
    let level: i64 = sqlx::query_scalar("pragma synchronous").fetch_one(&pool).await?;
    let durability = checked(&mode, level)?;
    Ok((pool, durability))
}

fn checked(mode: &str, level: i64) -> Result<String> {
    ensure!(
        (mode, level) == ("wal", 2),
        "it does not sync: journal_mode={mode} synchronous={level}"
    );
    Ok(format!("synced (journal_mode={mode} synchronous={level})"))
}
