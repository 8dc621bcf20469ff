//! Opening a store with the options of a builder, and starting its threads.

use crate::backend::StorageMonitor;
use crate::builder::RedbStoreBuilder;
use crate::error::OpenError;
use crate::flush::Flusher;
use crate::gate::Verdict;
use crate::opened::{Context, Opened, Place, Source, StorageFactory};
use crate::readers::Readers;
use crate::shared_store::{Counters, SharedStore};
use crate::store::{Handle, RedbStore};
use crate::wal::{LogFiles, LogStorage};
use crate::writer::{Deadlines, Queue, Writer};
use crate::{open, open_read_only};
use durable_session::store::Opening;
use redb::StorageBackend;
use std::path::Path;
use std::sync::Arc;

impl RedbStoreBuilder {
    /// Opens the store in the file at `path` and its log beside it (`PATH-wal.1` and so on);
    /// creates both if there is no file.
    ///
    /// The file and its log are the store, also after [`close`](RedbStore::close). A new file
    /// appears under its name only when it is complete. An existing file is never taken for a new
    /// store, not even an empty one, and none is created beside a log.
    ///
    /// Blocks on the disk for as long as reading the log takes, and with
    /// [`OpenCheck::First`](crate::OpenCheck::First) for as long as reading the whole file. In
    /// async code, call it before serving, or in `tokio::task::spawn_blocking`.
    ///
    /// # Errors
    /// [`OpenError`] names the problem with the file or its log. No stored data was changed then.
    ///
    /// ```
    /// use durable_session_redb::RedbStore;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("chat.redb");
    /// let store = RedbStore::builder().open(path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(&self, path: impl AsRef<Path>) -> Result<RedbStore, OpenError> {
        let path = path.as_ref();
        let log = Arc::new(LogFiles::beside(path));
        let source = Source { place: Place::File(path.to_owned()), log };
        self.open_source(source, |_, context| open::file(path, context))
    }

    /// Opens the store on the backend that `storage` returns, with its log in `log`; creates it if
    /// the backend and the log are empty. Blocks as they do.
    ///
    /// After an I/O error the store closes the backend and calls `storage` for a new one over the
    /// same bytes and goes on, as it does with a file.
    ///
    /// # Errors
    /// The errors of [`open`](Self::open).
    ///
    /// ```
    /// use durable_session_redb::{InMemoryLog, RedbStore};
    /// use redb::backends::InMemoryBackend;
    ///
    /// let log = InMemoryLog::default();
    /// let store = RedbStore::builder().open_storage(|| Ok(InMemoryBackend::new()), log)?;
    /// # Ok::<(), durable_session_redb::OpenError>(())
    /// ```
    pub fn open_storage<B: StorageBackend>(
        &self,
        mut storage: impl FnMut() -> std::io::Result<B> + Send + 'static,
        log: impl LogStorage + 'static,
    ) -> Result<RedbStore, OpenError> {
        let storage: StorageFactory = Box::new(move || Ok(Box::new(storage()?)));
        let source = Source { place: Place::Storage(storage), log: Arc::new(log) };
        self.open_source(source, |place, context| match place {
            Place::Storage(factory) => open::storage(factory, context),
            Place::File(_) | Place::Backend => Err(OpenError::HostMustReopen),
        })
    }

    /// Opens the store on `backend`, with its log in `log`; creates it if both are empty. Blocks as
    /// they do.
    ///
    /// After an I/O error of `backend` the store stays closed: build a new one over the storage, or
    /// use [`open_storage`](Self::open_storage).
    ///
    /// # Errors
    /// The errors of [`open`](Self::open).
    ///
    /// ```
    /// use durable_session_redb::{InMemoryLog, RedbStore};
    /// use redb::backends::InMemoryBackend;
    ///
    /// let (backend, log) = (InMemoryBackend::new(), InMemoryLog::default());
    /// let store = RedbStore::builder().open_backend(backend, log)?;
    /// # Ok::<(), durable_session_redb::OpenError>(())
    /// ```
    pub fn open_backend(
        &self,
        backend: impl StorageBackend,
        log: impl LogStorage + 'static,
    ) -> Result<RedbStore, OpenError> {
        self.open_given(Box::new(backend), Arc::new(log), open::backend)
    }

    /// Opens the store in the file at `path` for reading, and never writes a byte to it or its log.
    ///
    /// It reads a store that was closed, that a crash has left, or that is damaged, as far as it
    /// can be read: the file as of its last commit or the one before, and the log past its damage.
    /// Rows that cannot be read are errors that name them, and a damaged store may lack sessions
    /// and messages: [`verify`](RedbStore::verify) names all damage. Listing, salvage reads and
    /// commits to a new store move the readable part (`examples/rescue.rs`). A store that is open
    /// for writing is refused: read it through its service.
    ///
    /// All changes fail as [`Closed`](durable_session::store::StoreErrorKind::Closed), or as
    /// [`Corrupt`](durable_session::store::StoreErrorKind::Corrupt) once damage is known.
    ///
    /// # Errors
    /// [`OpenError`] names the problem with the file or its log.
    ///
    /// ```no_run
    /// use durable_session_redb::RedbStore;
    ///
    /// let store = RedbStore::builder().open_read_only("damaged.redb")?;
    /// # Ok::<(), durable_session_redb::OpenError>(())
    /// ```
    pub fn open_read_only(&self, path: impl AsRef<Path>) -> Result<RedbStore, OpenError> {
        let path = path.as_ref();
        let log = Arc::new(LogFiles::read_only(path));
        let source = Source { place: Place::Backend, log };
        self.open_source(source, |_, context| open_read_only::file(path, context))
    }

    /// Like [`open_read_only`](Self::open_read_only), on the storage of a host. Nothing is written
    /// to either of them.
    ///
    /// # Errors
    /// The errors of [`open_read_only`](Self::open_read_only).
    ///
    /// ```
    /// use durable_session_redb::{InMemoryLog, RedbStore};
    /// use redb::backends::InMemoryBackend;
    ///
    /// let (backend, log) = (InMemoryBackend::new(), InMemoryLog::default());
    /// assert!(RedbStore::builder().open_backend_read_only(backend, log).is_err(), "it is empty");
    /// ```
    pub fn open_backend_read_only(
        &self,
        backend: impl StorageBackend,
        log: impl LogStorage + 'static,
    ) -> Result<RedbStore, OpenError> {
        self.open_given(Box::new(backend), Arc::new(log), open_read_only::storage)
    }

    /// Opens storage that its host gives once.
    fn open_given(
        &self,
        backend: Box<dyn StorageBackend>,
        log: Arc<dyn LogStorage>,
        open: fn(Box<dyn StorageBackend>, Context<'_>) -> Result<Opened, OpenError>,
    ) -> Result<RedbStore, OpenError> {
        let mut backend = Some(backend);
        self.open_source(Source { place: Place::Backend, log }, |_, context| match backend.take() {
            Some(backend) => open(backend, context),
            None => Err(OpenError::HostMustReopen),
        })
    }

    fn open_source(
        &self,
        mut source: Source,
        mut open: impl FnMut(&mut Place, Context<'_>) -> Result<Opened, OpenError>,
    ) -> Result<RedbStore, OpenError> {
        let monitor = Arc::default();
        let opened = open::patiently(self.patience, || {
            let Source { place, log } = &mut source;
            let (settings, random) = (self.settings, &self.random);
            open(place, Context { log, settings, monitor: &monitor, random })
        })?;
        self.start(opened, monitor, source)
    }

    fn start(
        &self,
        opened: Opened,
        monitor: Arc<StorageMonitor>,
        source: Source,
    ) -> Result<RedbStore, OpenError> {
        let threads = |e| OpenError::io("the threads of the store cannot be started", e);
        let opening = Opening::draw(&*self.random).map_err(|e| {
            OpenError::io("no random bytes for the store's opening id", std::io::Error::other(e))
        })?;
        let Opened { db, memtable, log, salt, verified, torn, damage } = opened;
        let shared = Arc::new(SharedStore::new(db, memtable, salt, log.is_none(), monitor));
        Counters::add(&shared.counters.torn_batches, torn);
        let queue = Arc::new(Queue::new(self.bounds));
        let readers = Readers::start(self.readers, &shared, &queue).map_err(threads)?;
        let deadlines = Deadlines::start().map_err(threads)?;
        let flusher = Flusher::start(&shared, &queue).map_err(threads)?;
        let writer = Writer::new(
            Arc::clone(&shared),
            Arc::clone(&queue),
            flusher,
            source,
            self.settings,
            Arc::clone(&self.random),
            log,
        );
        match damage {
            None => writer.verify(verified),
            Some(damage) => {
                shared.poison(&damage);
                shared.gate.begin(Verdict::Refused(damage));
            }
        }
        writer.start().map_err(threads)?;
        Ok(RedbStore::new(Handle { shared, queue, readers, deadlines, opening }))
    }
}

impl RedbStore {
    /// Opens the store in the file at `path`, and its log beside it, with the default options;
    /// creates both if there is no file.
    ///
    /// Blocks on the disk, see [`RedbStoreBuilder::open`].
    ///
    /// # Errors
    /// [`OpenError`] names the problem with the file.
    ///
    /// ```
    /// use durable_session_redb::RedbStore;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("chat.redb");
    /// let store = RedbStore::open(path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::builder().open(path)
    }

    /// Returns the default options, to change them and open a store.
    ///
    /// ```
    /// use durable_session_redb::RedbStore;
    ///
    /// let builder = RedbStore::builder().cache_bytes(64 << 20);
    /// ```
    pub fn builder() -> RedbStoreBuilder {
        RedbStoreBuilder::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::LogSegment;
    use std::io;
    use std::path::PathBuf;
    use std::sync::OnceLock;

    /// A log that another store begins, with its file, at the moment at which it is looked for.
    #[derive(Debug)]
    struct BegunMeanwhile {
        log: LogFiles,
        path: PathBuf,
        other: Arc<OnceLock<RedbStore>>,
    }

    impl LogStorage for BegunMeanwhile {
        fn list(&self) -> io::Result<Vec<u32>> {
            self.other.get_or_init(|| RedbStore::open(&self.path).unwrap());
            self.log.list()
        }
        fn create(&self, number: u32, len: u64) -> io::Result<Box<dyn LogSegment>> {
            self.log.create(number, len)
        }
        fn open(&self, number: u32) -> io::Result<Box<dyn LogSegment>> {
            self.log.open(number)
        }
        fn remove(&self, number: u32) -> io::Result<()> {
            self.log.remove(number)
        }
        fn name(&self, number: u32) -> String {
            self.log.name(number)
        }
    }

    #[test]
    fn a_store_that_was_created_meanwhile_is_not_taken_for_a_log_without_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat.redb");
        let other = Arc::default();
        let log = BegunMeanwhile {
            log: LogFiles::beside(&path),
            path: path.clone(),
            other: Arc::clone(&other),
        };
        let source = Source { place: Place::File(path.clone()), log: Arc::new(log) };
        let opened =
            RedbStore::builder().open_source(source, |_, context| open::file(&path, context));
        assert!(other.get().is_some(), "the log was looked for");
        assert!(matches!(opened, Err(OpenError::AlreadyOpen { .. })), "{:?}", opened.err());
    }
}
