//! Reading what is left of a file that redb refuses to open: as it is, and without writing to it.
//!
//! After an unclean stop redb repairs a file before it reads it, which a damaged page prevents. Reading needs no repair:
//! each commit leaves whole trees. So redb is shown the file as one that was closed in order, through its read-only
//! opening, first at the last commit and then at the one before it.

use crate::backend::{Watch, Watched};
use crate::engine::Db;
use crate::error::{OpenError, caught};
use crate::layout::{log, meta};
use crate::open::Opened;
use redb::{BackendError, ConcurrencyMode, Database, StorageBackend};
use std::io;
use std::ops::Bound;
use std::sync::Arc;

/// Where redb's header has its flags, and those flags.
const FLAGS_AT: u64 = 9;
const SECOND_SLOT: u8 = 1;
const NOT_CLOSED: u8 = 2;
const NOT_FLUSHED: u8 = 8;

/// The storage of a file whose lock is held. Nothing is written to it.
#[derive(Debug)]
struct Frozen {
    inner: Arc<dyn StorageBackend>,
    /// Of redb's two commits, the one that is not the last.
    earlier: bool,
}

/// Opens what can be read in `storage`, which stays locked. It is closed if that is nothing.
pub(crate) fn open(
    storage: Box<dyn StorageBackend>,
    cache_bytes: usize,
    watch: &Arc<Watch>,
) -> Option<Opened> {
    let storage: Arc<dyn StorageBackend> = Arc::from(storage);
    for earlier in [false, true] {
        let frozen = Frozen { inner: Arc::clone(&storage), earlier };
        watch.opening(true);
        let backend = Watched::new(Box::new(frozen), Arc::clone(watch));
        let opened = caught(|| {
            let db = Database::builder()
                .set_cache_size(cache_bytes)
                .set_concurrency_mode(ConcurrencyMode::SingleWriter)
                .open_read_only_with_backend(backend)
                .map_err(OpenError::redb)?;
            meta::check_readable(&db)?;
            let logged = log::salvage(&db)?;
            Ok::<_, OpenError>((db, logged))
        });
        watch.opening(false);
        match opened {
            Ok(Ok((db, logged))) => {
                let commit = if earlier { "the one before the last" } else { "the last" };
                tracing::error!(
                    commit,
                    "the file is damaged; it is read as one commit left it, and not written"
                );
                return Some(Opened::to_read_only(Db::Damaged(db), logged));
            }
            Ok(Err(error)) => tracing::warn!(%error, earlier, "a commit of the damaged file cannot be read"),
            Err(message) => tracing::warn!(message, earlier, "redb panicked on a commit of the damaged file"),
        }
        watch.take();
    }
    if let Err(error) = storage.close() {
        tracing::warn!(%error, "the storage was not closed in order");
    }
    None
}

impl StorageBackend for Frozen {
    fn len(&self) -> Result<u64, io::Error> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.inner.read(offset, out)?;
        let flags = FLAGS_AT.checked_sub(offset).and_then(|at| out.get_mut(usize::try_from(at).ok()?));
        if let Some(flags) = flags {
            *flags &= !(NOT_CLOSED | NOT_FLUSHED);
            *flags ^= if self.earlier { SECOND_SLOT } else { 0 };
        }
        Ok(())
    }

    fn set_len(&self, _: u64) -> Result<(), io::Error> {
        Err(never_written())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        Ok(())
    }

    fn write(&self, _: u64, _: &[u8]) -> Result<(), io::Error> {
        Err(never_written())
    }

    fn close(&self) -> Result<(), io::Error> {
        self.inner.close()
    }

    // The storage as a whole is locked already.

    fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn try_lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn unlock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn query_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(false)
    }
}

fn never_written() -> io::Error {
    io::Error::other("a damaged file that is only read is never written")
}
