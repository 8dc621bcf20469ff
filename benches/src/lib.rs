//! Shared by the benchmarks: the stores, each ready to use, and the report of figures.

mod plot;
mod report;
mod sizes;

pub use plot::{Line, Plot, SeriesLabelPosition};
pub use report::{Bound, Options, Report, median};
pub use sizes::Sizes;

use durable_session::store::SessionStore;
use durable_session::{Message, SessionId};
use durable_session_memory::MemoryStore;
use durable_session_redb::RedbStore;
use std::error::Error;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// A store to measure.
pub struct Subject {
    /// As it is called in the report.
    pub name: &'static str,
    /// The store, empty.
    pub store: Arc<dyn SessionStore>,
    /// Keeps a store's file for as long as it is measured.
    _folder: Option<TempDir>,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Every store, fresh; files are made in `folder`, and in memory where there is a tmpfs, which
/// leaves the disk's time out.
///
/// # Errors
/// A file could not be made.
pub fn subjects(folder: &str) -> Result<Vec<Subject>, Box<dyn Error>> {
    let mut all =
        vec![Subject { name: "memory", store: Arc::new(MemoryStore::new()), _folder: None }];
    for (name, folder) in [("redb", folder), ("redb on tmpfs", "/dev/shm")] {
        if !Path::new(folder).is_dir() {
            println!("SKIPPED: {name}, as there is no {folder}");
            continue;
        }
        let folder = TempDir::new_in(folder)?;
        let store = Arc::new(RedbStore::open(folder.path().join("bench.redb"))?);
        all.push(Subject { name, store, _folder: Some(folder) });
    }
    Ok(all)
}

/// The `n`th session's id.
///
/// # Errors
/// Never for any `n`.
pub fn id(n: usize) -> Result<SessionId, durable_session::InvalidSessionId> {
    SessionId::new(format!("session-{n}"))
}

/// A message of 400 bytes.
pub fn message() -> Message {
    Message::user("m".repeat(400 - Message::user("").bytes()))
}
