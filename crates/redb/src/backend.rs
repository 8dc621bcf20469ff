//! The storage under redb, watched: how far a failed write got decides what its callers are told.

use durable_session::planted::bug;
use redb::{BackendError, StorageBackend};
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// redb's header is within the first bytes of the file; a commit takes effect by writing it.
const HEADER_BYTES: u64 = 4096;

/// What the storage has seen since the last [`begin`](Self::begin).
#[derive(Debug, Default)]
pub(crate) struct Watch {
    header_written: AtomicBool,
}

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
}

/// A backend that reports to a [`Watch`].
#[derive(Debug)]
pub(crate) struct Watched {
    inner: Box<dyn StorageBackend>,
    watch: Arc<Watch>,
}

impl Watched {
    pub(crate) fn new(inner: Box<dyn StorageBackend>, watch: Arc<Watch>) -> Self {
        Self { inner, watch }
    }
}

impl StorageBackend for Watched {
    fn len(&self) -> Result<u64, io::Error> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        if bug("skip-the-sync") {
            return Ok(());
        }
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        if offset < HEADER_BYTES {
            self.watch.assume_written();
        }
        self.inner.write(offset, data)
    }

    fn close(&self) -> Result<(), io::Error> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}
