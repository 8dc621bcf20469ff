//! A wrapper of the store under test that counts calls, injects faults and delays answers.

use async_trait::async_trait;
use durable_session::SessionId;
use durable_session::store::{
    ChunkPage, ChunkQuery, Commit, CommitOutcome, DeleteIf, DeleteOutcome, Durability,
    ExtendOutcome, Extension, Hint, Hints, ListPage, ListQuery, LoadOutcome, LoadQuery, Opening,
    Page, ReadQuery, Salvaged, SessionList, SessionStore, Sharing, StoreError, StoreErrorKind,
    StoreLimits, Version,
};
use futures_util::stream::{BoxStream, poll_fn};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// A fault that is injected into the next commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails with this kind and writes nothing.
    Fails(StoreErrorKind),
    /// It is written and fails with this kind.
    FailsAfterWriting(StoreErrorKind),
    /// It and this many after it answer with a conflict.
    Conflicts(u32),
}

#[derive(Debug, Default)]
struct Extensions {
    held: bool,
    fault: Option<Fault>,
}

/// The answers of the store to loads.
#[derive(Debug, Default)]
struct LoadAnswers {
    /// The number of them, held ones included.
    count: u64,
    held: bool,
}

#[derive(Default)]
struct State {
    inner: Option<Arc<dyn SessionStore>>,
    loads: u64,
    /// The number of loads and of reads of chunks.
    questions: u64,
    /// The number of loads that named no version.
    first_loads: u64,
    load_answers: LoadAnswers,
    /// The version that the last load named.
    known: Option<Version>,
    hints: VecDeque<Hint>,
    commits: u64,
    touches: u64,
    fault: Option<Fault>,
    load_fault: Option<StoreErrorKind>,
    loads_held: bool,
    commits_held: bool,
    answers_held: bool,
    extensions: Extensions,
    answers: u64,
    /// Commits that may proceed although commits are held.
    passes: u64,
    /// The time of a touch of every session that is listed.
    used_at: Option<u64>,
    waiting: Vec<Waker>,
}

/// Clones share their state.
#[derive(Clone)]
pub(crate) struct Probe {
    limits: StoreLimits,
    durability: Durability,
    sharing: Sharing,
    list: Option<Arc<dyn SessionList>>,
    state: Arc<Mutex<State>>,
    /// As if the store were shared, and this were another opening of it.
    opening: Option<Opening>,
}

impl Probe {
    pub(crate) fn new(inner: Arc<dyn SessionStore>) -> Self {
        let (limits, durability, sharing) = (inner.limits(), inner.durability(), inner.sharing());
        let state = State { inner: Some(inner), ..State::default() };
        let state = Arc::new(Mutex::new(state));
        Self { limits, durability, sharing, list: None, state, opening: None }
    }

    /// The store as another process has it that shares it.
    pub(crate) fn sharing(inner: Arc<dyn SessionStore>, opening: Opening) -> Self {
        Self { opening: Some(opening), ..Self::new(inner) }
    }

    /// A probe of a store that can list.
    pub(crate) fn listing(list: Arc<dyn SessionList>) -> Self {
        let inner = Arc::new(list.clone());
        Self { list: Some(list), ..Self::new(inner) }
    }

    /// From now on each call fails: the store may be opened again.
    pub(crate) fn disconnect(&self) {
        let inner = self.state().inner.take();
        drop(inner);
    }

    /// From now on calls go to this store.
    pub(crate) fn connect(&self, inner: Arc<dyn SessionStore>) {
        self.state().inner = Some(inner);
    }

    fn inner(&self) -> Result<Arc<dyn SessionStore>, StoreError> {
        let inner = self.state().inner.clone();
        inner.ok_or_else(|| {
            StoreError::new(StoreErrorKind::Unavailable, "the suite disconnected it")
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of loads begun.
    pub(crate) fn loads(&self) -> u64 {
        self.state().loads
    }

    /// The number of loads and of reads of chunks begun.
    pub(crate) fn questions(&self) -> u64 {
        self.state().questions
    }

    /// The number of loads begun that named no version.
    pub(crate) fn first_loads(&self) -> u64 {
        self.state().first_loads
    }

    /// The number of commits begun.
    pub(crate) fn commits(&self) -> u64 {
        self.state().commits
    }

    /// The number of commits and deletes that the store has answered, including held answers.
    pub(crate) fn answers(&self) -> u64 {
        self.state().answers
    }

    /// The number of touches begun.
    pub(crate) fn touches(&self) -> u64 {
        self.state().touches
    }

    pub(crate) fn inject(&self, fault: Fault) {
        self.state().fault = Some(fault);
    }

    pub(crate) fn fail_next_load(&self, kind: StoreErrorKind) {
        self.state().load_fault = Some(kind);
    }

    /// The next extension fails in this way.
    pub(crate) fn inject_into_extension(&self, fault: Fault) {
        self.state().extensions.fault = Some(fault);
    }

    /// From now on, extensions wait.
    pub(crate) fn hold_extensions(&self) {
        self.state().extensions.held = true;
    }

    /// From now on, every session is touched at this time just after it was listed.
    pub(crate) fn touch_listed_sessions(&self, at: u64) {
        self.state().used_at = Some(at);
    }

    /// From now on, commits wait.
    pub(crate) fn hold(&self) {
        self.state().commits_held = true;
    }

    /// From now on, loads wait.
    pub(crate) fn hold_loads(&self) {
        self.state().loads_held = true;
    }

    /// From now on, loads are made and their answers wait.
    pub(crate) fn hold_load_answers(&self) {
        self.state().load_answers.held = true;
    }

    /// The number of loads that the store has answered, including held answers.
    pub(crate) fn load_answers(&self) -> u64 {
        self.state().load_answers.count
    }

    /// The version that the last load named.
    pub(crate) fn last_known(&self) -> Option<Version> {
        self.state().known
    }

    /// Sends a hint.
    pub(crate) fn hint(&self, hint: Hint) {
        self.wake(|state| state.hints.push_back(hint));
    }

    /// From now on, commits and deletes are made and their answers wait.
    pub(crate) fn hold_answers(&self) {
        self.state().answers_held = true;
    }

    /// Lets one commit proceed; others still wait.
    pub(crate) fn pass_one(&self) {
        self.wake(|state| state.passes += 1);
    }

    /// Lets all commits, loads and answers proceed.
    pub(crate) fn release(&self) {
        self.wake(|state| {
            state.commits_held = false;
            state.loads_held = false;
            state.load_answers.held = false;
            state.answers_held = false;
            state.extensions.held = false;
        });
    }

    fn wake(&self, change: impl FnOnce(&mut State)) {
        let waiting = {
            let mut state = self.state();
            change(&mut state);
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Counts an answer of the store and waits while answers are held.
    async fn answered(&self) {
        self.state().answers += 1;
        self.released(|state| state.answers_held).await;
    }

    /// Waits while `holds` returns true.
    async fn released(&self, holds: impl Fn(&mut State) -> bool) {
        std::future::poll_fn(|cx| {
            let mut state = self.state();
            if holds(&mut state) {
                state.waiting.push(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }
}

fn failed(kind: StoreErrorKind, id: &SessionId) -> StoreError {
    StoreError::new(kind, "injected by the suite").in_session(id)
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl SessionStore for Probe {
    async fn load(&self, id: &SessionId, query: LoadQuery) -> Result<LoadOutcome, StoreError> {
        let fault = {
            let mut state = self.state();
            state.loads += 1;
            state.questions += 1;
            state.first_loads += u64::from(query.known.is_none());
            state.known = query.known;
            state.load_fault.take()
        };
        self.released(|state| state.loads_held).await;
        if let Some(kind) = fault {
            return Err(failed(kind, id));
        }
        let outcome = self.inner()?.load(id, query).await;
        self.state().load_answers.count += 1;
        self.released(|state| state.load_answers.held).await;
        outcome
    }

    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        self.inner()?.read(id, query).await
    }

    async fn read_chunks(
        &self,
        id: &SessionId,
        query: ChunkQuery,
    ) -> Result<Option<ChunkPage>, StoreError> {
        self.state().questions += 1;
        self.inner()?.read_chunks(id, query).await
    }

    async fn salvage(
        &self,
        id: &SessionId,
        query: ReadQuery,
    ) -> Result<Option<Salvaged>, StoreError> {
        self.inner()?.salvage(id, query).await
    }

    async fn commit(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        self.state().commits += 1;
        self.released(|state| {
            let passes = state.passes > 0;
            state.passes -= u64::from(passes);
            state.commits_held && !passes
        })
        .await;
        let fault = self.state().fault.take();
        match fault {
            None | Some(Fault::Conflicts(0)) => {
                let outcome = self.inner()?.commit(id, commit).await;
                self.answered().await;
                outcome
            }
            Some(Fault::Fails(kind)) => Err(failed(kind, id)),
            Some(Fault::FailsAfterWriting(kind)) => {
                self.inner()?.commit(id, commit).await?;
                Err(failed(kind, id))
            }
            Some(Fault::Conflicts(more)) => {
                self.state().fault = Some(Fault::Conflicts(more - 1));
                Ok(CommitOutcome::Conflict { current: None })
            }
        }
    }

    async fn extend(
        &self,
        id: &SessionId,
        extension: Extension,
    ) -> Result<ExtendOutcome, StoreError> {
        self.released(|state| state.extensions.held).await;
        let fault = self.state().extensions.fault.take();
        match fault {
            Some(Fault::Fails(kind)) => Err(failed(kind, id)),
            Some(Fault::FailsAfterWriting(kind)) => {
                self.inner()?.extend(id, extension).await?;
                Err(failed(kind, id))
            }
            None | Some(Fault::Conflicts(_)) => self.inner()?.extend(id, extension).await,
        }
    }

    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        self.state().touches += 1;
        self.inner()?.touch(id, at).await
    }

    async fn delete(
        &self,
        id: &SessionId,
        condition: DeleteIf,
    ) -> Result<DeleteOutcome, StoreError> {
        let outcome = self.inner()?.delete(id, condition).await;
        self.answered().await;
        outcome
    }

    fn limits(&self) -> StoreLimits {
        self.limits
    }

    fn durability(&self) -> Durability {
        self.durability
    }

    fn sharing(&self) -> Sharing {
        if self.opening.is_some() { Sharing::Shared } else { self.sharing }
    }

    fn opening(&self) -> Result<Opening, StoreError> {
        match &self.opening {
            Some(opening) => Ok(opening.clone()),
            None => self.inner()?.opening(),
        }
    }
}

#[async_trait]
impl Hints for Probe {
    async fn hints(&self) -> Result<BoxStream<'static, Hint>, StoreError> {
        let probe = self.clone();
        Ok(Box::pin(poll_fn(move |cx| {
            let mut state = probe.state();
            if let Some(hint) = state.hints.pop_front() {
                return Poll::Ready(Some(hint));
            }
            state.waiting.push(cx.waker().clone());
            Poll::Pending
        })))
    }
}

#[async_trait]
impl SessionList for Probe {
    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        let Some(list) = &self.list else {
            return Err(StoreError::new(
                StoreErrorKind::Internal,
                "the wrapped store has no listing",
            ));
        };
        let page = list.list(query).await?;
        let used_at = self.state().used_at;
        if let Some(at) = used_at {
            for session in &page.sessions {
                self.touch(&session.id, at).await?;
            }
        }
        Ok(page)
    }
}
