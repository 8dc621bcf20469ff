//! The store contract: what a backend implements, and nothing a user calls.
//!
//! A store keeps bytes. It never sees the app's types and never looks into a body. Users talk to
//! [`ChatSessions`](crate::ChatSessions), which turns their calls into the few operations here.
//!
//! Clauses are cited as S1–S9; `docs/contract.md` has them all. The `durable-session-conformance` crate checks
//! each on a store; `docs/custom-store.md` shows how to write one.

mod error;
mod list;
mod types;

pub use error::{StoreError, StoreErrorKind};
pub use list::{ListPage, ListQuery, ListedSession, SessionList};
pub use types::{
    Commit, CommitOutcome, Damage, DeleteIf, DeleteOutcome, Durability, Expect, Head, Incarnation,
    InvalidVersion, Loaded, Op, Order, Page, ReadQuery, Row, Salvaged, StoreLimits, TailBounds, Version,
};

use crate::SessionId;
use async_trait::async_trait;
use std::sync::Arc;

/// Keeps the bytes of chat sessions, durably and in order.
///
/// # Contract
/// - **S1** A commit is atomic, and success means durable to the level that [`durability`](Self::durability)
///   declares. A commit is *accepted* on a poll of its future; once accepted it finishes without further
///   polling, even if the future is dropped. A future that was never polled changes nothing. A failure whose
///   outcome is unknown is [`StoreErrorKind::OutcomeUnknown`], and later calls tell what is really stored.
/// - **S2** Commits to one session are totally ordered, and a read that starts after a commit returned sees
///   it. Appends get `head.next_seq`, `head.next_seq + 1`, …; a seq is never used again while the session
///   lives, also after its removal. The first seq of a session is 1. Persisted times never move backwards.
/// - **S3** Every successful commit gives the session a new [`Version`], which never repeats for an id, not even
///   after delete and re-creation. A failed expectation changes nothing and is an outcome, not an error.
/// - **S4** A row that cannot be read is [`StoreErrorKind::Corrupt`], naming session and seq: never skipped, never
///   guessed. Removing a seq never needs to decode it.
/// - **S5** [`touch`](Self::touch) raises `last_accessed_at` only.
/// - **S6** [`delete`](Self::delete) removes everything of the session, checking its condition atomically.
/// - **S7** What exceeds [`limits`](Self::limits) is [`StoreErrorKind::TooLarge`] before anything is written.
/// - **S8** No operation costs more for a longer conversation, only for what it returns or writes.
/// - **S9** No operation on one id shows or changes another's data, and one session's refusal disturbs no other.
///
/// Nothing here may block the executor: disk work belongs on a thread of its own.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// The head, the app state and the longest tail of messages within `tail`, in one call; `None` if absent.
    ///
    /// # Errors
    /// [`StoreErrorKind::Corrupt`] if the head or a row of the tail cannot be read; otherwise as the I/O fails.
    async fn load(&self, id: &SessionId, tail: TailBounds) -> Result<Option<Loaded>, StoreError>;

    /// Messages by seq range, bounded by count and bytes, with the head that was current; `None` if absent.
    ///
    /// At least one message is returned when the range holds any, whatever the byte bound.
    ///
    /// # Errors
    /// [`StoreErrorKind::Corrupt`] naming the first row that the page would hold and that cannot be read.
    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError>;

    /// Like [`read`](Self::read), past what cannot be read: it is named in [`Salvaged::damage`] instead.
    ///
    /// Damaged rows count towards the query's bound of messages, so that a page stays a page.
    ///
    /// # Errors
    /// Only failures that are not about this session's stored rows (I/O, closed).
    async fn salvage(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Salvaged>, StoreError>;

    /// Applies all of `commit` in order, or nothing (S1–S3).
    ///
    /// # Errors
    /// [`StoreErrorKind::TooLarge`] by the declared limits; [`StoreErrorKind::OutcomeUnknown`] when it may or may not
    /// have become durable; otherwise nothing was changed.
    async fn commit(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError>;

    /// Raises `last_accessed_at` to `at` if that is later. No new version; nothing if the session is absent (S5).
    ///
    /// # Errors
    /// As the I/O fails.
    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError>;

    /// Removes everything of the session if `condition` holds at that moment (S6). Deleting an absent session succeeds.
    ///
    /// `DeleteIf::Any` works on a session whose rows cannot be read, too.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    async fn delete(&self, id: &SessionId, condition: DeleteIf) -> Result<DeleteOutcome, StoreError>;

    /// The largest things this store takes (S7). Constant for the life of the store.
    fn limits(&self) -> StoreLimits;

    /// What a successful commit survives (S1). Constant for the life of the store.
    fn durability(&self) -> Durability;
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<T: SessionStore + ?Sized> SessionStore for Arc<T> {
    async fn load(&self, id: &SessionId, tail: TailBounds) -> Result<Option<Loaded>, StoreError> {
        (**self).load(id, tail).await
    }

    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        (**self).read(id, query).await
    }

    async fn salvage(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Salvaged>, StoreError> {
        (**self).salvage(id, query).await
    }

    async fn commit(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        (**self).commit(id, commit).await
    }

    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        (**self).touch(id, at).await
    }

    async fn delete(&self, id: &SessionId, condition: DeleteIf) -> Result<DeleteOutcome, StoreError> {
        (**self).delete(id, condition).await
    }

    fn limits(&self) -> StoreLimits {
        (**self).limits()
    }

    fn durability(&self) -> Durability {
        (**self).durability()
    }
}
