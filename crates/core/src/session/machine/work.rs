//! The store's part of the work: calls for it, and its answers.

use super::change::Close;
use super::replies::Known;
use crate::pages;
use crate::reply::{ReplyEnd, ReplyFormat};
use crate::store::{
    self, Claim, Commit, CommitOutcome, DeleteIf, DeleteOutcome, ExtendOutcome, Extension,
    LoadOutcome, LoadQuery, StoreError, TailBounds,
};
use std::fmt;
use std::sync::Arc;

/// How much of a session is loaded, and how much of that stays in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    pub(crate) read: TailBounds,
    pub(crate) keep: TailBounds,
}

impl Reach {
    /// All that is loaded stays.
    pub(crate) fn tail(bounds: TailBounds) -> Self {
        Self { read: bounds, keep: bounds }
    }

    /// As much as is read in one go: all of most sessions, for a caller that wants all. Only the
    /// tail stays.
    pub(crate) fn whole(keep: TailBounds) -> Self {
        let read = TailBounds {
            max_messages: keep.max_messages.max(pages::PAGE_MESSAGES),
            max_bytes: keep.max_bytes.max(pages::PAGE_BYTES),
        };
        Self { read, keep }
    }

    /// Whether more is loaded than stays.
    pub(crate) fn reads_more(self) -> bool {
        self.read != self.keep
    }
}

/// A final message of a reply to make. It takes reads of the store, unless all chunks are known.
#[derive(Clone)]
pub(crate) struct Make {
    pub(crate) seq: u64,
    pub(crate) claim: Claim,
    pub(crate) format: Arc<dyn ReplyFormat>,
    pub(crate) known: Known,
    pub(crate) how: ReplyEnd,
    /// The producer's reason for a failure.
    pub(crate) reason: Option<Arc<str>>,
}

impl fmt::Debug for Make {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq, claim, how, .. } = self;
        f.debug_struct("Make")
            .field("seq", seq)
            .field("claim", claim)
            .field("how", how)
            .finish_non_exhaustive()
    }
}

/// A call for the store to make.
#[derive(Debug)]
pub(crate) enum StoreCall {
    Load(TailBounds),
    /// With the number of calls that gathered in it.
    Commit(Commit, u64),
    Delete(DeleteIf),
    /// Asks a shared store whether the session has changed.
    Ask(LoadQuery),
    /// Writes down that the session was last used then, Unix milliseconds.
    Touch(u64),
    Extend(Extension),
    /// Makes the final message of an interrupted reply.
    Make(Box<Make>),
}

/// The store's answer to a [`StoreCall`].
#[derive(Debug)]
pub(crate) enum Answer {
    /// To a load, a commit or a delete.
    Main(Result<Done, StoreError>),
    /// To a question. Boxed, since every answer has room for the largest.
    Asked(Result<Box<LoadOutcome>, StoreError>),
    Touched(Result<(), StoreError>),
    /// With the seq of the message that the reply writes.
    Extended(u64, Result<ExtendOutcome, StoreError>),
    /// With the seq of the message. `None`: the reply has ended.
    Made(u64, Result<Option<Box<Close>>, StoreError>),
}

/// A load, commit or delete that did not fail.
#[derive(Debug)]
pub(crate) enum Done {
    /// `None`: there is no such session. Boxed, since every answer has room for the largest.
    Loaded(Option<Box<store::Loaded>>),
    Committed(CommitOutcome),
    Deleted(DeleteOutcome),
}

/// Store calls of one lane go one after another, those of different lanes side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Loads, commits and deletes.
    Main,
    /// Questions whether the session has changed.
    Questions,
    Touches,
    /// Extensions of the reply that writes the message with this seq.
    Reply(u64),
    /// The final message of the interrupted reply at this seq.
    Make(u64),
}

impl Lane {
    /// The answer of a store that failed.
    pub(crate) fn failed(self, e: StoreError) -> Answer {
        match self {
            Self::Main => Answer::Main(Err(e)),
            Self::Questions => Answer::Asked(Err(e)),
            Self::Touches => Answer::Touched(Err(e)),
            Self::Reply(seq) => Answer::Extended(seq, Err(e)),
            Self::Make(seq) => Answer::Made(seq, Err(e)),
        }
    }
}

impl StoreCall {
    pub(crate) fn lane(&self) -> Lane {
        match self {
            Self::Load(_) | Self::Commit(..) | Self::Delete(_) => Lane::Main,
            Self::Ask(_) => Lane::Questions,
            Self::Touch(_) => Lane::Touches,
            Self::Extend(extension) => Lane::Reply(extension.seq),
            Self::Make(make) => Lane::Make(make.seq),
        }
    }
}
