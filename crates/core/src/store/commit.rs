//! Commits: the operations that a store applies together.

use super::shown::Size;
use super::{Claim, IdTag, Incarnation, Labels, ReplyCounts, ReplyOpening, Version};
use crate::Message;
use bytes::Bytes;
use std::fmt;

/// The state of the session that a commit expects.
///
/// Exhaustive, so that a store does not compile until it handles a new variant: a store that
/// ignored an expectation would break S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// The session must not exist; the commit creates it.
    Absent {
        /// The time of creation, Unix milliseconds.
        created_at: u64,
        /// The incarnation to store, drawn by the caller; `None` lets the store draw it. For
        /// wrappers that bind stored bytes to the life of the session.
        incarnation: Option<Incarnation>,
    },
    /// The session must have exactly this version. Each version has one `next_seq`, so a wrapper
    /// knows the seqs of the commit's messages.
    Version {
        /// The version.
        version: Version,
        /// The session's [`next_seq`](super::Head::next_seq) at that version.
        next_seq: u64,
    },
}

impl Expect {
    /// The session must not exist. `created_at` is in Unix milliseconds; the store draws the
    /// incarnation.
    pub const fn absent(created_at: u64) -> Self {
        Self::Absent { created_at, incarnation: None }
    }
}

/// A message to write. `Debug` shows the length of the body only.
#[derive(Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// The body.
    pub body: Bytes,
    /// The tag of the message's `id` (C7).
    pub tag: IdTag,
    /// The reply to open, which goes on writing the message (S10). Boxed, since few messages open
    /// one.
    pub opens: Option<Box<ReplyOpening>>,
}

impl NewMessage {
    /// A complete body without an `id`.
    pub const fn plain(body: Bytes) -> Self {
        Self { body, tag: IdTag::NONE, opens: None }
    }

    /// A complete body whose `id` has this tag.
    pub const fn tagged(body: Bytes, tag: IdTag) -> Self {
        Self { body, tag, opens: None }
    }

    /// The message with a reply that goes on writing it.
    #[must_use]
    pub fn opening(self, opens: ReplyOpening) -> Self {
        Self { opens: Some(Box::new(opens)), ..self }
    }
}

impl fmt::Debug for NewMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { body, tag, opens } = self;
        f.debug_struct("NewMessage")
            .field("body", &Size(body.len()))
            .field("tag", tag)
            .field("opens", opens)
            .finish()
    }
}

impl From<&Message> for NewMessage {
    fn from(message: &Message) -> Self {
        Self::tagged(message.body(), IdTag::of_message(message))
    }
}

/// One operation of a commit. `Debug` shows the lengths of bodies and app states only.
///
/// Exhaustive, so that a store does not compile until it handles a new variant: a store that
/// skipped an operation would break S1.
#[derive(Clone, PartialEq, Eq)]
pub enum Op {
    /// Adds a message at the end. It gets the next seq.
    Append(NewMessage),
    /// Replaces the message at `seq`. An open reply on it ends, and its chunks are removed.
    Replace {
        /// The message. If it does not exist at this point of the commit, the commit changes
        /// nothing and ends as [`CommitOutcome::NoSuchSeq`](super::CommitOutcome::NoSuchSeq).
        seq: u64,
        /// The new content. If it opens a reply, the message is *reopened*.
        message: NewMessage,
    },
    /// Removes the messages from `first` to `last`, both inclusive, with their replies and chunks.
    /// Seqs without a message are skipped.
    Remove {
        /// The lowest seq.
        first: u64,
        /// The highest seq.
        last: u64,
    },
    /// Sets the app state.
    SetApp(Bytes),
    /// Sets the labels (S11).
    SetLabels(Labels),
    /// Closes the reply at `seq` (S10): the message gets its final content, and the chunks are
    /// removed.
    Close {
        /// The message.
        seq: u64,
        /// The claim of the reply. If no reply with this claim is open there, the commit ends as
        /// [`CommitOutcome::ReplyEnded`](super::CommitOutcome::ReplyEnded).
        claim: Claim,
        /// The counts of the reply when the content was made. If the reply has other counts, the
        /// commit ends as [`CommitOutcome::Grew`](super::CommitOutcome::Grew).
        counts: ReplyCounts,
        /// The final content; it may open the next reply.
        message: NewMessage,
    },
}

impl Op {
    /// An [`Append`](Self::Append) of a body without an `id`.
    pub const fn append(body: Bytes) -> Self {
        Self::Append(NewMessage::plain(body))
    }

    /// A [`Replace`](Self::Replace) of the message at `seq` by a body without an `id`.
    pub const fn replace(seq: u64, body: Bytes) -> Self {
        Self::Replace { seq, message: NewMessage::plain(body) }
    }

    /// The message that the operation writes, if it writes one.
    pub fn message(&self) -> Option<&NewMessage> {
        match self {
            Self::Append(message) | Self::Replace { message, .. } | Self::Close { message, .. } => {
                Some(message)
            }
            Self::Remove { .. } | Self::SetApp(_) | Self::SetLabels(_) => None,
        }
    }
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Append(message) => f.debug_tuple("Append").field(message).finish(),
            Self::Replace { seq, message } => {
                f.debug_struct("Replace").field("seq", seq).field("message", message).finish()
            }
            Self::Remove { first, last } => {
                f.debug_struct("Remove").field("first", first).field("last", last).finish()
            }
            Self::SetApp(app) => f.debug_tuple("SetApp").field(&Size(app.len())).finish(),
            Self::SetLabels(labels) => f.debug_tuple("SetLabels").field(labels).finish(),
            Self::Close { seq, claim, counts, message } => f
                .debug_struct("Close")
                .field("seq", seq)
                .field("claim", claim)
                .field("counts", counts)
                .field("message", message)
                .finish(),
        }
    }
}

/// An ordered list of operations on one session, applied completely or not at all.
///
/// ```
/// use durable_session::Message;
/// use durable_session::store::{Commit, Expect, NewMessage, Op};
///
/// let message = NewMessage::from(&Message::user("hi").with_id("m-1"));
/// let ops = vec![Op::Append(message), Op::SetApp("{}".into())];
/// let commit = Commit::new(Expect::absent(1_763_264_606_917), ops, 1_763_264_606_917);
/// assert!(commit.moves_base() && !commit.only_appends());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Commit {
    /// The expected state of the session.
    pub expect: Expect,
    /// The operations, in order. An empty list still makes a new version.
    pub ops: Vec<Op>,
    /// The time of the commit, Unix milliseconds. It raises `last_accessed_at` and, if messages or
    /// app state change, `changed_at`.
    pub at: u64,
}

impl Commit {
    /// A commit of these operations at this time, Unix milliseconds.
    pub const fn new(expect: Expect, ops: Vec<Op>, at: u64) -> Self {
        Self { expect, ops, at }
    }

    /// The bytes of all bodies and app states in the commit, which
    /// [`StoreLimits::max_commit_bytes`](super::StoreLimits::max_commit_bytes) limits.
    pub fn bytes(&self) -> u64 {
        self.ops
            .iter()
            .map(|op| match op {
                Op::Append(message) | Op::Replace { message, .. } | Op::Close { message, .. } => {
                    message.body.len() as u64
                }
                Op::SetApp(app) => app.len() as u64,
                Op::Remove { .. } | Op::SetLabels(_) => 0,
            })
            .sum()
    }

    /// Whether the commit only appends messages to an existing session. A store can keep such a
    /// commit in its message rows alone.
    pub fn only_appends(&self) -> bool {
        matches!(self.expect, Expect::Version { .. })
            && !self.ops.is_empty()
            && self.ops.iter().all(|op| matches!(op, Op::Append(_)))
    }

    /// Whether the commit moves [`Head::base`](super::Head::base): it creates the session,
    /// replaces, reopens or removes messages, sets the app state, or has no operations. A close
    /// moves the base only if it reopens the message.
    pub fn moves_base(&self) -> bool {
        matches!(self.expect, Expect::Absent { .. })
            || self.ops.is_empty()
            || self.ops.iter().any(|op| match op {
                Op::Replace { .. } | Op::Remove { .. } | Op::SetApp(_) => true,
                Op::Close { message, .. } => message.opens.is_some(),
                Op::Append(_) | Op::SetLabels(_) => false,
            })
    }

    /// Whether the commit moves [`Head::closed`](super::Head::closed): it creates the session or
    /// closes a reply.
    pub fn closes_replies(&self) -> bool {
        matches!(self.expect, Expect::Absent { .. })
            || self.ops.iter().any(|op| matches!(op, Op::Close { .. }))
    }

    /// Whether the commit moves [`Head::changed_at`](super::Head::changed_at): it changes messages
    /// or app state.
    pub fn changes_content(&self) -> bool {
        self.ops.iter().any(|op| !matches!(op, Op::SetLabels(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Bytes, Claim, Commit, Expect, Incarnation, Labels, NewMessage, Op, ReplyCounts,
        ReplyOpening, Version,
    };

    #[test]
    fn operations_decide_which_parts_of_the_head_a_commit_moves() {
        let version = Version::new(Incarnation::from_bytes([1; 16]), 3);
        let there = Expect::Version { version, next_seq: 5 };
        let body = || Bytes::from_static(b"{}");
        let claim = Claim::from_bytes([3; 32]);
        let opens = || NewMessage::plain(body()).opening(ReplyOpening::new(claim, "text"));
        let close = |message| Op::Close { seq: 1, claim, counts: ReplyCounts::default(), message };
        // expectation, operations: only appends, base, closed, changed_at
        for (expect, ops, moves) in [
            (there, vec![Op::append(body())], [true, false, false, true]),
            (there, vec![Op::Append(opens())], [true, false, false, true]),
            (there, vec![], [false, true, false, false]),
            (there, vec![Op::SetLabels(Labels::NONE)], [false, false, false, false]),
            (there, vec![Op::append(body()), Op::SetApp(body())], [false, true, false, true]),
            (there, vec![Op::replace(1, body())], [false, true, false, true]),
            (there, vec![Op::Remove { first: 1, last: 1 }], [false, true, false, true]),
            (there, vec![close(NewMessage::plain(body()))], [false, false, true, true]),
            (there, vec![close(opens())], [false, true, true, true]),
            (Expect::absent(1), vec![Op::append(body())], [false, true, true, true]),
            (Expect::absent(1), vec![], [false, true, true, false]),
        ] {
            let c = Commit::new(expect, ops, 9);
            let is = [c.only_appends(), c.moves_base(), c.closes_replies(), c.changes_content()];
            assert_eq!(is, moves, "{c:?}");
        }
    }
}
