//! What the benchmarks share: the stores, each ready to use, and how figures are reported.

mod by_hand;
mod plot;
mod report;

pub use by_hand::ByHand;
pub use plot::{Line, Plot, SeriesLabelPosition};
pub use report::{Bound, Options, Report, median};

use durable_session::store::SessionStore;
use durable_session::{Message, SessionId};
use durable_session_memory::MemoryStore;
use durable_session_redb::RedbStore;
use std::error::Error;
use std::fmt;
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

/// Every store, fresh; files are made in `folder`.
///
/// # Errors
/// A file could not be made.
pub fn subjects(folder: &str) -> Result<[Subject; 2], Box<dyn Error>> {
    let folder = TempDir::new_in(folder)?;
    let redb = RedbStore::open(folder.path().join("bench.redb"))?;
    Ok([
        Subject { name: "memory", store: Arc::new(MemoryStore::new()), _folder: None },
        Subject { name: "redb", store: Arc::new(redb), _folder: Some(folder) },
    ])
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
