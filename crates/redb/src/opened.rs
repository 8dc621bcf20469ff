//! The inputs and the result of opening a store.

use crate::backend::StorageMonitor;
use crate::error::OpenError;
use crate::memtable::Memtable;
use crate::shared_store::Db;
use crate::wal::{Log, LogStorage};
use durable_session::env::Random;
use durable_session::store::{Salt, StoreError};
use redb::StorageBackend;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Where the database comes from, and whether it can be opened again.
pub(crate) enum Place {
    /// A file that the store opens itself, also again after a failure.
    File(PathBuf),
    /// Storage that the host gives again for each attempt to open it.
    Storage(StorageFactory),
    /// Storage that the host gave once: the store cannot open it again.
    Backend,
}

/// Each call gives the same storage again.
pub(crate) type StorageFactory = Box<dyn FnMut() -> io::Result<Box<dyn StorageBackend>> + Send>;

impl Place {
    pub(crate) fn can_reopen(&self) -> bool {
        matches!(self, Self::File(_) | Self::Storage(_))
    }

    /// Adds the path of the file to an error.
    pub(crate) fn named(&self, error: OpenError) -> OpenError {
        match self {
            Self::File(path) => error.at(path),
            Self::Storage(_) | Self::Backend => error,
        }
    }
}

/// The two places of a store: that of the database, and that of its log.
pub(crate) struct Source {
    pub(crate) place: Place,
    pub(crate) log: Arc<dyn LogStorage>,
}

/// When the file is verified, that is, read whole, with every page compared with its checksum. redb
/// itself trusts the pages that it reads, so that damage can hide sessions and messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OpenCheck {
    /// Opening verifies the file in the background. Until that is done (about two seconds per
    /// gigabyte), sessions that are found are served at once; creating a session, listing, and
    /// whatever is not found wait for it. If the file is damaged, these calls fail, and all writes
    /// are refused from then on.
    #[default]
    Background,
    /// Opening verifies the file first, and refuses a damaged one.
    First,
    /// The file is trusted. Damage that hides a session or a message goes unnoticed, and a write to
    /// damaged pages can make redb abort the process.
    Skip,
}

/// Options of opening.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) cache_bytes: usize,
    pub(crate) check: OpenCheck,
    /// The most bytes of the log on the disk.
    pub(crate) log_bytes: u64,
    /// The most bytes of both memtables in memory.
    pub(crate) memtable_bytes: usize,
    /// The file is a copy that takes the place of a lost store: draw a new salt.
    pub(crate) restored: bool,
    /// A log that is missing is no reason to refuse the file.
    pub(crate) accept_missing_log: bool,
}

/// What opening needs besides the storage.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) log: &'a Arc<dyn LogStorage>,
    pub(crate) settings: Settings,
    pub(crate) monitor: &'a Arc<StorageMonitor>,
    pub(crate) random: &'a Arc<dyn Random>,
}

/// A store that was just opened.
pub(crate) struct Opened {
    pub(crate) db: Db,
    pub(crate) memtable: Memtable,
    /// `None` if the store is open for reading only.
    pub(crate) log: Option<Log>,
    pub(crate) salt: Salt,
    /// The file needs no verification: it was verified, or is new.
    pub(crate) verified: bool,
    /// Batches at the end of the log that were dropped.
    pub(crate) torn: u64,
    /// Damage that opening for reading found.
    pub(crate) damage: Option<StoreError>,
}
