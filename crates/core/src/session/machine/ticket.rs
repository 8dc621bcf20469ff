//! Tickets: a caller's wait for a load, a question, a commit, a delete or an extension.

use super::view::{LongView, View};
use crate::store::{DeleteOutcome, ExtendOutcome, StoreError};
use crate::sync::Arc;
use std::marker::PhantomData;

/// Names one piece of work. Its kind `K` says how the work can end, so a caller never has to handle
/// the end of another kind of work.
pub(crate) struct Ticket<K> {
    /// A number that no other ticket of the session has, of whichever kind.
    pub(crate) id: u64,
    kind: PhantomData<fn() -> K>,
}

// Derived, these would ask the same of `K`.
impl<K> Clone for Ticket<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Ticket<K> {}

impl<K> Ticket<K> {
    pub(crate) fn new(id: u64) -> Self {
        Self { id, kind: PhantomData }
    }
}

/// A kind of work.
pub(crate) trait Kind {
    /// How it ends.
    type Outcome: Clone;
}

/// The kind of a load.
pub(crate) enum Loaded {}

/// The kind of a question to a shared store.
pub(crate) enum Asked {}

/// The kind of a commit.
pub(crate) enum Committed {}

/// The kind of a delete.
pub(crate) enum Deleted {}

/// The kind of an extension of an open reply.
pub(crate) enum Extended {}

impl Kind for Loaded {
    /// Messages that are loaded but not kept in memory are for the callers that waited.
    type Outcome = Result<LongView, StoreError>;
}

impl Kind for Asked {
    /// A state that was current after the question was sent; `None` if the question did not bring
    /// one.
    type Outcome = Result<Option<Arc<View>>, StoreError>;
}

impl Kind for Committed {
    type Outcome = CommitEnd;
}

impl Kind for Deleted {
    type Outcome = Result<DeleteOutcome, StoreError>;
}

impl Kind for Extended {
    type Outcome = Result<ExtendOutcome, StoreError>;
}

/// How a commit ended for each call in it.
#[derive(Debug, Clone)]
pub(crate) enum CommitEnd {
    /// It is durable.
    Durable,
    /// It was not sent, because the work before it failed: plan the call again.
    Retry,
    /// Another writer was first: plan the call again, and count that.
    Conflict,
    /// The message to replace was not there and nothing of the commit happened. The call that
    /// replaced it fails, the others are planned again.
    NoSuchSeq(u64),
    /// A reply that it closes had grown. Nothing of the commit happened; plan the call again.
    Grew,
    /// A reply that it closes has ended. Nothing of the commit happened; plan the call again, and
    /// count that.
    ReplyEnded,
    /// The store failed.
    Failed(StoreError),
}

/// How a piece of work ended, for the callers that wait for it.
pub(crate) struct Settled<K: Kind> {
    pub(crate) ticket: Ticket<K>,
    /// How many of them there are.
    pub(crate) callers: usize,
    pub(crate) outcome: K::Outcome,
}

/// The end of one piece of work.
pub(crate) enum Settlement {
    Load(Settled<Loaded>),
    Question(Settled<Asked>),
    Commit(Settled<Committed>),
    Delete(Settled<Deleted>),
    Extension(Settled<Extended>),
}

/// Pending work that has to end first.
#[derive(Clone, Copy)]
pub(crate) enum Earlier {
    Load(Ticket<Loaded>),
    Commit(Ticket<Committed>),
    Delete(Ticket<Deleted>),
}
