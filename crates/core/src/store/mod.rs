//! The store contract: the interface that a backend implements.
//!
//! A store keeps bytes. It does not know the app's types and does not read message bodies.
//! Applications use [`ChatSessions`](crate::ChatSessions), which turns their calls into the few
//! operations of a [`SessionStore`].
//!
//! # The parts of a store
//! - **Store.** [`SessionStore`] is the trait to implement. A store that can enumerate its sessions
//!   also implements [`SessionList`]. A shared store that can tell of the changes of others also
//!   implements [`Hints`].
//! - **Session.** A [`SessionId`] names a session. A session has a head, labels, app state and
//!   messages. A [`Commit`] changes them by a list of operations ([`Op`]).
//! - **Head.** The [`Head`] has the counts, the times and the [`Version`] of a session. Every
//!   commit makes a new version. A commit names the version that it expects ([`Expect`]).
//! - **Message.** A message has a *seq*, which is its number in the session, and a body. The *tail*
//!   is the last messages of a session, within bounds of count and bytes ([`TailBounds`]).
//! - **Tag.** A tag ([`IdTag`]) is a hash of the `id` of a message. By the tags of the last
//!   messages the library finds a message that is sent again.
//! - **Reply.** A reply is a message that is still being written ([`OpenReply`]). A commit opens it
//!   and gives it a [`Claim`]. The owner of the claim adds *chunks* of bytes by an [`Extension`]. A
//!   commit closes the reply: the message gets its final body, and the chunks are removed.
//!
//! The contract has the clauses S1–S12: in short on [`SessionStore`], in full in
//! `docs/contract.md`. The `durable-session-conformance` crate checks each of them on a store.
//! `docs/custom-store.md` shows how to write a store.
//!
//! ```
//! use durable_session::store::{Commit, CommitOutcome, Expect, Op, ReadQuery, SessionStore};
//! use durable_session_memory::MemoryStore;
//!
//! # futures_executor::block_on(async {
//! let (store, id) = (MemoryStore::new(), "s-1".parse()?);
//! let now = 1_763_264_606_917; // Unix milliseconds
//! let create = Commit::new(Expect::absent(now), vec![Op::append("a body".into())], now);
//! assert!(matches!(store.commit(&id, create).await?, CommitOutcome::Committed(_)));
//! let (first, last) = (1, 10);
//! let page = store.read(&id, ReadQuery::forward(first, last)).await?.ok_or("no such session")?;
//! assert_eq!(page.rows[0].body, "a body");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # Wrappers
//! A store may wrap another store, for example to encrypt, to compress or to observe ([`Traced`]).
//! A wrapper must keep the contract, too, and the conformance suite can run on it.
//! `crates/conformance/tests/wrapper` is an example: it adds a constant number of bytes to every
//! body, chunk and app state.
//!
//! A caller can observe the length of a body: by limits, by totals, and by the byte bounds of
//! reads. A wrapper that changes stored bytes has these duties:
//! - **Limits.** The wrapper declares smaller [`limits`](SessionStore::limits) than the inner
//!   store. From the limits of a body and of the app state it subtracts the bytes that it adds to
//!   one. From the bytes of a commit it subtracts the bytes that it adds to one operation, times
//!   [`max_commit_ops`](StoreLimits::max_commit_ops). It checks its limits before it calls the
//!   inner store.
//! - **Limits of replies.** The inner store counts the wrapper's additions to the chunks of a reply
//!   as bytes of the message. The wrapper cannot take them from
//!   [`REPLY_RESERVE`](StoreLimits::REPLY_RESERVE), which the inner store keeps free for the
//!   closing body. So the wrapper documents a number of chunks for each reply, and subtracts its
//!   additions to so many chunks from `max_body_bytes`, too.
//!
//!   Before an extension the wrapper calls [`check_reply`](StoreLimits::check_reply) with the
//!   caller's lengths. It reads the length of the body from the row of the message. The body does
//!   not change while a reply is open under one claim. A reply may get more chunks than the
//!   documented number. Then an extension can fail as [`StoreErrorKind::TooLarge`] before the
//!   caller's bytes reach the declared limit. The reply stays open and can be closed.
//! - **Labels.** All stores have the same limits for labels, so a wrapper has no room to lengthen
//!   them. It leaves labels unchanged. If it encrypts labels nevertheless, it refuses labels that
//!   no longer fit, and documents that it deviates from S7. It must encrypt the same owner to the
//!   same bytes each time, or a listing by owner does not find all sessions.
//! - **Totals.** [`Head::bytes`] and [`OpenReply::bytes`] count the caller's bytes, in every answer
//!   that has a head or an open reply: commit, load, page, page of chunks, listing and salvage. If
//!   the addition is constant, the wrapper subtracts it from [`Head::bytes`] once for each of
//!   [`Head::messages`], and from [`OpenReply::bytes`] once for each of [`ReplyCounts::chunks`].
//!   Otherwise the wrapper stores the caller's lengths and the totals. Empty app state in the inner
//!   store means that it was never set. The wrapper returns it empty.
//! - **Byte bounds.** The byte bounds of loads and reads count the caller's bytes, also for chunks.
//!   If the addition is constant, the wrapper asks the inner store for `max_bytes` plus the
//!   addition times the expected number of messages or chunks. It counts the caller's lengths, and
//!   keeps the first rows that fit in `max_bytes` (of a tail, the newest rows), at least one. In
//!   a page it drops the replies and the damage after the last kept row, and sets `more` if it
//!   dropped a row. The wrapper decrypts only the rows that it returns.
//!
//!   The inner store may fail as [`StoreErrorKind::Corrupt`] at a row that is beyond the caller's
//!   bounds. So after such an error the wrapper reads the rows before the damaged row, in the order
//!   of the query. If they fill the caller's bounds, it returns them. Otherwise it returns the
//!   error.
//! - **Associated data.** An encrypting wrapper authenticates these values with every ciphertext:
//!   the session id, [`Incarnation::life`], the kind (message, app state or chunk) and the
//!   position. Without id and life, a row that was copied into another session would decrypt there
//!   without an error. The life belongs to one creation of a session, and a restored backup keeps
//!   it.
//!   - The position of a message is its seq. The wrapper computes the seqs before the commit: the
//!     first append gets the `next_seq` of [`Expect::Version`], or 1 in a new session, and each
//!     further append gets the next one.
//!   - The position of a chunk is the seq of the message, the [`Claim`] and the offset of the chunk
//!     itself, not that of its [`Extension`]. An extension does not name the life. The claim takes
//!     its place: it is drawn anew for each reply.
//!   - The wrapper knows the life of a session from its version. For a new session the wrapper
//!     draws the incarnation and passes it in [`Expect::Absent`].
//!   - The wrapper stores the life unencrypted beside the ciphertext of a message or app state. A
//!     salvage decrypts them even if it cannot read the head, which has the version.
//!   - If decryption fails, the error is [`StoreErrorKind::Corrupt`] with the session and the seq,
//!     and for a chunk with its offset. A salvage lists a [`Damage`] instead.
//! - **Tags.** [`IdTag`] is a hash of the id of a message. The hash has no key, so it can reveal
//!   the id. A load must return exactly the tags that the commits gave: the library compares them
//!   with the tags of new messages. A wrapper that keeps ids secret applies a keyed permutation to
//!   the 64 bits of a tag before it stores the tag, and reverses it in a load. The permutation may
//!   depend on the seq.
//! - **Retries.** An extension skips stored chunks without comparing them, so a wrapper may encrypt
//!   an extension anew when the caller sends it again.

mod commit;
mod error;
mod head;
mod hints;
mod labels;
mod limits;
mod list;
mod outcome;
mod read;
mod reply;
pub(crate) mod shown;
mod tag;
mod traced;
mod version;

pub use commit::{Commit, Expect, NewMessage, Op};
pub use error::{StoreError, StoreErrorKind};
pub use head::Head;
pub use hints::{Hint, Hints};
pub use labels::Labels;
pub use limits::{Durability, Sharing, StoreLimits};
pub use list::{ListOrder, ListPage, ListPlace, ListQuery, ListScope, ListedSession, SessionList};
pub use outcome::{CommitOutcome, DeleteIf, DeleteOutcome};
pub use read::{
    Damage, LoadOutcome, LoadQuery, Loaded, Order, Page, ReadQuery, Row, Salvaged, TailBounds,
};
pub use reply::{
    ChunkPage, ChunkQuery, Claim, ExtendOutcome, Extension, OpenReply, Opening, ReplyCounts,
    ReplyOpening,
};
pub use tag::{IdTag, TAGGED_MESSAGES, Tagged};
pub use traced::{OperationCounts, StoreOperation, Traced};
pub use version::{Incarnation, InvalidVersion, Salt, Version};

use crate::SessionId;
use async_trait::async_trait;
use std::sync::Arc;

/// A store keeps the bytes of chat sessions, durably and in order. The [module](self) explains the
/// words.
///
/// # Contract
/// - **S1** A commit is atomic. Success means that it is durable to the level of
///   [`durability`](Self::durability). One poll of its future, not always the first, *accepts* the
///   commit. An accepted commit finishes without further polling, even if the future is dropped. A
///   future that was never polled changes nothing. If a failure leaves open whether the commit is
///   durable, the error is [`StoreErrorKind::OutcomeUnknown`], and later reads show whether it is.
///   The same holds for [`extend`](Self::extend), [`touch`](Self::touch) and
///   [`delete`](Self::delete).
/// - **S2** Commits to one session are totally ordered. Once a commit has returned, every read that
///   starts later sees it. The appends of a commit get `head.next_seq`, `head.next_seq + 1`, …. The
///   first seq of a session is 1. The seq of a removed message is not used again while the session
///   exists. Stored times, such as [`Head::last_accessed_at`], never move backwards.
/// - **S3** Every successful commit gives the session a new [`Version`], which never repeats for an
///   id, not even after delete and re-creation. A failed expectation changes nothing and is an
///   outcome, not an error. [`Head::advanced`] applies the rules for the times and for the two
///   older versions, [`Head::base`] and [`Head::closed`].
/// - **S4** A row that cannot be read is [`StoreErrorKind::Corrupt`] with session and seq, and for
///   a chunk with its offset. No read skips the row, except [`salvage`](Self::salvage), which names
///   it. No read guesses its content. Removing a message never needs to decode it.
/// - **S5** [`touch`](Self::touch) raises `last_accessed_at` only.
/// - **S6** [`delete`](Self::delete) removes all data of the session. Condition and removal are one
///   atomic step.
/// - **S7** A change that exceeds [`limits`](Self::limits) is [`StoreErrorKind::TooLarge`] before
///   anything is written.
/// - **S8** The cost of an operation depends on the rows that it returns or writes, never on the
///   length of the conversation.
/// - **S9** An operation on one session never shows or changes the data of another. If the store
///   refuses an operation on one session, operations on other sessions go on undisturbed.
/// - **S10** A commit can open, reopen and close replies. [`extend`](Self::extend) adds chunks
///   without a new version. A commit that replaces or removes a message, or closes its reply, also
///   drops the chunks. The closing operation brings the final body.
/// - **S11** Labels are set in a commit and are part of the session.
/// - **S12** [`sharing`](Self::sharing) declares whether another opening of the store, such as that
///   of another process, may write to the sessions. Versions stay unique after a backup is restored
///   ([`Salt`]). Each time a store is opened it draws a new id ([`opening`](Self::opening)).
///
/// A store must not block the executor: disk work belongs on its own thread.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// Loads a session in one consistent view: the head, the labels, the app state, the longest
    /// tail of messages within the query's bounds, the tags of the last messages and the open
    /// replies.
    ///
    /// # Errors
    /// [`StoreErrorKind::Corrupt`] if the head, a row of the tail or a row of an open reply cannot
    /// be read; another kind if the I/O fails.
    async fn load(&self, id: &SessionId, query: LoadQuery) -> Result<LoadOutcome, StoreError>;

    /// Reads messages by seq range, bounded by count and bytes, with the head at that moment;
    /// `None` if the session is absent.
    ///
    /// If the range holds a message, the page has at least one, even beyond the byte bound.
    ///
    /// # Errors
    /// [`StoreErrorKind::Corrupt`] with the seq of the first unreadable row of the page.
    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError>;

    /// Reads chunks of the reply that is open on a message, by offset, bounded by count and bytes;
    /// `None` if no reply is open there.
    ///
    /// If the reply has a chunk at the offset, the page has at least one, even beyond the byte
    /// bound.
    ///
    /// # Errors
    /// [`StoreErrorKind::Corrupt`] with the seq and the offset ([`StoreError::chunk`]) of the first
    /// unreadable chunk of the page. A query that ends before this chunk succeeds.
    async fn read_chunks(
        &self,
        id: &SessionId,
        query: ChunkQuery,
    ) -> Result<Option<ChunkPage>, StoreError>;

    /// Reads like [`read`](Self::read), but lists unreadable rows in [`Salvaged::damage`] and goes
    /// on.
    ///
    /// Damaged rows count towards the query's bound of messages, so a page stays bounded.
    ///
    /// # Errors
    /// Only failures that the rows of this session do not cause, such as failed I/O or a closed
    /// store.
    async fn salvage(
        &self,
        id: &SessionId,
        query: ReadQuery,
    ) -> Result<Option<Salvaged>, StoreError>;

    /// Applies all operations of `commit` in order, or none (S1–S3).
    ///
    /// # Errors
    /// [`StoreErrorKind::TooLarge`] beyond the declared limits. [`StoreErrorKind::OutcomeUnknown`]
    /// if the commit may or may not be durable. With every other kind nothing was changed.
    async fn commit(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError>;

    /// Adds all chunks of `extension` to an open reply, or none (S10). They are durable on return.
    /// An extension without chunks is a *beat*, a sign that the writer of the reply is alive.
    ///
    /// An extension makes no new version and conflicts with no commit. The extensions and the close
    /// of one reply are totally ordered.
    ///
    /// # Errors
    /// Like [`commit`](Self::commit). The error is also [`StoreErrorKind::TooLarge`] if the body
    /// and all chunks of the message would have more than [`StoreLimits::max_body_bytes`] minus
    /// [`StoreLimits::REPLY_RESERVE`] bytes. The reply stays open.
    async fn extend(
        &self,
        id: &SessionId,
        extension: Extension,
    ) -> Result<ExtendOutcome, StoreError>;

    /// Raises `last_accessed_at` to `at`, Unix milliseconds, if `at` is later (S5).
    ///
    /// A touch makes no new version. On an absent session it does nothing.
    ///
    /// # Errors
    /// [`StoreErrorKind::OutcomeUnknown`] if the touch may or may not be durable; another kind if
    /// the I/O fails.
    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError>;

    /// Removes all data of the session if `condition` holds at that moment (S6). Deleting an absent
    /// session succeeds.
    ///
    /// [`DeleteIf::Any`] also deletes a session with unreadable rows.
    ///
    /// # Errors
    /// Like [`commit`](Self::commit), except that a delete is never too large.
    async fn delete(
        &self,
        id: &SessionId,
        condition: DeleteIf,
    ) -> Result<DeleteOutcome, StoreError>;

    /// The limits of this store (S7). They are constant while the store is open.
    fn limits(&self) -> StoreLimits;

    /// The failures that a successful commit survives (S1). Constant while the store is open.
    fn durability(&self) -> Durability;

    /// Whether another opening of the store may write to the sessions (S12). Constant while the
    /// store is open.
    fn sharing(&self) -> Sharing;

    /// The id of this opening of the store (S12). All clones of a store have the same one. Opening
    /// the store again makes a new one.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`] if the source of randomness failed.
    fn opening(&self) -> Result<Opening, StoreError>;
}

// A method that gets a default must be forwarded, too.
#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<T: SessionStore + ?Sized> SessionStore for Arc<T> {
    async fn load(&self, id: &SessionId, query: LoadQuery) -> Result<LoadOutcome, StoreError> {
        (**self).load(id, query).await
    }

    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        (**self).read(id, query).await
    }

    async fn read_chunks(
        &self,
        id: &SessionId,
        query: ChunkQuery,
    ) -> Result<Option<ChunkPage>, StoreError> {
        (**self).read_chunks(id, query).await
    }

    async fn salvage(
        &self,
        id: &SessionId,
        query: ReadQuery,
    ) -> Result<Option<Salvaged>, StoreError> {
        (**self).salvage(id, query).await
    }

    async fn commit(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        (**self).commit(id, commit).await
    }

    async fn extend(
        &self,
        id: &SessionId,
        extension: Extension,
    ) -> Result<ExtendOutcome, StoreError> {
        (**self).extend(id, extension).await
    }

    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        (**self).touch(id, at).await
    }

    async fn delete(
        &self,
        id: &SessionId,
        condition: DeleteIf,
    ) -> Result<DeleteOutcome, StoreError> {
        (**self).delete(id, condition).await
    }

    fn limits(&self) -> StoreLimits {
        (**self).limits()
    }

    fn durability(&self) -> Durability {
        (**self).durability()
    }

    fn sharing(&self) -> Sharing {
        (**self).sharing()
    }

    fn opening(&self) -> Result<Opening, StoreError> {
        (**self).opening()
    }
}
