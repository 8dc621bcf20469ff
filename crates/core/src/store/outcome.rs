//! The outcomes of commits and deletes.

use super::{Head, ReplyCounts, Version};

/// The outcome of a commit that did not fail. Every outcome but `Committed` changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitOutcome {
    /// The commit is durable. This is the head after it.
    Committed(Head),
    /// The session was not in the expected state.
    Conflict {
        /// The current version; `None` if the session is absent.
        current: Option<Version>,
    },
    /// An [`Op::Replace`](super::Op::Replace) named a seq without a message.
    NoSuchSeq {
        /// The seq.
        seq: u64,
    },
    /// An [`Op::Close`](super::Op::Close) named a reply that is not open under its claim.
    ReplyEnded {
        /// The message.
        seq: u64,
    },
    /// An [`Op::Close`](super::Op::Close) has other counts than the reply.
    Grew {
        /// The message.
        seq: u64,
        /// The counts of the reply.
        counts: ReplyCounts,
    },
}

/// The condition of a delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteIf {
    /// Deletes the session in any state.
    Any,
    /// Deletes the session if it has this version.
    Version(Version),
    /// Deletes the session if `last_accessed_at` is not later than this, Unix milliseconds.
    IdleSince(u64),
}

/// The outcome of a delete that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteOutcome {
    /// All data of the session is removed.
    Deleted,
    /// The session did not exist.
    Absent,
    /// The condition did not hold; nothing changed.
    Conflict {
        /// The current version.
        current: Version,
    },
}
