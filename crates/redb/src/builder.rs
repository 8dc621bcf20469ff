//! Options of a store.

use crate::opened::{OpenCheck, Settings};
use crate::writer::Bounds;
use durable_session::env::{Random, SystemRandom};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

const MIB: u64 = 1024 * 1024;

/// Options of a [`RedbStore`](crate::RedbStore).
///
/// ```
/// use durable_session_redb::RedbStore;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("chat.redb");
/// let store = RedbStore::builder().cache_bytes(64 << 20).reader_threads(2).open(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct RedbStoreBuilder {
    pub(crate) settings: Settings,
    pub(crate) patience: Duration,
    pub(crate) bounds: Bounds,
    pub(crate) readers: usize,
    pub(crate) random: Arc<dyn Random>,
}

impl Default for RedbStoreBuilder {
    fn default() -> Self {
        Self {
            settings: Settings {
                cache_bytes: 256 * 1024 * 1024,
                check: OpenCheck::default(),
                log_bytes: 256 * MIB,
                memtable_bytes: 64 * 1024 * 1024,
                restored: false,
                accept_missing_log: false,
            },
            patience: Duration::ZERO,
            bounds: Bounds {
                queue_requests: 4096,
                queue_bytes: 256 * MIB,
                batch_requests: 1024,
                batch_bytes: 64 * MIB,
                deadline: Duration::from_secs(10),
                gather: Duration::from_millis(4),
            },
            readers: std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 4)),
            random: Arc::new(SystemRandom),
        }
    }
}

impl fmt::Debug for RedbStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStoreBuilder")
            .field("settings", &self.settings)
            .field("patience", &self.patience)
            .field("bounds", &self.bounds)
            .field("readers", &self.readers)
            .finish_non_exhaustive()
    }
}

impl RedbStoreBuilder {
    /// Sets how many bytes of the file redb may keep in memory. The default is 256 MiB.
    ///
    /// ```
    /// use durable_session_redb::RedbStore;
    ///
    /// let builder = RedbStore::builder().cache_bytes(1 << 30);
    /// ```
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.settings.cache_bytes = bytes;
        self
    }

    /// Sets when the file is verified. The default is [`OpenCheck::Background`].
    ///
    /// ```
    /// use durable_session_redb::{OpenCheck, RedbStore};
    ///
    /// let builder = RedbStore::builder().check(OpenCheck::First);
    /// ```
    pub fn check(mut self, check: OpenCheck) -> Self {
        self.settings.check = check;
        self
    }

    /// Sets how many bytes of the disk the log may take. The default is 256 MiB.
    ///
    /// Every change is written to the log first, and a flush moves many of them to the tables
    /// later, which writes a fraction of the pages. A flush begins when the log is half full. If
    /// the log is full before the flush is done, writes wait for it. Opening the store after a
    /// crash reads the log, about a second per gigabyte. A batch that is larger than all of the log
    /// is written all the same.
    ///
    /// ```
    /// use durable_session_redb::RedbStore;
    ///
    /// let builder = RedbStore::builder().log_bytes(64 << 20);
    /// ```
    pub fn log_bytes(mut self, bytes: u64) -> Self {
        self.settings.log_bytes = bytes;
        self
    }

    /// Sets how many bytes of memory the memtables may take, about. The default is 64 MiB.
    ///
    /// A memtable holds the keys of the changes that are in the log and not in the tables yet;
    /// their content stays in the log. A flush begins at half of this number.
    ///
    /// ```
    /// use durable_session_redb::RedbStore;
    ///
    /// let builder = RedbStore::builder().memtable_bytes(16 << 20);
    /// ```
    pub fn memtable_bytes(mut self, bytes: usize) -> Self {
        self.settings.memtable_bytes = bytes;
        self
    }

    /// Sets whether a file is opened although its log is missing. The default is `false`.
    ///
    /// With `true`, the changes that were only in the log are lost, although clients may have seen
    /// them: the store is as of its last flush. A new log begins, and all sessions get new
    /// versions, as with [`restored`](Self::restored). A log that is there is used as always.
    ///
    /// ```no_run
    /// use durable_session_redb::RedbStore;
    ///
    /// let store = RedbStore::builder().accept_missing_log(true).open("chat.redb")?;
    /// # Ok::<(), durable_session_redb::OpenError>(())
    /// ```
    pub fn accept_missing_log(mut self, accept: bool) -> Self {
        self.settings.accept_missing_log = accept;
        self
    }

    /// Bounds the queue of waiting writes: their number, and the bytes of their bodies and app
    /// states. The defaults are 4,096 and 256 MiB.
    ///
    /// At either bound callers wait for room, see [`queue_deadline`](Self::queue_deadline). A
    /// write with more bytes than the bound waits until the queue is empty.
    ///
    /// ```
    /// use durable_session_redb::RedbStore;
    ///
    /// let builder = RedbStore::builder().queue_bounds(1024, 64 << 20);
    /// ```
    pub fn queue_bounds(mut self, requests: usize, bytes: u64) -> Self {
        self.bounds.queue_requests = requests;
        self.bounds.queue_bytes = bytes;
        self
    }

    /// Bounds the writes of one transaction: their number and their bytes. The defaults are 1,024
    /// and 64 MiB. A transaction takes at least one write.
    ///
    /// ```
    /// use durable_session_redb::RedbStore;
    ///
    /// let builder = RedbStore::builder().batch_bounds(256, 16 << 20);
    /// ```
    pub fn batch_bounds(mut self, requests: usize, bytes: u64) -> Self {
        self.bounds.batch_requests = requests;
        self.bounds.batch_bytes = bytes;
        self
    }

    /// Sets how long a caller waits for room in the queue. The default is 10 seconds. After that
    /// the call fails as [`Unavailable`](durable_session::store::StoreErrorKind::Unavailable).
    ///
    /// ```
    /// use durable_session_redb::RedbStore;
    /// use std::time::Duration;
    ///
    /// let builder = RedbStore::builder().queue_deadline(Duration::from_secs(2));
    /// ```
    pub fn queue_deadline(mut self, deadline: Duration) -> Self {
        self.bounds.deadline = deadline;
        self
    }

    /// Sets the number of threads that read, at least 1. The default is the number of cores, but
    /// at least 2 and at most 4.
    ///
    /// ```
    /// use durable_session_redb::RedbStore;
    ///
    /// let builder = RedbStore::builder().reader_threads(8);
    /// ```
    pub fn reader_threads(mut self, threads: usize) -> Self {
        self.readers = threads;
        self
    }

    /// Sets the source of random bytes. The default is the system's. Only tests set this: versions
    /// must never repeat.
    ///
    /// ```
    /// use durable_session::env::SystemRandom;
    /// use durable_session_redb::RedbStore;
    ///
    /// let builder = RedbStore::builder().random(SystemRandom);
    /// ```
    pub fn random(mut self, random: impl Random + 'static) -> Self {
        self.random = Arc::new(random);
        self
    }

    /// Declares that the file and its log are a copy (of the plain files, or a snapshot of the
    /// disk) that takes the place of a store which wrote more after the copy was made. The default
    /// is `false`.
    ///
    /// Versions are counted in the file, so the copy would count the lost versions again, for other
    /// content, and a client that knows one of them would take the new content for the lost one.
    /// With `true`, opening draws a new salt, which is mixed into all versions from then on and
    /// kept in the file. No lost version comes back, and a client that knows one loads the session
    /// again. Set this the first time a restored copy is opened, and never after that.
    ///
    /// A copy made by [`RedbStore::backup`](crate::RedbStore::backup) needs no such call: its first
    /// opening draws a salt.
    ///
    /// ```no_run
    /// use durable_session_redb::RedbStore;
    ///
    /// std::fs::copy("/mnt/copies/chat.redb", "chat.redb")?;
    /// std::fs::copy("/mnt/copies/chat.redb-wal.1", "chat.redb-wal.1")?;
    /// let store = RedbStore::builder().restored(true).open("chat.redb")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn restored(mut self, restored: bool) -> Self {
        self.settings.restored = restored;
        self
    }

    /// Sets how long opening waits for a file that this or another process has open. The default
    /// is not to wait.
    ///
    /// Use it in a rolling deploy, in which the new process starts before the old one has closed
    /// the store, and after a drop, which closes the store in the background. After that time,
    /// opening fails with [`OpenError::AlreadyOpen`](crate::OpenError::AlreadyOpen). Waiting blocks
    /// the thread; in async code, call `open` in `tokio::task::spawn_blocking`. It has no effect on
    /// [`open_backend`](Self::open_backend).
    ///
    /// ```no_run
    /// use durable_session_redb::RedbStore;
    /// use std::time::Duration;
    ///
    /// let store = RedbStore::builder().wait_for_lock(Duration::from_secs(30)).open("chat.redb")?;
    /// # Ok::<(), durable_session_redb::OpenError>(())
    /// ```
    pub fn wait_for_lock(mut self, at_most: Duration) -> Self {
        self.patience = at_most;
        self
    }
}
