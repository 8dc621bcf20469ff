//! A store in front of the one under test, which counts, fails and holds back on request.

use async_trait::async_trait;
use durable_session::SessionId;
use durable_session::store::{
    Commit, CommitOutcome, DeleteIf, DeleteOutcome, Durability, Loaded, Page, ReadQuery, Salvaged,
    SessionStore, StoreError, StoreErrorKind, StoreLimits, TailBounds,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// What happens to the next commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It fails with this kind, and nothing is written.
    Fails(StoreErrorKind),
    /// It is written, and fails with this kind all the same.
    FailsAfterWriting(StoreErrorKind),
    /// It and so many after it meet a conflict.
    Conflicts(u32),
}

#[derive(Debug, Default)]
struct State {
    loads: u64,
    commits: u64,
    touches: u64,
    trouble: Option<Trouble>,
    load_trouble: Option<StoreErrorKind>,
    loads_held: bool,
    commits_held: bool,
    answers_held: bool,
    answers: u64,
    /// Commits that may go on all the same.
    passes: u64,
    waiting: Vec<Waker>,
}

/// A clone is the same probe.
#[derive(Clone)]
pub(crate) struct Probe {
    inner: Arc<dyn SessionStore>,
    state: Arc<Mutex<State>>,
}

impl Probe {
    pub(crate) fn new(inner: Arc<dyn SessionStore>) -> Self {
        Self { inner, state: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads begun so far.
    pub(crate) fn loads(&self) -> u64 {
        self.state().loads
    }

    /// Commits begun so far.
    pub(crate) fn commits(&self) -> u64 {
        self.state().commits
    }

    /// Commits and deletes that the store has answered so far, whether or not their answers wait.
    pub(crate) fn answers(&self) -> u64 {
        self.state().answers
    }

    /// Touches begun so far.
    pub(crate) fn touches(&self) -> u64 {
        self.state().touches
    }

    pub(crate) fn trouble(&self, trouble: Trouble) {
        self.state().trouble = Some(trouble);
    }

    pub(crate) fn fail_next_load(&self, kind: StoreErrorKind) {
        self.state().load_trouble = Some(kind);
    }

    /// Commits wait from now on.
    pub(crate) fn hold(&self) {
        self.state().commits_held = true;
    }

    /// Loads wait from now on.
    pub(crate) fn hold_loads(&self) {
        self.state().loads_held = true;
    }

    /// Commits and deletes are made from now on, and their answers wait.
    pub(crate) fn hold_answers(&self) {
        self.state().answers_held = true;
    }

    /// One commit goes on; others still wait.
    pub(crate) fn pass_one(&self) {
        self.wake(|state| state.passes += 1);
    }

    /// Commits, loads and answers go on.
    pub(crate) fn release(&self) {
        self.wake(|state| {
            state.commits_held = false;
            state.loads_held = false;
            state.answers_held = false;
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

    /// Waits while `holds` says so.
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
    StoreError::new(kind, "the suite made this fail").in_session(id)
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl SessionStore for Probe {
    async fn load(&self, id: &SessionId, tail: TailBounds) -> Result<Option<Loaded>, StoreError> {
        let trouble = {
            let mut state = self.state();
            state.loads += 1;
            state.load_trouble.take()
        };
        self.released(|state| state.loads_held).await;
        match trouble {
            Some(kind) => Err(failed(kind, id)),
            None => self.inner.load(id, tail).await,
        }
    }

    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        self.inner.read(id, query).await
    }

    async fn salvage(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Salvaged>, StoreError> {
        self.inner.salvage(id, query).await
    }

    async fn commit(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        self.state().commits += 1;
        self.released(|state| {
            let passes = state.passes > 0;
            state.passes -= u64::from(passes);
            state.commits_held && !passes
        })
        .await;
        let trouble = self.state().trouble.take();
        match trouble {
            None | Some(Trouble::Conflicts(0)) => {
                let outcome = self.inner.commit(id, commit).await;
                self.answered().await;
                outcome
            }
            Some(Trouble::Fails(kind)) => Err(failed(kind, id)),
            Some(Trouble::FailsAfterWriting(kind)) => {
                self.inner.commit(id, commit).await?;
                Err(failed(kind, id))
            }
            Some(Trouble::Conflicts(more)) => {
                self.state().trouble = Some(Trouble::Conflicts(more - 1));
                Ok(CommitOutcome::Conflict { current: None })
            }
        }
    }

    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        self.state().touches += 1;
        self.inner.touch(id, at).await
    }

    async fn delete(&self, id: &SessionId, condition: DeleteIf) -> Result<DeleteOutcome, StoreError> {
        let outcome = self.inner.delete(id, condition).await;
        self.answered().await;
        outcome
    }

    fn limits(&self) -> StoreLimits {
        self.inner.limits()
    }

    fn durability(&self) -> Durability {
        self.inner.durability()
    }
}
