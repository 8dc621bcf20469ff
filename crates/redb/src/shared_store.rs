//! The state that all threads of one store share: database, memtable and counters.

use crate::backend::StorageMonitor;
use crate::error::{Fault, Scope, caught, closed};
use crate::gate::{Gate, Verdict};
use crate::layout::Snapshot;
use crate::memtable::{Layers, Memtable};
use crate::view::View;
use durable_session::store::{Salt, StoreError, StoreErrorKind};
use redb::{Database, ReadOnlyDatabase, ReadTransaction, ReadableDatabase};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The database.
pub(crate) enum Db {
    Own(Database),
    /// A file whose repair a damaged page prevents.
    ReadOnly(ReadOnlyDatabase),
}

impl Db {
    pub(crate) fn readable(&self) -> &dyn ReadableDatabase {
        match self {
            Self::Own(db) => db,
            Self::ReadOnly(db) => db,
        }
    }
}

/// The connection to the file.
pub(crate) enum Connection {
    Open(Db),
    /// Storage failed and the database could not be opened again. All calls get this error.
    Failed(StoreError),
    Closed,
}

/// Shared by all handles and threads of one store.
pub(crate) struct SharedStore {
    connection: RwLock<Connection>,
    /// The changes that are in the log and not in the tables yet. The writer adds to it after each
    /// durable batch, and a flush takes from it.
    memtable: RwLock<Memtable>,
    /// The salt of the file that was opened last.
    salt: AtomicU64,
    /// The store is open for reading only.
    read_only: bool,
    /// A read failed on the storage: the writer should open the database again.
    suspect: AtomicBool,
    /// Set once damage beyond single rows was found: the error of all further writes.
    poisoned: Mutex<Option<StoreError>>,
    /// Whether the file was verified.
    pub(crate) gate: Gate,
    pub(crate) monitor: Arc<StorageMonitor>,
    pub(crate) counters: Counters,
}

/// See [`Stats`](crate::Stats).
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) changes: AtomicU64,
    pub(crate) largest_batch: AtomicU64,
    pub(crate) reads: AtomicU64,
    pub(crate) flushes: AtomicU64,
    pub(crate) reopened: AtomicU64,
    pub(crate) torn_batches: AtomicU64,
    pub(crate) log_bytes: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }
}

impl SharedStore {
    pub(crate) fn new(
        db: Db,
        memtable: Memtable,
        salt: Salt,
        read_only: bool,
        monitor: Arc<StorageMonitor>,
    ) -> Self {
        Self {
            connection: RwLock::new(Connection::Open(db)),
            memtable: RwLock::new(memtable),
            salt: AtomicU64::new(salt.get()),
            read_only,
            suspect: AtomicBool::new(false),
            poisoned: Mutex::default(),
            gate: Gate::new(Verdict::Pending),
            monitor,
            counters: Counters::default(),
        }
    }

    /// Shared access, for reads and flushes.
    pub(crate) fn connection(&self) -> RwLockReadGuard<'_, Connection> {
        self.connection.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Exclusive access, after the reads in progress: for closing, reopening and compaction.
    pub(crate) fn connection_mut(&self) -> RwLockWriteGuard<'_, Connection> {
        self.connection.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn memtable(&self) -> RwLockReadGuard<'_, Memtable> {
        self.memtable.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the writer and the flush.
    pub(crate) fn memtable_mut(&self) -> RwLockWriteGuard<'_, Memtable> {
        self.memtable.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The salt of all versions that leave the store. It changes only when another file is opened.
    pub(crate) fn salt(&self) -> Salt {
        Salt::new(self.salt.load(Ordering::Acquire))
    }

    /// For the writer alone, with exclusive access.
    pub(crate) fn set_salt(&self, salt: Salt) {
        self.salt.store(salt.get(), Ordering::Release);
    }

    /// Runs `work` on a consistent snapshot of the durable state.
    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&Snapshot<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        Counters::add(&self.counters.reads, 1);
        let connection = self.connection();
        if matches!(*connection, Connection::Failed(_)) {
            self.suspect.store(true, Ordering::Release);
        }
        let db = connection.db()?;
        let read = || {
            let (txn, layers) = self.begin(db)?;
            work(&Snapshot { view: View::of(layers, txn), salt: self.salt() })
        };
        self.judged(caught(read).unwrap_or_else(|message| Err(Fault::Panic(message))), "reading")
    }

    /// Turns the fault of a read into an error, and notes failed storage and a damaged file.
    pub(crate) fn judged<T>(
        &self,
        result: Result<T, Fault>,
        doing: &'static str,
    ) -> Result<T, StoreError> {
        result.map_err(|fault| {
            let scope = fault.scope();
            if scope == Scope::Store {
                self.suspect.store(true, Ordering::Release);
            }
            let error = fault.unchanged(doing);
            if scope == Scope::File {
                self.poison(&error);
            }
            error
        })
    }

    /// Refuses all further writes to the file. redb can panic on contradictory rows, and while it
    /// writes it can do so twice at once, which ends the process.
    pub(crate) fn poison(&self, found: &StoreError) {
        let mut poisoned = self.poisoned();
        if poisoned.is_none() {
            tracing::error!(error = %found, "the file is damaged; further writes are refused");
            *poisoned = Some(not_written(found));
        }
    }

    /// The error of all writes, if the file is poisoned.
    pub(crate) fn poisoned(&self) -> MutexGuard<'_, Option<StoreError>> {
        self.poisoned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// The error of all writes, if none is taken.
    pub(crate) fn refusal(&self) -> Option<StoreError> {
        let refusal = self.poisoned().clone();
        refusal.or_else(|| self.read_only.then(opened_for_reading))
    }

    /// Begins a read transaction that closing and reopening do not wait for (they end it).
    pub(crate) fn begin_read(&self) -> Result<(ReadTransaction, Layers), Fault> {
        self.begin(self.connection().db()?)
    }

    /// Under one lock, so that a change which is flushed meanwhile is in the layers or in the
    /// tables.
    fn begin(&self, db: &Db) -> Result<(ReadTransaction, Layers), Fault> {
        let memtable = self.memtable();
        Ok((db.readable().begin_read()?, memtable.snapshot()))
    }

    /// Whether a read failed on the storage since the last call.
    pub(crate) fn take_suspicion(&self) -> bool {
        self.suspect.swap(false, Ordering::AcqRel)
    }

    /// Asks for another attempt to open or verify the file.
    pub(crate) fn suspect(&self) {
        self.suspect.store(true, Ordering::Release);
    }

    pub(crate) fn is_suspect(&self) -> bool {
        self.suspect.load(Ordering::Acquire)
    }
}

impl Connection {
    pub(crate) fn db(&self) -> Result<&Db, StoreError> {
        match self {
            Self::Open(db) => Ok(db),
            Self::Failed(error) => Err(error.clone()),
            Self::Closed => Err(closed()),
        }
    }

    /// The database, if it takes writes.
    pub(crate) fn writable(&self) -> Result<&Database, StoreError> {
        match self.db()? {
            Db::Own(db) => Ok(db),
            Db::ReadOnly(_) => Err(opened_for_reading()),
        }
    }
}

fn not_written(found: &StoreError) -> StoreError {
    let refusal = "the file is damaged and takes no more writes; restore a backup";
    StoreError::new(StoreErrorKind::Corrupt, refusal).with_source(found.clone())
}

fn opened_for_reading() -> StoreError {
    let text = "the store is open for reading only; RedbStore::open opens it for changes";
    StoreError::new(StoreErrorKind::Closed, text)
}
