//! A memory store whose calls a test holds, fails and reads.

use crate::{Call, ManualClock, Through, Wrapper};
use async_trait::async_trait;
use durable_session::env::SystemRandom;
use durable_session::store::{
    Commit, CommitOutcome, ExtendOutcome, Extension, ListPage, ListQuery, LoadOutcome, LoadQuery,
    Opening, SessionList, SessionStore, Sharing, StoreError, StoreErrorKind, StoreLimits,
};
use durable_session::{AppState, ChatSessions, ChatSessionsBuilder, SessionId, Window};
use durable_session_memory::MemoryStore;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use tokio::sync::Semaphore;

/// How the next call shall fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happens, and the error says so.
    Before,
    /// The call is done, but its answer is lost.
    After,
    /// The store panics.
    Panic,
}

/// A memory store under the control of a test.
pub type Puppet = Through<Script>;

/// The commands of a test to its [`Puppet`], and the calls that reached it. A clone is the same
/// script.
#[derive(Clone)]
pub struct Script {
    /// The store that keeps the sessions.
    pub inner: MemoryStore,
    shared: Arc<Shared>,
}

struct Shared {
    /// A permit for each commit that reached the store and was not waited for.
    begun: Semaphore,
    /// A permit lets one commit through.
    gate: Semaphore,
    gated: AtomicBool,
    /// The same for extensions.
    extension_gate: Semaphore,
    extensions_gated: AtomicBool,
    used_by_others: AtomicBool,
    loads: AtomicUsize,
    reads: AtomicUsize,
    touches: AtomicUsize,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    commits: Vec<Commit>,
    commit_faults: VecDeque<Fault>,
    extensions: Vec<Extension>,
    extension_faults: VecDeque<Fault>,
    opening: Option<Opening>,
    load_faults: VecDeque<Fault>,
    touch_faults: VecDeque<Fault>,
    limits: Option<StoreLimits>,
    used_after_listing: Option<ManualClock>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            inner: MemoryStore::new(),
            shared: Arc::new(Shared {
                begun: Semaphore::new(0),
                gate: Semaphore::new(0),
                gated: AtomicBool::new(false),
                extension_gate: Semaphore::new(0),
                extensions_gated: AtomicBool::new(false),
                used_by_others: AtomicBool::new(false),
                loads: AtomicUsize::new(0),
                reads: AtomicUsize::new(0),
                touches: AtomicUsize::new(0),
                told: Mutex::default(),
            }),
        }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl Through<Script> {
    /// An empty store that works.
    #[allow(clippy::new_without_default, reason = "`Through` has the default")]
    pub fn new() -> Self {
        Self(Script::default())
    }

    /// A session registry over this store whose clock stands still at 1,000.
    pub fn sessions(&self) -> ChatSessions {
        self.builder(ManualClock::at(1000)).build()
    }

    /// A session registry that keeps so many messages, of so many bytes, of each session in memory.
    pub fn with_window(&self, messages: usize, bytes: u64) -> ChatSessions {
        self.builder(ManualClock::at(1)).window(Window { messages, bytes }).build()
    }

    /// A builder of session registries over this store.
    pub fn builder<A: AppState>(&self, clock: ManualClock) -> ChatSessionsBuilder<A> {
        ChatSessions::builder_with(self.clone(), clock, SystemRandom)
    }
}

impl Script {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.shared.told.lock().unwrap()
    }

    /// From now on each commit waits for [`let_through`](Self::let_through).
    pub fn hold_commits(&self) {
        self.shared.gated.store(true, Ordering::SeqCst);
    }

    /// Waits until a commit has reached the store: each call until the next commit has.
    pub async fn commit_begun(&self) {
        self.shared.begun.acquire().await.unwrap().forget();
    }

    /// Lets so many commits go on, now or when they come.
    pub fn let_through(&self, commits: usize) {
        self.shared.gate.add_permits(commits);
    }

    /// Lets all commits go on that wait, and holds no others.
    pub fn release(&self) {
        self.shared.gated.store(false, Ordering::SeqCst);
        self.shared.gate.add_permits(1000);
    }

    /// The next commits fail in these ways, each in one.
    pub fn fail_commits(&self, faults: &[Fault]) {
        self.told().commit_faults.extend(faults);
    }

    /// From now on each extension waits until it is released.
    pub fn hold_extensions(&self) {
        self.shared.extensions_gated.store(true, Ordering::SeqCst);
    }

    /// Lets all extensions go on that wait, and holds no others.
    pub fn release_extensions(&self) {
        self.shared.extensions_gated.store(false, Ordering::SeqCst);
        self.shared.extension_gate.add_permits(1000);
    }

    /// The next extensions fail in these ways, each in one.
    pub fn fail_extensions(&self, faults: &[Fault]) {
        self.told().extension_faults.extend(faults);
    }

    /// The extensions that reached the store.
    pub fn extensions(&self) -> Vec<Extension> {
        self.told().extensions.clone()
    }

    /// From now on the store says that other processes write to it, too.
    pub fn share(&self) {
        self.shared.used_by_others.store(true, Ordering::SeqCst);
    }

    /// From now on the store has another opening, as that of another process or after a restart.
    pub fn open_again(&self) {
        self.told().opening = Some(Opening::draw(&SystemRandom).unwrap());
    }

    /// The same store in another process, with an opening of its own. Nothing else is shared.
    pub fn of_another_process(&self) -> Puppet {
        let other = Self { inner: self.inner.clone(), ..Self::default() };
        other.open_again();
        let shared = self.shared.used_by_others.load(Ordering::SeqCst);
        other.shared.used_by_others.store(shared, Ordering::SeqCst);
        Through(other)
    }

    /// The next loads fail: as many as there are faults.
    pub fn fail_loads(&self, faults: &[Fault]) {
        self.told().load_faults.extend(faults);
    }

    /// The next touches fail: as many as there are faults.
    pub fn fail_touches(&self, faults: &[Fault]) {
        self.told().touch_faults.extend(faults);
    }

    /// From now on the store declares these limits. The memory store's own stay.
    pub fn set_limits(&self, limits: StoreLimits) {
        self.told().limits = Some(limits);
    }

    /// From now on another process uses every session right after it was listed.
    pub fn use_listed_sessions(&self, clock: &ManualClock) {
        self.told().used_after_listing = Some(clock.clone());
    }

    /// The commits that reached the store.
    pub fn commits(&self) -> Vec<Commit> {
        self.told().commits.clone()
    }

    /// How many loads reached the store.
    pub fn loads(&self) -> usize {
        self.shared.loads.load(Ordering::SeqCst)
    }

    /// How many reads of pages reached the store.
    pub fn reads(&self) -> usize {
        self.shared.reads.load(Ordering::SeqCst)
    }

    /// How many touches reached the store.
    pub fn touches(&self) -> usize {
        self.shared.touches.load(Ordering::SeqCst)
    }
}

fn unavailable() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "the test injected this fault")
}

#[async_trait]
impl Wrapper for Script {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.inner
    }

    fn before(&self, call: Call, _: &SessionId) -> Result<(), StoreError> {
        match call {
            Call::Read => drop(self.shared.reads.fetch_add(1, Ordering::SeqCst)),
            Call::Touch => {
                self.shared.touches.fetch_add(1, Ordering::SeqCst);
                if self.told().touch_faults.pop_front().is_some() {
                    return Err(unavailable());
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn load(&self, id: &SessionId, query: LoadQuery) -> Result<LoadOutcome, StoreError> {
        self.shared.loads.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        if self.told().load_faults.pop_front().is_some() {
            return Err(unavailable().in_session(id));
        }
        self.inner.load(id, query).await
    }

    /// Accepted on its first poll, also if the future is dropped then (S1): the work is a task of
    /// its own.
    async fn commit(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        let fault = {
            let mut told = self.told();
            told.commits.push(commit.clone());
            told.commit_faults.pop_front()
        };
        self.shared.begun.add_permits(1);
        assert_ne!(fault, Some(Fault::Panic), "a store that panics");
        let (this, id) = (self.clone(), id.clone());
        let work = tokio::spawn(async move {
            if this.shared.gated.load(Ordering::SeqCst) {
                this.shared.gate.acquire().await.unwrap().forget();
            }
            if fault == Some(Fault::Before) {
                return Err(unavailable().in_session(&id));
            }
            let outcome = this.inner.commit(&id, commit).await?;
            if fault == Some(Fault::After) {
                let lost = StoreError::new(StoreErrorKind::OutcomeUnknown, "the answer was lost");
                return Err(lost.in_session(&id));
            }
            Ok(outcome)
        });
        work.await.unwrap()
    }

    /// Accepted on its first poll, as a commit is.
    async fn extend(
        &self,
        id: &SessionId,
        extension: Extension,
    ) -> Result<ExtendOutcome, StoreError> {
        let fault = {
            let mut told = self.told();
            told.extensions.push(extension.clone());
            told.extension_faults.pop_front()
        };
        assert_ne!(fault, Some(Fault::Panic), "a store that panics");
        let (this, id) = (self.clone(), id.clone());
        let work = tokio::spawn(async move {
            if this.shared.extensions_gated.load(Ordering::SeqCst) {
                this.shared.extension_gate.acquire().await.unwrap().forget();
            }
            if fault == Some(Fault::Before) {
                return Err(unavailable().in_session(&id));
            }
            let outcome = this.inner.extend(&id, extension).await?;
            if fault == Some(Fault::After) {
                let lost = StoreError::new(StoreErrorKind::OutcomeUnknown, "the answer was lost");
                return Err(lost.in_session(&id));
            }
            Ok(outcome)
        });
        work.await.unwrap()
    }

    fn sharing(&self) -> Sharing {
        let shared = self.shared.used_by_others.load(Ordering::SeqCst);
        if shared { Sharing::Shared } else { self.inner.sharing() }
    }

    fn opening(&self) -> Result<Opening, StoreError> {
        let own = self.told().opening.clone();
        own.map_or_else(|| self.inner.opening(), Ok)
    }

    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        let page = self.inner.list(query).await?;
        let used = self.told().used_after_listing.clone();
        for session in page.sessions.iter().filter(|_| used.is_some()) {
            self.inner.touch(&session.id, used.as_ref().unwrap().now()).await?;
        }
        Ok(page)
    }

    fn limits(&self) -> StoreLimits {
        self.told().limits.unwrap_or_else(|| self.inner.limits())
    }
}
