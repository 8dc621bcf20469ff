//! The embedded store of [`durable_session`]: chat sessions in one file, by
//! [redb](https://www.redb.org), with a write-ahead log beside it.
//!
//! - **Durable**: success means synced to the disk. A change is one small write and one sync of the
//!   log.
//! - **Group commit**: changes that arrive while a batch is synced form the next batch. No timer
//!   delays a change.
//! - **No runtime needed**: the store has threads of its own and works under any executor.
//! - **Truthful**: a row that cannot be read is an error that names it, and a failed sync is an
//!   unknown outcome. A panic of redb on a damaged file becomes an error (unless the program is
//!   built with `panic = "abort"`).
//!
//! One process opens a file at a time. A second one fails with [`OpenError::AlreadyOpen`], or waits
//! for the file ([`RedbStoreBuilder::wait_for_lock`]). Build one `ChatSessions` over a store and
//! clone it: two over one store do not see each other's changes.
//!
//! ```
//! use durable_session::store::SessionStore;
//! use durable_session_redb::RedbStore;
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("chat.redb");
//! let store = RedbStore::open(path)?;
//! println!("{:?}", store.limits());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod backend;
mod backup;
mod bodies;
mod builder;
mod check;
mod error;
mod flush;
mod gate;
mod layout;
mod limits;
mod memtable;
mod new_file;
mod open;
mod open_error;
mod open_read_only;
mod opened;
mod overlay;
mod pair;
mod readers;
mod scrub;
mod session_check;
mod shared_store;
mod spin_wait;
mod start;
mod stats;
mod store;
mod store_file;
mod tables;
mod verify;
mod view;
mod wal;
mod writer;

pub use backup::Progress;
pub use builder::RedbStoreBuilder;
pub use open_error::{BackupError, OpenError};
pub use opened::OpenCheck;
pub use stats::Stats;
pub use store::RedbStore;
pub use verify::Verification;
pub use wal::{InMemoryLog, LogSegment, LogStorage};

/// The README's example, compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
