//! The storage under redb. Several handles of redb can read one locked storage, and it can be taken
//! away, so that redb writes nothing more to a damaged file.

use crate::error::caught;
use redb::{BackendError, Database, DatabaseError, StorageBackend, StorageError};
use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Storage, unless it was taken away.
#[derive(Debug, Default)]
pub(crate) struct Storage(RwLock<Option<Box<dyn StorageBackend>>>);

impl Storage {
    pub(crate) fn new(inner: Box<dyn StorageBackend>) -> Self {
        Self(RwLock::new(Some(inner)))
    }

    pub(crate) fn len(&self) -> io::Result<u64> {
        self.with(StorageBackend::len)
    }

    pub(crate) fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|inner| inner.read(offset, out))
    }

    fn with<T>(&self, work: impl FnOnce(&dyn StorageBackend) -> io::Result<T>) -> io::Result<T> {
        let storage = self.0.read().unwrap_or_else(PoisonError::into_inner);
        work(storage.as_deref().ok_or_else(taken_away)?)
    }

    fn locking<T>(
        &self,
        work: impl FnOnce(&dyn StorageBackend) -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        let storage = self.0.read().unwrap_or_else(PoisonError::into_inner);
        work(storage.as_deref().ok_or_else(|| BackendError::Io(taken_away()))?)
    }

    /// Takes a shared lock on the whole storage; `false` if another handle has it open. Storage
    /// without locks counts as locked.
    pub(crate) fn lock_shared(&self) -> io::Result<bool> {
        let (start, end) = (Bound::Unbounded, Bound::Unbounded);
        match self.locking(|inner| inner.try_lock_shared_range(start, end)) {
            Ok(locked) => Ok(locked),
            Err(BackendError::Unsupported) => Ok(true),
            Err(BackendError::Io(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(true),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    /// Takes it away. All further operations fail.
    pub(crate) fn take(&self) -> Option<Box<dyn StorageBackend>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Drops a database without the writes that redb makes when it closes a file, and keeps the
    /// storage open.
    pub(crate) fn drop_unwritten(&self, db: Database) {
        let inner = self.take();
        drop_disconnected(db);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = inner;
    }

    /// Closes the storage. All its further operations fail.
    pub(crate) fn close(&self) -> io::Result<()> {
        self.take().map_or(Ok(()), |inner| inner.close())
    }
}

/// Knows the storage of the database that was opened last.
#[derive(Debug, Default)]
pub(crate) struct StorageMonitor {
    /// redb closes storage that it fails to open. While this is set, it stays open and locked.
    opening: AtomicBool,
    storage: Mutex<Arc<Storage>>,
}

impl StorageMonitor {
    /// redb begins to open the storage, or has done so.
    pub(crate) fn opening(&self, begins: bool) {
        self.opening.store(begins, Ordering::Release);
    }

    /// The storage of the database that was opened last.
    pub(crate) fn storage(&self) -> Arc<Storage> {
        Arc::clone(&self.storage.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on `storage` is the one.
    pub(crate) fn watch(&self, storage: Arc<Storage>) {
        *self.storage.lock().unwrap_or_else(PoisonError::into_inner) = storage;
    }

    /// Disconnects the database that was opened last from its storage, and drops it. With its
    /// storage, redb would write to the file on a drop, and may panic if it is damaged.
    pub(crate) fn drop_without_writes(&self, db: Database) {
        self.cut();
        drop_disconnected(db);
    }

    /// Takes the storage from the database that was opened last, and closes it.
    pub(crate) fn cut(&self) {
        if let Err(error) = self.storage().close() {
            tracing::warn!(%error, "the storage was not closed in order");
        }
    }
}

/// The storage that a [`StorageMonitor`] knows, as redb sees it.
#[derive(Debug)]
pub(crate) struct MonitoredBackend {
    storage: Arc<Storage>,
    monitor: Arc<StorageMonitor>,
}

impl MonitoredBackend {
    pub(crate) fn new(storage: Arc<Storage>, monitor: Arc<StorageMonitor>) -> Self {
        monitor.watch(Arc::clone(&storage));
        Self { storage, monitor }
    }
}

/// Drops a database that is disconnected from its storage.
fn drop_disconnected(mut db: Database) {
    // redb writes nothing on drop once it has seen its storage fail. This makes it look.
    match caught(|| db.check_integrity()) {
        Ok(Err(DatabaseError::Storage(StorageError::Io(_) | StorageError::PreviousIo))) => {
            if let Err(message) = caught(|| drop(db)) {
                tracing::warn!(message, "redb panicked while the database was dropped");
            }
        }
        // A read still uses it, or redb panicked: leak its memory rather than end the process.
        _ => std::mem::forget(db),
    }
}

fn taken_away() -> io::Error {
    io::Error::other("the storage was taken away")
}

impl StorageBackend for MonitoredBackend {
    fn len(&self) -> Result<u64, io::Error> {
        self.storage.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.storage.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.storage.with(|inner| inner.set_len(len))
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.storage.with(StorageBackend::sync_data)
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.storage.with(|inner| inner.write(offset, data))
    }

    fn close(&self) -> Result<(), io::Error> {
        if self.monitor.opening.load(Ordering::Acquire) {
            return Ok(());
        }
        self.storage.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.locking(|inner| inner.try_lock_range(start, end))
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.storage.locking(|inner| inner.try_lock_shared_range(start, end))
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.locking(|inner| inner.lock_range(start, end))
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.locking(|inner| inner.lock_shared_range(start, end))
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.locking(|inner| inner.unlock_range(start, end))
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.locking(|inner| inner.query_lock_range(start, end))
    }
}
