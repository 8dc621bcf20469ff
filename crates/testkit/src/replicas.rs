//! A memory store that several processes share, with a server that can fail over.

use async_trait::async_trait;
use durable_session::SessionId;
use durable_session::env::{Random, SystemRandom};
use durable_session::store::{
    ChunkPage, ChunkQuery, Commit, CommitOutcome, DeleteIf, DeleteOutcome, Durability, Expect,
    ExtendOutcome, Extension, Hint, Hints, Incarnation, ListPage, ListQuery, LoadOutcome,
    LoadQuery, Opening, Page, ReadQuery, Salt, Salvaged, SessionList, SessionStore, Sharing,
    StoreError, StoreErrorKind, StoreLimits,
};
use durable_session_memory::MemoryStore;
use futures_core::Stream;
use futures_core::stream::BoxStream;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use tokio::sync::Semaphore;

/// A server that keeps sessions in memory, for several processes at once. Each of them has a
/// [`Replica`]. A clone is the same server.
#[derive(Clone)]
pub struct Database(Arc<Server>);

struct Server {
    state: Mutex<State>,
    /// Held while a change is made and logged.
    order: tokio::sync::Mutex<()>,
    next: AtomicU64,
}

struct State {
    store: MemoryStore,
    salt: Salt,
    /// The changes so far, from which another server can make the same sessions.
    log: Vec<Change>,
    listeners: Vec<(u64, Arc<Mutex<Inbox>>)>,
    hints: bool,
}

#[derive(Clone)]
enum Change {
    Commit(SessionId, Commit),
    Extend(SessionId, Extension),
    Touch(SessionId, u64),
    Delete(SessionId, DeleteIf),
}

#[derive(Default)]
struct Inbox {
    hints: VecDeque<Hint>,
    waker: Option<Waker>,
    closed: bool,
}

/// The store of one process that shares a [`Database`]. A clone is the same opening.
#[derive(Clone)]
pub struct Replica {
    database: Database,
    number: u64,
    opening: Opening,
    loads: Arc<Loads>,
}

struct Loads {
    queries: Mutex<Vec<LoadQuery>>,
    loaded: AtomicU64,
    failing: AtomicBool,
    late: AtomicBool,
    gated: AtomicBool,
    /// A permit lets one load through.
    gate: Semaphore,
    /// A permit for each load that has reached the store and was not waited for.
    begun: Semaphore,
}

impl Default for Database {
    fn default() -> Self {
        Self(Arc::new(Server {
            state: Mutex::new(State {
                store: MemoryStore::new(),
                salt: Salt::NONE,
                log: Vec::new(),
                listeners: Vec::new(),
                hints: true,
            }),
            order: tokio::sync::Mutex::default(),
            next: AtomicU64::new(0),
        }))
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Database {
    /// An empty server.
    pub fn new() -> Self {
        Self::default()
    }

    /// The store of one more process.
    pub fn replica(&self) -> Replica {
        Replica {
            database: self.clone(),
            number: self.0.next.fetch_add(1, Ordering::SeqCst),
            opening: Opening::draw(&SystemRandom).unwrap(),
            loads: Arc::new(Loads {
                queries: Mutex::default(),
                loaded: AtomicU64::new(0),
                failing: AtomicBool::new(false),
                late: AtomicBool::new(false),
                gated: AtomicBool::new(false),
                gate: Semaphore::new(0),
                begun: Semaphore::new(0),
            }),
        }
    }

    /// From now on no hint is sent: all are lost.
    pub fn lose_hints(&self) {
        self.state().hints = false;
    }

    /// Ends all streams of hints.
    pub fn end_hints(&self) {
        for (_, inbox) in self.state().listeners.drain(..) {
            let mut inbox = inbox.lock().unwrap();
            inbox.closed = true;
            inbox.waker.take().into_iter().for_each(Waker::wake);
        }
    }

    /// How many streams of hints are open.
    pub fn listeners(&self) -> usize {
        self.state().listeners.len()
    }

    /// Another server takes over without the last `lost` changes. It has a salt of its own.
    pub async fn fail_over(&self, lost: usize) {
        let _order = self.0.order.lock().await;
        let log = {
            let state = self.state();
            state.log[..state.log.len() - lost].to_vec()
        };
        let standby = MemoryStore::new();
        for change in log.clone() {
            match change {
                Change::Commit(id, commit) => drop(standby.commit(&id, commit).await.unwrap()),
                Change::Extend(id, extension) => {
                    let _ = standby.extend(&id, extension).await.unwrap();
                }
                Change::Touch(id, at) => standby.touch(&id, at).await.unwrap(),
                Change::Delete(id, condition) => {
                    let _ = standby.delete(&id, condition).await.unwrap();
                }
            }
        }
        let mut salt = [0; 8];
        SystemRandom.fill(&mut salt).unwrap();
        let mut state = self.state();
        (state.store, state.log, state.salt) = (standby, log, Salt::new(u64::from_le_bytes(salt)));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    fn store(&self) -> (MemoryStore, Salt) {
        let state = self.state();
        (state.store.clone(), state.salt)
    }

    /// A change by the replica with this number has happened.
    fn changed(&self, by: u64, id: &SessionId, change: Change) {
        let mut state = self.state();
        state.log.push(change);
        if !state.hints {
            return;
        }
        for (_, inbox) in state.listeners.iter().filter(|(number, _)| *number != by) {
            let mut inbox = inbox.lock().unwrap();
            inbox.hints.push_back(Hint::Session(id.clone()));
            inbox.waker.take().into_iter().for_each(Waker::wake);
        }
    }
}

struct Stored(Arc<Mutex<Inbox>>);

impl Stream for Stored {
    type Item = Hint;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Hint>> {
        let mut inbox = self.0.lock().unwrap();
        match inbox.hints.pop_front() {
            Some(hint) => Poll::Ready(Some(hint)),
            None if inbox.closed => Poll::Ready(None),
            None => {
                inbox.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Replica {
    /// The loads that reached the store, questions included.
    pub fn loads(&self) -> Vec<LoadQuery> {
        self.loads.queries.lock().unwrap().clone()
    }

    /// How many loads brought a session, and not only the answer that it has not changed.
    pub fn loaded(&self) -> u64 {
        self.loads.loaded.load(Ordering::SeqCst)
    }

    /// From now on the answer to each load waits for [`let_through`](Self::let_through). It is the
    /// answer of the moment at which the load began.
    pub fn hold_loads(&self) {
        self.loads.gated.store(true, Ordering::SeqCst);
    }

    /// Waits until a load has begun: each call until the next load has.
    pub async fn load_begun(&self) {
        self.loads.begun.acquire().await.unwrap().forget();
    }

    /// Lets the answers to so many loads through, now or when they come.
    pub fn let_through(&self, loads: usize) {
        self.loads.gate.add_permits(loads);
    }

    /// Lets the answers to all loads through that wait, and holds no others.
    pub fn release_loads(&self) {
        self.loads.gated.store(false, Ordering::SeqCst);
        self.let_through(1000);
    }

    /// Whether the answers to loads and commits come later than they are worked out: after another
    /// turn of the executor.
    pub fn answer_late(&self, late: bool) {
        self.loads.late.store(late, Ordering::SeqCst);
    }

    async fn answered(&self) {
        let mut late = self.loads.late.load(Ordering::SeqCst);
        poll_fn(|cx| {
            if !std::mem::take(&mut late) {
                return Poll::Ready(());
            }
            std::thread::yield_now();
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Whether loads fail from now on.
    pub fn fail_loads(&self, fail: bool) {
        self.loads.failing.store(fail, Ordering::SeqCst);
    }
}

#[async_trait]
impl SessionStore for Replica {
    async fn load(&self, id: &SessionId, query: LoadQuery) -> Result<LoadOutcome, StoreError> {
        self.loads.queries.lock().unwrap().push(query);
        let (store, salt) = self.database.store();
        let mut stored = query;
        stored.known = query.known.map(|version| version.salted(salt));
        let outcome = store.load(id, stored).await;
        self.answered().await;
        self.loads.begun.add_permits(1);
        if self.loads.gated.load(Ordering::SeqCst) {
            self.loads.gate.acquire().await.unwrap().forget();
        }
        if self.loads.failing.load(Ordering::SeqCst) {
            let e = StoreError::new(StoreErrorKind::Unavailable, "the test injected this fault");
            return Err(e.in_session(id));
        }
        Ok(match outcome? {
            LoadOutcome::Loaded(mut loaded) => {
                self.loads.loaded.fetch_add(1, Ordering::SeqCst);
                loaded.head = loaded.head.salted(salt);
                LoadOutcome::Loaded(loaded)
            }
            other => other,
        })
    }

    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        let (store, salt) = self.database.store();
        let page = store.read(id, query).await?;
        Ok(page.map(|page| Page { head: page.head.salted(salt), ..page }))
    }

    async fn read_chunks(
        &self,
        id: &SessionId,
        query: ChunkQuery,
    ) -> Result<Option<ChunkPage>, StoreError> {
        self.database.store().0.read_chunks(id, query).await
    }

    async fn salvage(
        &self,
        id: &SessionId,
        query: ReadQuery,
    ) -> Result<Option<Salvaged>, StoreError> {
        let (store, salt) = self.database.store();
        let mut salvaged = store.salvage(id, query).await?;
        if let Some(salvaged) = &mut salvaged {
            salvaged.head = salvaged.head.map(|head| head.salted(salt));
        }
        Ok(salvaged)
    }

    async fn commit(
        &self,
        id: &SessionId,
        mut commit: Commit,
    ) -> Result<CommitOutcome, StoreError> {
        let _order = self.database.0.order.lock().await;
        let (store, salt) = self.database.store();
        match &mut commit.expect {
            Expect::Absent { incarnation, .. } => {
                // A standby makes the same one.
                let drawn = Incarnation::draw(&SystemRandom).unwrap();
                *incarnation = Some(incarnation.unwrap_or(drawn).salted(salt));
            }
            Expect::Version { version, .. } => *version = version.salted(salt),
        }
        let logged = Change::Commit(id.clone(), commit.clone());
        let outcome = store.commit(id, commit).await?;
        self.answered().await;
        Ok(match outcome {
            CommitOutcome::Committed(head) => {
                self.database.changed(self.number, id, logged);
                CommitOutcome::Committed(head.salted(salt))
            }
            CommitOutcome::Conflict { current } => {
                CommitOutcome::Conflict { current: current.map(|version| version.salted(salt)) }
            }
            other => other,
        })
    }

    async fn extend(
        &self,
        id: &SessionId,
        extension: Extension,
    ) -> Result<ExtendOutcome, StoreError> {
        let _order = self.database.0.order.lock().await;
        let logged = Change::Extend(id.clone(), extension.clone());
        let outcome = self.database.store().0.extend(id, extension).await?;
        if let ExtendOutcome::Extended(_) = outcome {
            self.database.changed(self.number, id, logged);
        }
        Ok(outcome)
    }

    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        let _order = self.database.0.order.lock().await;
        self.database.state().log.push(Change::Touch(id.clone(), at));
        self.database.store().0.touch(id, at).await
    }

    async fn delete(
        &self,
        id: &SessionId,
        condition: DeleteIf,
    ) -> Result<DeleteOutcome, StoreError> {
        let _order = self.database.0.order.lock().await;
        let (store, salt) = self.database.store();
        let condition = match condition {
            DeleteIf::Version(version) => DeleteIf::Version(version.salted(salt)),
            other => other,
        };
        Ok(match store.delete(id, condition).await? {
            DeleteOutcome::Deleted => {
                let logged = Change::Delete(id.clone(), condition);
                self.database.changed(self.number, id, logged);
                DeleteOutcome::Deleted
            }
            DeleteOutcome::Conflict { current } => {
                DeleteOutcome::Conflict { current: current.salted(salt) }
            }
            DeleteOutcome::Absent => DeleteOutcome::Absent,
        })
    }

    fn limits(&self) -> StoreLimits {
        self.database.store().0.limits()
    }

    fn durability(&self) -> Durability {
        Durability::Process
    }

    fn sharing(&self) -> Sharing {
        Sharing::Shared
    }

    fn opening(&self) -> Result<Opening, StoreError> {
        Ok(self.opening.clone())
    }
}

#[async_trait]
impl SessionList for Replica {
    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        let (store, salt) = self.database.store();
        let mut page = store.list(query).await?;
        for session in &mut page.sessions {
            if let Ok(head) = &mut session.head {
                *head = head.salted(salt);
            }
        }
        Ok(page)
    }
}

#[async_trait]
impl Hints for Replica {
    async fn hints(&self) -> Result<BoxStream<'static, Hint>, StoreError> {
        let inbox = Arc::<Mutex<Inbox>>::default();
        self.database.state().listeners.push((self.number, Arc::clone(&inbox)));
        Ok(Box::pin(Stored(inbox)))
    }
}
