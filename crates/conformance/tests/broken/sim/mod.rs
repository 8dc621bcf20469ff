//! A correct store on a simulated disk that can lose power, and what each fault does to it.

mod read;
mod write;

use crate::fault::Fault;
use async_trait::async_trait;
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{
    Commit, CommitOutcome, DeleteIf, DeleteOutcome, Durability, Head, Incarnation, ListPage, ListQuery,
    Loaded, Page, ReadQuery, Salvaged, SessionList, SessionStore, StoreError, StoreErrorKind, StoreLimits,
    TailBounds, Version,
};
use durable_session_conformance::{BoxError, Capability, Factory, Instance};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

pub(crate) type Sessions = BTreeMap<SessionId, Stored>;

/// A session as it lies on the disk.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    head: Head,
    head_damaged: bool,
    app: Bytes,
    rows: BTreeMap<u64, StoredRow>,
    /// For faults: the time and the head as some earlier moment knew them.
    committed_at: u64,
    first_head: Head,
}

#[derive(Debug, Clone)]
struct StoredRow {
    body: Bytes,
    damaged: bool,
}

/// What the process has written, and what of it a power loss leaves.
#[derive(Debug, Default)]
struct Disk {
    live: Sessions,
    synced: Sessions,
    /// How many incarnations were drawn: never forgotten, as real randomness never repeats.
    incarnations: u128,
    /// For faults that remember what they should not.
    previous: Sessions,
    deleted: Sessions,
    reopened: bool,
    shared_seq: u64,
    used: bool,
    poisoned: bool,
}

impl Disk {
    fn sync(&mut self, id: &SessionId) {
        match self.live.get(id) {
            Some(stored) => self.synced.insert(id.clone(), stored.clone()),
            None => self.synced.remove(id),
        };
    }
}

/// The store, with at most one fault.
#[derive(Debug, Clone)]
pub(crate) struct Sim {
    disk: Arc<Mutex<Disk>>,
    fault: Option<Fault>,
}

const LIMITS: StoreLimits = StoreLimits {
    max_body_bytes: 20_000,
    max_app_bytes: 10_000,
    max_commit_bytes: 50_000,
    max_commit_ops: 500,
};

impl Sim {
    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the session lies.
    fn key(&self, id: &SessionId) -> SessionId {
        let text = id.as_str();
        let text = match self.fault {
            Some(Fault::FoldsTheCaseOfIds) => text.to_ascii_lowercase(),
            Some(Fault::CutsLongIds) => text[..text.len().min(200)].to_owned(),
            Some(Fault::CutsIdsAtADot) => text.split_once('.').map_or(text, |(a, _)| a).to_owned(),
            _ => return id.clone(),
        };
        SessionId::new(text).unwrap_or_else(|_| id.clone())
    }

    fn corrupt(&self, id: &SessionId, seq: Option<u64>) -> StoreError {
        let mut error = StoreError::new(StoreErrorKind::Corrupt, "the simulated disk is damaged here");
        if !self.has(Fault::HidesWhoseTheDamageIs) {
            error = error.in_session(id);
        }
        match seq {
            Some(seq) if !self.has(Fault::HidesWhereTheDamageIs) => error.at_seq(seq),
            _ => error,
        }
    }

    fn draw_incarnation(&self, disk: &mut Disk) -> Incarnation {
        disk.incarnations += 1;
        match self.fault {
            Some(Fault::ReusesVersionsOfEarlierLives) => Incarnation::from_bytes([1; 16]),
            _ => Incarnation::from_bytes(disk.incarnations.to_be_bytes()),
        }
    }

    /// What happens to what is stored when the store is opened again: nothing, without a fault.
    fn open(&self, crashed: bool) {
        let mut disk = self.disk();
        let disk = &mut *disk;
        disk.reopened = true;
        if self.has(Fault::ReusesVersionsAfterReopen) {
            disk.incarnations = 0;
        }
        if self.has(Fault::ForgetsDeletesOnReopen) {
            disk.live.extend(std::mem::take(&mut disk.deleted));
        }
        if self.has(Fault::LosesEmptySessionsOnReopen) {
            disk.live.retain(|_, stored| !stored.rows.is_empty());
        }
        let forgets_next_seq = match self.fault {
            Some(Fault::ForgetsNextSeqOnReopen) => true,
            Some(Fault::ForgetsNextSeqInACrash) => crashed,
            _ => false,
        };
        for stored in disk.live.values_mut() {
            if forgets_next_seq {
                stored.head.next_seq = stored.rows.last_key_value().map_or(1, |(&seq, _)| seq + 1);
            }
            match self.fault {
                Some(Fault::ForgetsAppStateOnReopen) => stored.app = Bytes::new(),
                Some(Fault::ForgetsTheBaseOnReopen) => stored.head.base = stored.head.version,
                Some(Fault::ForgetsTouchesOnReopen) => stored.head.last_accessed_at = stored.committed_at,
                Some(Fault::DrawsNewVersionsOnReopen) => {
                    disk.incarnations += 1;
                    let incarnation = Incarnation::from_bytes(disk.incarnations.to_be_bytes());
                    stored.head.version = Version::new(incarnation, 1);
                    stored.head.base = stored.head.version;
                }
                _ => {}
            }
        }
    }
}

#[async_trait]
impl SessionStore for Sim {
    async fn load(&self, id: &SessionId, tail: TailBounds) -> Result<Option<Loaded>, StoreError> {
        let loaded = self.load_at(id, tail);
        if self.has(Fault::TearsPages) {
            yield_once().await;
            let head = self.disk().live.get(&self.key(id)).map(|stored| stored.head);
            return Ok(loaded?.map(|loaded| Loaded { head: head.unwrap_or(loaded.head), ..loaded }));
        }
        loaded
    }

    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        let page = self.page_at(id, query);
        if self.has(Fault::TearsPages) {
            yield_once().await;
            let head = self.disk().live.get(&self.key(id)).map(|stored| stored.head);
            return Ok(page?.map(|page| Page { head: head.unwrap_or(page.head), ..page }));
        }
        page
    }

    async fn salvage(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Salvaged>, StoreError> {
        self.salvage_at(id, query)
    }

    /// Written out, because a fault needs what `async fn` rules out: acting before the first poll.
    fn commit<'a, 'b, 'f>(
        &'a self,
        id: &'b SessionId,
        commit: Commit,
    ) -> Pin<Box<dyn Future<Output = Result<CommitOutcome, StoreError>> + Send + 'f>>
    where
        'a: 'f,
        'b: 'f,
        Self: 'f,
    {
        if self.has(Fault::ActsBeforeThePoll) {
            let outcome = self.commit_now(id, commit);
            return Box::pin(std::future::ready(outcome));
        }
        Box::pin(self.commit_in_steps(id, commit))
    }

    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        self.touch_now(id, at);
        Ok(())
    }

    async fn delete(&self, id: &SessionId, condition: DeleteIf) -> Result<DeleteOutcome, StoreError> {
        self.delete_now(id, condition)
    }

    fn limits(&self) -> StoreLimits {
        if self.has(Fault::LowersItsLimits) && self.disk().used {
            return StoreLimits { max_commit_ops: LIMITS.max_commit_ops - 1, ..LIMITS };
        }
        LIMITS
    }

    fn durability(&self) -> Durability {
        Durability::Synced
    }
}

#[async_trait]
impl SessionList for Sim {
    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        self.list_page(query)
    }
}

/// Makes simulated stores, all with the same fault.
pub(crate) struct SimFactory {
    pub(crate) fault: Option<Fault>,
    pub(crate) capabilities: &'static [Capability],
}

impl SimFactory {
    /// All capabilities there are.
    pub(crate) const ALL: &[Capability] = &[
        Capability::Reopen,
        Capability::Crash,
        Capability::Corrupt,
        Capability::List,
        Capability::Threads,
        Capability::AcceptsOnFirstPoll,
        Capability::ReachableLimits,
    ];

    /// Without threads, whether a broken store is caught does not depend on timing.
    pub(crate) const WITHOUT_THREADS: &[Capability] = &[
        Capability::Reopen,
        Capability::Crash,
        Capability::Corrupt,
        Capability::List,
        Capability::AcceptsOnFirstPoll,
        Capability::ReachableLimits,
    ];
}

#[async_trait(?Send)]
impl Factory for SimFactory {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn capabilities(&self) -> &'static [Capability] {
        self.capabilities
    }

    async fn create(&self) -> Result<Box<dyn Instance>, BoxError> {
        Ok(Box::new(SimInstance(Sim { disk: Arc::default(), fault: self.fault })))
    }
}

struct SimInstance(Sim);

#[async_trait(?Send)]
impl Instance for SimInstance {
    fn store(&self) -> Arc<dyn SessionStore> {
        Arc::new(self.0.clone())
    }

    fn list(&self) -> Option<Arc<dyn SessionList>> {
        Some(Arc::new(self.0.clone()))
    }

    async fn reopen(&mut self) -> Result<(), BoxError> {
        self.0.open(false);
        let mut disk = self.0.disk();
        disk.synced = disk.live.clone();
        Ok(())
    }

    async fn crash_and_reopen(&mut self) -> Result<(), BoxError> {
        {
            let mut disk = self.0.disk();
            disk.live = disk.synced.clone();
        }
        self.0.open(true);
        Ok(())
    }

    async fn corrupt_message(&mut self, id: &SessionId, seq: u64) -> Result<(), BoxError> {
        let mut disk = self.0.disk();
        let row = disk.live.get_mut(id).and_then(|stored| stored.rows.get_mut(&seq));
        row.ok_or("no such row")?.damaged = true;
        disk.sync(id);
        Ok(())
    }

    async fn corrupt_head(&mut self, id: &SessionId) -> Result<(), BoxError> {
        let mut disk = self.0.disk();
        disk.live.get_mut(id).ok_or("no such session")?.head_damaged = true;
        disk.sync(id);
        Ok(())
    }
}

/// Pending once: the way from the disk back to the caller.
async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The ids that begin with `prefix`.
fn with_prefix(sessions: &Sessions, prefix: &SessionId) -> BTreeSet<SessionId> {
    sessions.keys().filter(|id| id.as_str().starts_with(prefix.as_str())).cloned().collect()
}
