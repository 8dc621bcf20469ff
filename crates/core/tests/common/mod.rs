//! A store whose commits wait and fail on command, and a clock that stands still.
// Helpers of tests, of which each test binary uses some.
#![allow(dead_code, unreachable_pub, missing_docs, missing_debug_implementations)]
#![allow(clippy::unwrap_used, clippy::panic)]

use async_trait::async_trait;
use durable_session::env::{Clock, SystemRandom};
use durable_session::store::{
    Commit, CommitOutcome, DeleteIf, DeleteOutcome, Durability, ListPage, ListQuery, Loaded, Page, ReadQuery,
    Salvaged, SessionList, SessionStore, StoreError, StoreErrorKind, StoreLimits, TailBounds,
};
use durable_session::{
    Added, AppState, ChatSession, ChatSessions, ChatSessionsBuilder, Error, Message, SessionId, Window,
};
use durable_session_memory::MemoryStore;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

pub fn id(text: &str) -> SessionId {
    SessionId::new(text).unwrap()
}

/// Lets the tasks of this runtime go on as far as they can.
pub async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

pub fn spawn_add(chat: &ChatSession, message: Message) -> JoinHandle<Result<Added, Error>> {
    let chat = chat.clone();
    tokio::spawn(async move { chat.add_message(message).await })
}

/// Runs it on a thread of its own: also from within a closure that the engine calls.
pub fn elsewhere<T: Send>(work: impl Future<Output = T> + Send) -> T {
    let run = || tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work);
    std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}

#[derive(Clone, Default)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    pub fn at(ms: u64) -> Self {
        let clock = Self::default();
        clock.set(ms);
        clock
    }

    pub fn set(&self, ms: u64) {
        self.0.store(ms, Ordering::SeqCst);
    }

    pub fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    pub fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.now()
    }
}

/// What the next commit or load shall do instead of working.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Nothing happens, and it says so.
    Before,
    /// It happens, but the answer is lost.
    After,
    Panic,
}

/// A memory store under the test's control.
#[derive(Clone)]
pub struct Puppet {
    pub inner: MemoryStore,
    shared: Arc<Shared>,
}

struct Shared {
    /// One permit lets one commit through; closed: all.
    gate: Semaphore,
    gated: AtomicBool,
    commits: Mutex<Vec<Commit>>,
    commit_faults: Mutex<Vec<Fault>>,
    load_faults: Mutex<Vec<Fault>>,
    touch_faults: Mutex<Vec<Fault>>,
    loads: AtomicUsize,
    reads: AtomicUsize,
    touches: AtomicUsize,
    limits: Mutex<Option<StoreLimits>>,
}

impl Puppet {
    pub fn new() -> Self {
        Self {
            inner: MemoryStore::new(),
            shared: Arc::new(Shared {
                gate: Semaphore::new(0),
                gated: AtomicBool::new(false),
                commits: Mutex::default(),
                commit_faults: Mutex::default(),
                load_faults: Mutex::default(),
                touch_faults: Mutex::default(),
                loads: AtomicUsize::new(0),
                reads: AtomicUsize::new(0),
                touches: AtomicUsize::new(0),
                limits: Mutex::default(),
            }),
        }
    }

    pub fn sessions(&self) -> ChatSessions {
        self.builder(ManualClock::at(1000)).build()
    }

    /// A hub that keeps so many messages, of so many bytes, of each session in memory.
    pub fn with_window(&self, messages: usize, bytes: u64) -> ChatSessions {
        self.builder(ManualClock::at(1)).window(Window { messages, bytes }).build()
    }

    pub fn builder<A: AppState>(&self, clock: ManualClock) -> ChatSessionsBuilder<A> {
        ChatSessions::builder_with(self.clone(), clock, SystemRandom)
    }

    /// From now on commits wait for `let_through`.
    pub fn hold_commits(&self) {
        self.shared.gated.store(true, Ordering::SeqCst);
    }

    pub fn let_through(&self, commits: usize) {
        self.shared.gate.add_permits(commits);
    }

    pub fn release(&self) {
        self.shared.gated.store(false, Ordering::SeqCst);
        self.shared.gate.add_permits(1000);
    }

    pub fn fail_commits(&self, faults: &[Fault]) {
        self.shared.commit_faults.lock().unwrap().extend(faults);
    }

    pub fn fail_loads(&self, faults: &[Fault]) {
        self.shared.load_faults.lock().unwrap().extend(faults);
    }

    pub fn fail_touches(&self, faults: &[Fault]) {
        self.shared.touch_faults.lock().unwrap().extend(faults);
    }

    /// From now on it declares these.
    pub fn set_limits(&self, limits: StoreLimits) {
        *self.shared.limits.lock().unwrap() = Some(limits);
    }

    /// The commits that reached the store.
    pub fn commits(&self) -> Vec<Commit> {
        self.shared.commits.lock().unwrap().clone()
    }

    pub fn loads(&self) -> usize {
        self.shared.loads.load(Ordering::SeqCst)
    }

    pub fn reads(&self) -> usize {
        self.shared.reads.load(Ordering::SeqCst)
    }

    pub fn touches(&self) -> usize {
        self.shared.touches.load(Ordering::SeqCst)
    }
}

fn next(faults: &Mutex<Vec<Fault>>) -> Option<Fault> {
    let mut faults = faults.lock().unwrap();
    (!faults.is_empty()).then(|| faults.remove(0))
}

fn unavailable() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "the test says so")
}

#[async_trait]
impl SessionStore for Puppet {
    async fn load(&self, id: &SessionId, tail: TailBounds) -> Result<Option<Loaded>, StoreError> {
        self.shared.loads.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        if next(&self.shared.load_faults).is_some() {
            return Err(unavailable().in_session(id));
        }
        self.inner.load(id, tail).await
    }

    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        self.shared.reads.fetch_add(1, Ordering::SeqCst);
        self.inner.read(id, query).await
    }

    async fn salvage(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Salvaged>, StoreError> {
        self.inner.salvage(id, query).await
    }

    /// Accepted on its first poll, whatever becomes of the future (S1): the work is a task of its own.
    async fn commit(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        self.shared.commits.lock().unwrap().push(commit.clone());
        let fault = next(&self.shared.commit_faults);
        if matches!(fault, Some(Fault::Panic)) {
            panic!("a store that panics");
        }
        let (this, id) = (self.clone(), id.clone());
        let work = tokio::spawn(async move {
            if this.shared.gated.load(Ordering::SeqCst) {
                this.shared.gate.acquire().await.unwrap().forget();
            }
            match fault {
                Some(Fault::Before) => Err(unavailable().in_session(&id)),
                Some(Fault::After) => {
                    this.inner.commit(&id, commit).await?;
                    Err(StoreError::new(StoreErrorKind::OutcomeUnknown, "the answer was lost")
                        .in_session(&id))
                }
                _ => this.inner.commit(&id, commit).await,
            }
        });
        work.await.unwrap()
    }

    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        self.shared.touches.fetch_add(1, Ordering::SeqCst);
        if next(&self.shared.touch_faults).is_some() {
            return Err(unavailable());
        }
        self.inner.touch(id, at).await
    }

    async fn delete(&self, id: &SessionId, condition: DeleteIf) -> Result<DeleteOutcome, StoreError> {
        self.inner.delete(id, condition).await
    }

    fn limits(&self) -> StoreLimits {
        self.shared.limits.lock().unwrap().unwrap_or_else(|| self.inner.limits())
    }

    fn durability(&self) -> Durability {
        self.inner.durability()
    }
}

#[async_trait]
impl SessionList for Puppet {
    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        self.inner.list(query).await
    }
}

/// The text of each message.
pub fn texts(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|m| m.text().unwrap().into_owned()).collect()
}
