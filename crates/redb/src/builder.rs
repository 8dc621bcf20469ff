//! How a store is opened.

use crate::backend::Watch;
use crate::engine::{Db, Engine};
use crate::error::OpenError;
use crate::layout::meta::Create;
use crate::layout::{Known, Logged, Position};
use crate::open::{self, Opened, Settings, Source, Storage};
use crate::readers::Readers;
use crate::store::{Handle, RedbStore};
use crate::writer::{self, Bounds, Deadlines, Lookout, Queue, Writer};
use durable_session::env::{Random, SystemRandom};
use redb::{Database, StorageBackend};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const MIB: u64 = 1024 * 1024;

/// How commits are made durable. Both survive crash and power loss; they differ in what opening costs afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum RedbDurability {
    /// One sync per transaction. Opening reads the whole file and checks every page: some three seconds per gigabyte where
    /// this was measured, with the file in memory. After a clean close
    /// [`verify_on_open(false)`](RedbStoreBuilder::verify_on_open) saves that.
    #[default]
    Immediate,
    /// redb's quick repair: two syncs per transaction and the list of free pages saved with each, so that opening takes
    /// no time, after a crash as after a clean close. The file is therefore not checked when it is opened, unless
    /// [`verify_on_open(true)`](RedbStoreBuilder::verify_on_open) asks for it.
    QuickRecovery,
}

/// Options for a [`RedbStore`].
///
/// ```no_run
/// use durable_session_redb::{RedbDurability, RedbStore};
///
/// let store = RedbStore::builder().durability(RedbDurability::QuickRecovery).open("chat.redb")?;
/// # Ok::<(), durable_session_redb::OpenError>(())
/// ```
#[derive(Clone)]
pub struct RedbStoreBuilder {
    durability: RedbDurability,
    settings: Settings,
    verify: Option<bool>,
    patience: Duration,
    bounds: Bounds,
    readers: usize,
    random: Arc<dyn Random>,
}

impl Default for RedbStoreBuilder {
    fn default() -> Self {
        Self {
            durability: RedbDurability::default(),
            settings: Settings { cache_bytes: 256 * 1024 * 1024, verify: true, log_bytes: 64 * MIB },
            verify: None,
            patience: Duration::ZERO,
            bounds: Bounds {
                queue_requests: 4096,
                queue_bytes: 256 * MIB,
                batch_requests: 1024,
                batch_bytes: 64 * MIB,
                deadline: Duration::from_secs(10),
            },
            readers: std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 4)),
            random: Arc::new(SystemRandom),
        }
    }
}

impl fmt::Debug for RedbStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStoreBuilder")
            .field("durability", &self.durability)
            .field("settings", &self.settings())
            .field("patience", &self.patience)
            .field("bounds", &self.bounds)
            .field("readers", &self.readers)
            .finish_non_exhaustive()
    }
}

impl RedbStoreBuilder {
    /// How commits are made durable; [`RedbDurability::Immediate`] unless set.
    pub fn durability(mut self, durability: RedbDurability) -> Self {
        self.durability = durability;
        self
    }

    /// How much memory redb may use to cache the file, in bytes; 256 MiB unless set. No effect over a host's database.
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.settings.cache_bytes = bytes;
        self
    }

    /// Reads the whole file and checks every page when opening. On unless set, but off with
    /// [`RedbDurability::QuickRecovery`]; never done over a host's database.
    ///
    /// Off, opening takes no time, and reads answer what they can of a damaged file. Damage to a row is still an error that
    /// names it, but damage to redb's own structures can hide sessions and messages without one, and a change can make
    /// redb abort the process. Nothing more is written once any such damage was seen.
    ///
    /// Off, a file that redb refuses to open, as it does with a damaged one that was not closed in order, is read as
    /// its last commit left it, or the one before that: nothing is written to it, and every change is refused as
    /// [`Corrupt`](durable_session::store::StoreErrorKind::Corrupt). List, salvage and commit move what can be read to a
    /// new store (`examples/rescue.rs`). If nothing can be read, [`OpenError::Damaged`] says so.
    pub fn verify_on_open(mut self, verify: bool) -> Self {
        self.verify = Some(verify);
        self
    }

    fn settings(&self) -> Settings {
        let verify = self.verify.unwrap_or(self.durability != RedbDurability::QuickRecovery);
        Settings { verify, ..self.settings }
    }

    /// How many bytes make one of the two logs full; 64 MiB unless set, 0 for no logs.
    ///
    /// Messages and app states of many sessions are written to a log first and folded into the sessions' rows later, many
    /// of one session at a time, which writes a fraction of the pages. What is in the logs is as durable as the rows, and is kept in
    /// memory, too: up to about twice these bytes and some 100 bytes for each message. Opening the store reads the logs.
    /// No effect over a host's database, which has none.
    pub fn log_bytes(mut self, bytes: u64) -> Self {
        self.settings.log_bytes = bytes;
        self
    }

    /// How much may wait to be written: requests (4096 unless set) and bytes of bodies and app states (256 MiB unless
    /// set). When either is reached, callers wait; a single larger request waits until it can go alone.
    pub fn queue_bounds(mut self, requests: usize, bytes: u64) -> Self {
        self.bounds.queue_requests = requests;
        self.bounds.queue_bytes = bytes;
        self
    }

    /// How much one transaction takes: requests (1024 unless set) and bytes (64 MiB unless set); at least one request.
    pub fn batch_bounds(mut self, requests: usize, bytes: u64) -> Self {
        self.bounds.batch_requests = requests;
        self.bounds.batch_bytes = bytes;
        self
    }

    /// How long a caller waits for room in the queue before
    /// [`Unavailable`](durable_session::store::StoreErrorKind::Unavailable); 10 seconds unless set.
    pub fn queue_deadline(mut self, deadline: Duration) -> Self {
        self.bounds.deadline = deadline;
        self
    }

    /// How many threads read; 2 to 4 by the machine unless set, at least one.
    pub fn reader_threads(mut self, threads: usize) -> Self {
        self.readers = threads;
        self
    }

    /// Where random bytes come from: the system unless set. Versions must never repeat, so only tests set this.
    pub fn random(mut self, random: impl Random + 'static) -> Self {
        self.random = Arc::new(random);
        self
    }

    /// How long opening waits for a file that this or another process has open; not at all unless set.
    ///
    /// For a rolling deploy, in which the new process starts before the old one has closed the store, and after
    /// a drop, which closes the store in the background. When the time is over, opening fails with
    /// [`OpenError::AlreadyOpen`]. Waiting blocks the thread, as opening does (in async
    /// code: `tokio::task::spawn_blocking`). No effect with
    /// [`open_backend`](Self::open_backend) and [`open_database`](Self::open_database).
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

    /// Opens the store in the file at `path`; creates it if there is no file.
    ///
    /// A new file appears under its name only when it is complete. An existing file is never taken for a new store, not
    /// even when it is empty. This blocks on the disk for as long as reading the whole file takes, unless it is not to be
    /// checked ([`verify_on_open`](Self::verify_on_open)) and, after a crash, was written with
    /// [`RedbDurability::QuickRecovery`]: from async code, call it before serving, or on a thread for blocking work
    /// (`tokio::task::spawn_blocking`).
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with the file; nothing in it has been changed.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<RedbStore, OpenError> {
        let path = path.as_ref();
        let watch = Arc::default();
        let opened = open::patiently(self.patience, || open::file(path, self.settings(), &watch))?;
        self.start_own(opened, watch, Source::File(path.to_owned()))
    }

    /// Opens the store on storage that `storage` gives, creating it if that is empty. Blocks as the storage does.
    ///
    /// After an I/O error the backend is closed and `storage` is asked for a new one over the same bytes, so that the
    /// store can be verified from there and go on, as it does with a file.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_storage<B: StorageBackend>(
        &self,
        mut storage: impl FnMut() -> std::io::Result<B> + Send + 'static,
    ) -> Result<RedbStore, OpenError> {
        let watch = Arc::default();
        let mut storage: Storage = Box::new(move || Ok(Box::new(storage()?)));
        let open = || open::storage(&mut storage, self.settings(), &watch, Create::IfEmpty);
        let opened = open::patiently(self.patience, open)?;
        self.start_own(opened, watch, Source::Storage(storage))
    }

    /// Opens the store on any storage, creating it if the storage is empty. Blocks as the storage does.
    ///
    /// After an I/O error the store stays closed: open a new one over the storage, or use
    /// [`open_storage`](Self::open_storage).
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_backend(&self, backend: impl StorageBackend) -> Result<RedbStore, OpenError> {
        let watch = Arc::default();
        let opened = open::backend(Box::new(backend), self.settings(), &watch)?;
        self.start_own(opened, watch, Source::Backend)
    }

    /// Opens the store inside a database that the host has open, beside the host's own tables; adds the store's tables
    /// (named `durable-session.*`) if they are not there.
    ///
    /// The host's write transactions and this store's wait for each other. After an I/O error the store stays closed
    /// until the host has opened its database again and built a new store over it. [`RedbStore::close`] leaves the
    /// database open.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_database(&self, database: Arc<Database>) -> Result<RedbStore, OpenError> {
        open::host(&database)?;
        let (logged, position) = (Logged::default(), Position::none());
        self.start(Db::Host(database), logged, position, Arc::default(), Source::Host)
    }

    fn start_own(&self, opened: Opened, watch: Arc<Watch>, source: Source) -> Result<RedbStore, OpenError> {
        let Opened { db, logged, position } = opened;
        self.start(db, logged, position, watch, source)
    }

    fn start(
        &self,
        db: Db,
        logged: Logged,
        position: Position,
        watch: Arc<Watch>,
        source: Source,
    ) -> Result<RedbStore, OpenError> {
        let threads = |e| OpenError::io("starting the store's threads", e);
        let engine = Arc::new(Engine::new(db, logged, watch));
        let queue = Arc::new(Queue::new(self.bounds));
        let readers = Readers::start(self.readers, &engine, &queue).map_err(threads)?;
        let deadlines = Deadlines::start().map_err(threads)?;
        writer::start(Writer {
            engine: Arc::clone(&engine),
            queue: Arc::clone(&queue),
            source,
            settings: self.settings(),
            random: Arc::clone(&self.random),
            quick_repair: self.durability == RedbDurability::QuickRecovery,
            last_attempt: None,
            known: Known::default(),
            lookout: Lookout::new(),
            position,
        })
        .map_err(threads)?;
        Ok(RedbStore::new(Handle { engine, queue, readers, deadlines }))
    }
}
