//! The database that all threads of one store share, and what they count.

use crate::backend::Watch;
use crate::error::{Fault, Scope, caught, closed};
use crate::layout::{Logged, Snapshot};
use durable_session::store::{StoreError, StoreErrorKind};
use redb::{Database, ReadOnlyDatabase, ReadTransaction, ReadableDatabase, TransactionError};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A database of our own, or the host's.
pub(crate) enum Db {
    Own(Database),
    Host(Arc<Database>),
    /// Damaged so that redb does not open it but for reading.
    Damaged(ReadOnlyDatabase),
}

impl Db {
    fn begin_read(&self) -> Result<ReadTransaction, TransactionError> {
        match self {
            Self::Own(db) => db.begin_read(),
            Self::Host(db) => db.begin_read(),
            Self::Damaged(db) => db.begin_read(),
        }
    }

    /// To write to.
    pub(crate) fn writable(&self) -> Result<&Database, StoreError> {
        match self {
            Self::Own(db) => Ok(db),
            Self::Host(db) => Ok(db),
            Self::Damaged(_) => Err(not_written(None)),
        }
    }
}

/// What there is to work on.
pub(crate) enum Slot {
    Open(Db),
    /// Storage failed and the database has not been opened again since. The error says why and what to do.
    Failed(StoreError),
    Closed,
}

/// What all handles and threads of one store share.
pub(crate) struct Engine {
    slot: RwLock<Slot>,
    /// What the logs hold. Changed by the writer alone, after each durable transaction.
    logged: RwLock<Logged>,
    /// A reader met failed storage, so that the writer should open the database again.
    suspect: AtomicBool,
    /// Set once the file was found damaged beyond single rows: why nothing is written to it any more.
    condemned: Mutex<Option<StoreError>>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) counters: Counters,
}

/// See [`Stats`](crate::Stats).
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) transactions: AtomicU64,
    pub(crate) changes: AtomicU64,
    pub(crate) largest_batch: AtomicU64,
    pub(crate) reads: AtomicU64,
    pub(crate) reopened: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }
}

impl Engine {
    pub(crate) fn new(db: Db, logged: Logged, watch: Arc<Watch>) -> Self {
        let condemned = db.writable().err();
        Self {
            slot: RwLock::new(Slot::Open(db)),
            logged: RwLock::new(logged),
            suspect: AtomicBool::new(false),
            condemned: Mutex::new(condemned),
            watch,
            counters: Counters::default(),
        }
    }

    /// Shared access: reads and write transactions.
    pub(crate) fn shared(&self) -> RwLockReadGuard<'_, Slot> {
        self.slot.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Exclusive access, once the reads in progress are over: closing, reopening, compaction.
    pub(crate) fn exclusive(&self) -> RwLockWriteGuard<'_, Slot> {
        self.slot.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the logs hold.
    pub(crate) fn logged(&self) -> RwLockReadGuard<'_, Logged> {
        self.logged.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the writer alone.
    pub(crate) fn logged_mut(&self) -> RwLockWriteGuard<'_, Logged> {
        self.logged.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on one consistent view of what is durable: of the tables, and of what `take` takes from the logs.
    pub(crate) fn read<L, T>(
        &self,
        take: impl FnOnce(&Logged) -> L,
        work: impl FnOnce(&Snapshot, &L) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        Counters::add(&self.counters.reads, 1);
        let slot = self.shared();
        if matches!(*slot, Slot::Failed(_)) {
            self.suspect.store(true, Ordering::Release);
        }
        let db = slot.db()?;
        let read = || {
            let (txn, taken) = self.begin(db, take)?;
            let snapshot = Snapshot::open(&txn)?;
            work(&snapshot, &taken)
        };
        self.told(caught(read).unwrap_or_else(|message| Err(Fault::Panic(message))), "reading")
    }

    /// A reader's answer, once it is noted what it says of the store.
    pub(crate) fn told<T>(&self, result: Result<T, Fault>, doing: &'static str) -> Result<T, StoreError> {
        result.map_err(|fault| {
            let scope = fault.scope();
            if scope == Scope::Store {
                self.suspect.store(true, Ordering::Release);
            }
            let error = fault.unchanged(doing);
            if scope == Scope::File {
                self.condemn(&error);
            }
            error
        })
    }

    /// Nothing is written to the file any more. redb can panic on what contradicts itself, and while it writes it can do
    /// so twice at once, which ends the process.
    pub(crate) fn condemn(&self, found: &StoreError) {
        let mut condemned = self.condemned();
        if condemned.is_none() {
            tracing::error!(error = %found, "the file is damaged; nothing is written to it any more");
            *condemned = Some(not_written(Some(found)));
        }
    }

    /// Why nothing may be written to the file, if so.
    pub(crate) fn condemned(&self) -> MutexGuard<'_, Option<StoreError>> {
        self.condemned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A read transaction that holds up neither closing nor reopening (they end it), and what `take` takes from the logs.
    pub(crate) fn begin_read<L>(
        &self,
        take: impl FnOnce(&Logged) -> L,
    ) -> Result<(ReadTransaction, L), Fault> {
        self.begin(self.shared().db()?, take)
    }

    /// Under one lock: what the writer takes out of the logs is then among the rows, or still here.
    fn begin<L>(&self, db: &Db, take: impl FnOnce(&Logged) -> L) -> Result<(ReadTransaction, L), Fault> {
        let logged = self.logged();
        let txn = db.begin_read()?;
        Ok((txn, take(&logged)))
    }

    /// Whether a reader met failed storage since this was last asked.
    pub(crate) fn take_suspicion(&self) -> bool {
        self.suspect.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn is_suspect(&self) -> bool {
        self.suspect.load(Ordering::Acquire)
    }
}

impl Slot {
    pub(crate) fn db(&self) -> Result<&Db, StoreError> {
        match self {
            Self::Open(db) => Ok(db),
            Self::Failed(error) => Err(error.clone()),
            Self::Closed => Err(closed()),
        }
    }
}

fn not_written(found: Option<&StoreError>) -> StoreError {
    let refusal = "the file is damaged and nothing is written to it any more; restore a backup";
    let error = StoreError::new(StoreErrorKind::Corrupt, refusal);
    match found {
        Some(found) => error.with_source(found.clone()),
        None => error,
    }
}
