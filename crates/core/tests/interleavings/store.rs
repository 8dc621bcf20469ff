//! A store that answers later, and the trace of a schedule.

use async_trait::async_trait;
use durable_session::env::{Clock, SystemRandom};
use durable_session::store::{
    ChunkPage, ChunkQuery, Commit, CommitOutcome, DeleteIf, DeleteOutcome, ExtendOutcome,
    Extension, LoadOutcome, LoadQuery, Op, Page, ReadQuery, SessionStore, StoreError,
    StoreErrorKind,
};
use durable_session::{ChatSessions, Memory, SessionId};
use durable_session_memory::MemoryStore;
use shuttle::future::{spawn, yield_now};
use shuttle::thread;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use testkit::{Through, Wrapper};

/// The steps of one schedule, in order: tells schedules apart.
#[derive(Clone, Default)]
pub(super) struct Trace(Arc<Mutex<Vec<(String, u64)>>>);

impl Trace {
    pub(super) fn note(&self, what: impl Into<String>, number: u64) {
        self.0.lock().unwrap().push((what.into(), number));
    }

    pub(super) fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.lock().unwrap().hash(&mut hasher);
        hasher.finish()
    }
}

/// A store whose work is a task of its own, accepted on the first poll and answered some switches
/// later (S1).
#[derive(Clone)]
pub(super) struct Slow {
    pub(super) inner: MemoryStore,
    trace: Trace,
    /// Commits that shall fail: before being made (`false`) or after (`true`).
    pub(super) faults: Arc<Mutex<Vec<Option<bool>>>>,
    /// The messages appended by commits that were answered.
    pub(super) answered: Arc<AtomicU64>,
}

impl Slow {
    pub(super) fn new(trace: &Trace) -> Self {
        Self {
            inner: MemoryStore::new(),
            trace: trace.clone(),
            faults: Arc::default(),
            answered: Arc::default(),
        }
    }

    pub(super) fn sessions(&self) -> ChatSessions {
        // Every occasion evicts: the budget is nothing.
        self.sessions_in(Memory { bytes: 0, idle: Duration::ZERO })
    }

    pub(super) fn sessions_in(&self, memory: Memory) -> ChatSessions {
        ChatSessions::builder_with(Through(self.clone()), Still(self.trace.clone()), SystemRandom)
            .memory(memory)
            .attempts(1000)
            .build()
    }
}

/// A clock that stands still. The driver asks it in the middle of its work, which shows the order
/// of the threads.
struct Still(Trace);

impl Clock for Still {
    fn now_ms(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        thread::current().id().hash(&mut hasher);
        self.0.note("", hasher.finish());
        1
    }

    fn monotonic_ms(&self) -> u64 {
        1
    }
}

#[async_trait]
impl Wrapper for Slow {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.inner
    }

    async fn load(&self, id: &SessionId, query: LoadQuery) -> Result<LoadOutcome, StoreError> {
        yield_now().await;
        let loaded = self.inner.load(id, query).await;
        self.trace.note("load", 0);
        yield_now().await;
        loaded
    }

    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        yield_now().await;
        self.inner.read(id, query).await
    }

    async fn read_chunks(
        &self,
        id: &SessionId,
        query: ChunkQuery,
    ) -> Result<Option<ChunkPage>, StoreError> {
        yield_now().await;
        self.inner.read_chunks(id, query).await
    }

    async fn extend(
        &self,
        id: &SessionId,
        extension: Extension,
    ) -> Result<ExtendOutcome, StoreError> {
        let (this, id) = (self.clone(), id.clone());
        let reply = Reply::default();
        let chunks = extension.chunks.len() as u64;
        let work = async move {
            yield_now().await;
            let outcome = this.inner.extend(&id, extension).await?;
            this.trace.note("extend", chunks);
            yield_now().await;
            Ok(outcome)
        };
        let to = reply.clone();
        drop(spawn(async move { answering(to, work, || ()).await }));
        reply.await
    }

    async fn commit(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        let (this, id) = (self.clone(), id.clone());
        let reply = Reply::default();
        let appended = commit.ops.iter().filter(|op| matches!(op, Op::Append(_))).count() as u64;
        let work = async move {
            yield_now().await;
            let fault = this.faults.lock().unwrap().pop().flatten();
            if fault == Some(false) {
                return Err(StoreError::new(StoreErrorKind::Unavailable, "before"));
            }
            let ops = commit.ops.len() as u64;
            let outcome = this.inner.commit(&id, commit).await?;
            this.trace.note("commit", ops);
            yield_now().await;
            if fault == Some(true) {
                return Err(StoreError::new(StoreErrorKind::OutcomeUnknown, "after"));
            }
            Ok(outcome)
        };
        let (answered, to) = (Arc::clone(&self.answered), reply.clone());
        drop(spawn(async move {
            answering(to, work, || answered.fetch_add(appended, Ordering::SeqCst)).await;
        }));
        reply.await
    }

    async fn delete(
        &self,
        id: &SessionId,
        condition: DeleteIf,
    ) -> Result<DeleteOutcome, StoreError> {
        yield_now().await;
        self.inner.delete(id, condition).await
    }
}

/// Carries an answer from the store's task. Shuttle's own join handle wakes while it holds a lock
/// that it does not see.
struct Reply<T>(Arc<shuttle::sync::Mutex<(Option<Result<T, StoreError>>, Option<Waker>)>>);

impl<T> Default for Reply<T> {
    fn default() -> Self {
        Self(Arc::new(shuttle::sync::Mutex::new((None, None))))
    }
}

impl<T> Clone for Reply<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Future for Reply<T> {
    type Output = Result<T, StoreError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut cell = self.0.lock().unwrap();
        match cell.0.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                cell.1 = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

async fn answering<T, U>(
    reply: Reply<T>,
    work: impl Future<Output = Result<T, StoreError>>,
    answered: impl FnOnce() -> U,
) {
    let outcome = work.await;
    let waker = {
        let mut cell = reply.0.lock().unwrap();
        cell.0 = Some(outcome);
        answered();
        cell.1.take()
    };
    if let Some(waker) = waker {
        waker.wake();
    }
}
