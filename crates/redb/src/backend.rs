//! The storage under redb, watched: how far a failed write got decides what its callers are told. And it can be taken
//! away, so that redb does nothing more to a file that it cannot be trusted with.

use durable_session::planted::bug;
use redb::{BackendError, StorageBackend};
use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// redb's header is within the first bytes of the file; a commit takes effect by writing it.
const HEADER_BYTES: u64 = 4096;

/// What the storage has seen since the last [`begin`](Self::begin).
#[derive(Debug, Default)]
pub(crate) struct Watch {
    header_written: AtomicBool,
    /// redb closes the storage that it fails to open; it is kept, with its lock, while this is set.
    opening: AtomicBool,
    /// The storage of the database that was opened last.
    line: Mutex<Arc<Line>>,
}

type Line = RwLock<Option<Box<dyn StorageBackend>>>;

impl Watch {
    /// A new transaction begins.
    pub(crate) fn begin(&self) {
        self.header_written.store(false, Ordering::Release);
    }

    /// Whether the transaction came so far that it may have taken effect.
    pub(crate) fn may_have_taken_effect(&self) -> bool {
        self.header_written.load(Ordering::Acquire)
    }

    /// For databases whose storage is out of sight.
    pub(crate) fn assume_written(&self) {
        self.header_written.store(true, Ordering::Release);
    }

    /// redb begins to open the storage, or has done so.
    pub(crate) fn opening(&self, begins: bool) {
        self.opening.store(begins, Ordering::Release);
    }

    /// Takes the storage from the database that was opened last, whose every further operation fails.
    pub(crate) fn take(&self) -> Option<Box<dyn StorageBackend>> {
        let line = Arc::clone(&self.line.lock().unwrap_or_else(PoisonError::into_inner));
        line.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The same, and closes it.
    pub(crate) fn cut(&self) {
        if let Some(Err(error)) = self.take().map(|storage| storage.close()) {
            tracing::warn!(%error, "the storage was not closed in order");
        }
    }
}

/// A backend that reports to a [`Watch`].
#[derive(Debug)]
pub(crate) struct Watched {
    line: Arc<Line>,
    watch: Arc<Watch>,
}

impl Watched {
    pub(crate) fn new(inner: Box<dyn StorageBackend>, watch: Arc<Watch>) -> Self {
        let line = Arc::new(RwLock::new(Some(inner)));
        *watch.line.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&line);
        Self { line, watch }
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&dyn StorageBackend) -> Result<T, io::Error>,
    ) -> Result<T, io::Error> {
        let line = self.line.read().unwrap_or_else(PoisonError::into_inner);
        work(line.as_deref().ok_or_else(taken_away)?)
    }

    fn locking<T>(
        &self,
        work: impl FnOnce(&dyn StorageBackend) -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        let line = self.line.read().unwrap_or_else(PoisonError::into_inner);
        work(line.as_deref().ok_or_else(|| BackendError::Io(taken_away()))?)
    }
}

fn taken_away() -> io::Error {
    io::Error::other("the storage was taken away")
}

impl StorageBackend for Watched {
    fn len(&self) -> Result<u64, io::Error> {
        self.with(StorageBackend::len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.with(|inner| inner.read(offset, out))
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.with(|inner| inner.set_len(len))
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        if bug("skip-the-sync") {
            return Ok(());
        }
        self.with(StorageBackend::sync_data)
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        if offset < HEADER_BYTES {
            self.watch.assume_written();
        }
        self.with(|inner| inner.write(offset, data))
    }

    fn close(&self) -> Result<(), io::Error> {
        if self.watch.opening.load(Ordering::Acquire) {
            return Ok(());
        }
        match self.line.write().unwrap_or_else(PoisonError::into_inner).take() {
            Some(inner) => inner.close(),
            // It was closed when it was taken away.
            None => Ok(()),
        }
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.locking(|inner| inner.try_lock_range(start, end))
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.locking(|inner| inner.try_lock_shared_range(start, end))
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locking(|inner| inner.lock_range(start, end))
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locking(|inner| inner.lock_shared_range(start, end))
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locking(|inner| inner.unlock_range(start, end))
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.locking(|inner| inner.query_lock_range(start, end))
    }
}
