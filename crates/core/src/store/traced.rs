//! A store that traces and counts the operations of another store.

use super::{
    ChunkPage, ChunkQuery, Commit, CommitOutcome, DeleteIf, DeleteOutcome, Durability,
    ExtendOutcome, Extension, Hint, Hints, ListPage, ListQuery, LoadOutcome, LoadQuery, Opening,
    Page, ReadQuery, Salvaged, SessionList, SessionStore, Sharing, StoreError, StoreLimits,
};
use crate::env::Clock;
use crate::{ErrorChain, SessionId};
use async_trait::async_trait;
use futures_core::stream::BoxStream;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An operation of a store that [`Traced`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreOperation {
    /// [`SessionStore::load`].
    Load,
    /// [`SessionStore::read`].
    Read,
    /// [`SessionStore::read_chunks`].
    ReadChunks,
    /// [`SessionStore::salvage`].
    Salvage,
    /// [`SessionStore::commit`].
    Commit,
    /// [`SessionStore::extend`].
    Extend,
    /// [`SessionStore::touch`].
    Touch,
    /// [`SessionStore::delete`].
    Delete,
    /// [`SessionList::list`].
    List,
}

impl StoreOperation {
    /// All operations, for an exporter of metrics.
    pub const ALL: [Self; 9] = [
        Self::Load,
        Self::Read,
        Self::ReadChunks,
        Self::Salvage,
        Self::Commit,
        Self::Extend,
        Self::Touch,
        Self::Delete,
        Self::List,
    ];

    /// The name of the operation, as in the trait: `read_chunks`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Read => "read",
            Self::ReadChunks => "read_chunks",
            Self::Salvage => "salvage",
            Self::Commit => "commit",
            Self::Extend => "extend",
            Self::Touch => "touch",
            Self::Delete => "delete",
            Self::List => "list",
        }
    }
}

/// How often an operation ended in which way, and how long it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct OperationCounts {
    /// Calls that did their work, also reads of an absent session.
    pub done: u64,
    /// Calls with an outcome that changed nothing, such as [`CommitOutcome::Conflict`].
    pub refused: u64,
    /// Calls that returned an error.
    pub failed: u64,
    /// Calls whose future was dropped after its first poll. The store may still finish them.
    pub dropped: u64,
    /// The milliseconds of all calls that ended or were dropped.
    pub total_ms: u64,
}

/// Traces and counts the operations of the store `S`.
///
/// Each operation is one event of the `tracing` crate with the operation, the session's
/// [fingerprint](SessionId::fingerprint), the outcome and the duration in milliseconds: at the
/// level `DEBUG`, or `WARN` for an error. No event has an id, a label, a message or app state.
/// [`counts`](Self::counts) has the numbers for metrics. A clone has the same counts.
///
/// The wrapper changes no argument and no answer, so it keeps every clause that `S` keeps.
///
/// ```
/// use durable_session::store::{StoreOperation, Traced};
/// use durable_session::{ChatSessions, Message};
/// use durable_session_memory::MemoryStore;
///
/// # futures_executor::block_on(async {
/// let store = Traced::new(MemoryStore::new());
/// let sessions: ChatSessions = ChatSessions::builder(store.clone()).build();
/// sessions.session("s-1".parse()?).add_message(Message::user("hi")).await?;
/// for operation in StoreOperation::ALL {
///     println!("{}: {:?}", operation.name(), store.counts(operation));
/// }
/// assert_eq!(store.counts(StoreOperation::Commit).done, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Traced<S> {
    inner: S,
    meter: Arc<Meter>,
}

struct Meter {
    clock: Box<dyn Clock>,
    counters: [Counters; StoreOperation::ALL.len()],
}

#[derive(Default)]
struct Counters {
    done: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    total_ms: AtomicU64,
}

/// The outcome of a call that did not fail, in one word.
enum Outcome {
    Done(&'static str),
    Refused(&'static str),
}

impl<S> Traced<S> {
    /// Traces `store` and measures durations with the system's clock. On `wasm32-unknown-unknown`
    /// use [`with_clock`](Self::with_clock).
    #[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
    pub fn new(store: S) -> Self {
        Self::with_clock(store, crate::env::SystemClock)
    }

    /// Traces `store` and measures durations with this clock.
    ///
    /// ```
    /// use durable_session::env::SystemClock;
    /// use durable_session::store::{SessionStore, Traced};
    /// use durable_session_memory::MemoryStore;
    ///
    /// let store = Traced::with_clock(MemoryStore::new(), SystemClock);
    /// assert_eq!(store.limits(), MemoryStore::DEFAULT_LIMITS);
    /// ```
    pub fn with_clock(store: S, clock: impl Clock + 'static) -> Self {
        let meter = Meter { clock: Box::new(clock), counters: Default::default() };
        Self { inner: store, meter: Arc::new(meter) }
    }

    /// The traced store.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// The counts of an operation since the wrapper was made.
    pub fn counts(&self, operation: StoreOperation) -> OperationCounts {
        let counters = &self.meter.counters[operation as usize];
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        OperationCounts {
            done: get(&counters.done),
            refused: get(&counters.refused),
            failed: get(&counters.failed),
            dropped: get(&counters.dropped),
            total_ms: get(&counters.total_ms),
        }
    }

    async fn trace<T>(
        &self,
        operation: StoreOperation,
        id: Option<&SessionId>,
        call: impl Future<Output = Result<T, StoreError>>,
        outcome: impl FnOnce(&T) -> Outcome,
    ) -> Result<T, StoreError> {
        let session = id.map(SessionId::fingerprint);
        let running = Running::start(&self.meter, operation);
        let answer = call.await;
        let (counters, ms) = running.end();
        let (counter, outcome) = match &answer {
            Ok(answer) => match outcome(answer) {
                Outcome::Done(outcome) => (&counters.done, outcome),
                Outcome::Refused(outcome) => (&counters.refused, outcome),
            },
            Err(_) => (&counters.failed, "failed"),
        };
        add(counter, 1);
        let session = session.map(tracing::field::display);
        let operation = operation.name();
        if let Err(error) = &answer {
            let error = ErrorChain(error);
            tracing::warn!(operation, session, ms, %error, "a store operation failed");
        } else {
            tracing::debug!(operation, session, ms, outcome, "a store operation ended");
        }
        answer
    }
}

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

/// A call that has begun. Dropped before its end, it counts as dropped.
struct Running<'a> {
    meter: &'a Meter,
    operation: StoreOperation,
    began_ms: u64,
    ended: bool,
}

impl<'a> Running<'a> {
    fn start(meter: &'a Meter, operation: StoreOperation) -> Self {
        Self { meter, operation, began_ms: meter.clock.now_ms(), ended: false }
    }

    fn counters(&self) -> &'a Counters {
        &self.meter.counters[self.operation as usize]
    }

    /// Adds the duration and returns it.
    fn measure(&self) -> u64 {
        let ms = self.meter.clock.now_ms().saturating_sub(self.began_ms);
        add(&self.counters().total_ms, ms);
        ms
    }

    fn end(mut self) -> (&'a Counters, u64) {
        self.ended = true;
        (self.counters(), self.measure())
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.measure();
            add(&self.counters().dropped, 1);
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Traced<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Traced").field(&self.inner).finish()
    }
}

/// The outcome of an operation that returns `None` for an absent session or reply.
fn found<T>(answer: Option<&T>) -> Outcome {
    Outcome::Done(if answer.is_some() { "found" } else { "absent" })
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<S: SessionStore> SessionStore for Traced<S> {
    async fn load(&self, id: &SessionId, query: LoadQuery) -> Result<LoadOutcome, StoreError> {
        let call = self.inner.load(id, query);
        let outcome = |answer: &LoadOutcome| {
            Outcome::Done(match answer {
                LoadOutcome::Absent => "absent",
                LoadOutcome::Unchanged => "unchanged",
                LoadOutcome::Loaded(_) => "loaded",
            })
        };
        self.trace(StoreOperation::Load, Some(id), call, outcome).await
    }

    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        self.trace(StoreOperation::Read, Some(id), self.inner.read(id, query), |answer| {
            found(answer.as_ref())
        })
        .await
    }

    async fn read_chunks(
        &self,
        id: &SessionId,
        query: ChunkQuery,
    ) -> Result<Option<ChunkPage>, StoreError> {
        let call = self.inner.read_chunks(id, query);
        self.trace(StoreOperation::ReadChunks, Some(id), call, |answer| found(answer.as_ref()))
            .await
    }

    async fn salvage(
        &self,
        id: &SessionId,
        query: ReadQuery,
    ) -> Result<Option<Salvaged>, StoreError> {
        self.trace(StoreOperation::Salvage, Some(id), self.inner.salvage(id, query), |answer| {
            found(answer.as_ref())
        })
        .await
    }

    async fn commit(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        let call = self.inner.commit(id, commit);
        let outcome = |answer: &CommitOutcome| match answer {
            CommitOutcome::Committed(_) => Outcome::Done("committed"),
            CommitOutcome::Conflict { .. } => Outcome::Refused("conflict"),
            CommitOutcome::NoSuchSeq { .. } => Outcome::Refused("no such seq"),
            CommitOutcome::ReplyEnded { .. } => Outcome::Refused("reply ended"),
            CommitOutcome::Grew { .. } => Outcome::Refused("reply grew"),
        };
        self.trace(StoreOperation::Commit, Some(id), call, outcome).await
    }

    async fn extend(
        &self,
        id: &SessionId,
        extension: Extension,
    ) -> Result<ExtendOutcome, StoreError> {
        let call = self.inner.extend(id, extension);
        let outcome = |answer: &ExtendOutcome| match answer {
            ExtendOutcome::Extended(_) => Outcome::Done("extended"),
            ExtendOutcome::Ended => Outcome::Refused("reply ended"),
            ExtendOutcome::Gap(_) => Outcome::Refused("gap"),
        };
        self.trace(StoreOperation::Extend, Some(id), call, outcome).await
    }

    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        let call = self.inner.touch(id, at);
        self.trace(StoreOperation::Touch, Some(id), call, |()| Outcome::Done("touched")).await
    }

    async fn delete(
        &self,
        id: &SessionId,
        condition: DeleteIf,
    ) -> Result<DeleteOutcome, StoreError> {
        let call = self.inner.delete(id, condition);
        let outcome = |answer: &DeleteOutcome| match answer {
            DeleteOutcome::Deleted => Outcome::Done("deleted"),
            DeleteOutcome::Absent => Outcome::Done("absent"),
            DeleteOutcome::Conflict { .. } => Outcome::Refused("conflict"),
        };
        self.trace(StoreOperation::Delete, Some(id), call, outcome).await
    }

    fn limits(&self) -> StoreLimits {
        self.inner.limits()
    }

    fn durability(&self) -> Durability {
        self.inner.durability()
    }

    fn sharing(&self) -> Sharing {
        self.inner.sharing()
    }

    fn opening(&self) -> Result<Opening, StoreError> {
        self.inner.opening()
    }
}

#[async_trait]
impl<S: SessionList> SessionList for Traced<S> {
    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        let call = self.inner.list(query);
        self.trace(StoreOperation::List, None, call, |_| Outcome::Done("listed")).await
    }
}

#[async_trait]
impl<S: Hints> Hints for Traced<S> {
    async fn hints(&self) -> Result<BoxStream<'static, Hint>, StoreError> {
        self.inner.hints().await
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, StoreError, StoreOperation, Traced};
    use futures_util::FutureExt as _;

    #[test]
    fn a_call_that_is_dropped_before_its_end_is_counted_as_dropped() {
        let traced = Traced::new(());
        let never = std::future::pending::<Result<(), StoreError>>();
        let mut call = Box::pin(
            traced.trace(StoreOperation::Commit, None, never, |()| Outcome::Done("committed")),
        );
        assert!((&mut call).now_or_never().is_none());
        assert_eq!(traced.counts(StoreOperation::Commit).dropped, 0);
        drop(call);
        let counts = traced.counts(StoreOperation::Commit);
        assert_eq!((counts.done, counts.dropped), (0, 1));
    }

    #[test]
    fn every_operation_has_its_own_counters() {
        for (index, operation) in StoreOperation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, index, "{}", operation.name());
        }
    }
}
