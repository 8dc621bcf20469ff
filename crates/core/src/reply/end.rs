//! How replies end.

use crate::session::StoredMessage;
use std::fmt;

/// How a reply ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReplyEnd {
    /// Its producer finished it.
    Finished,
    /// Somebody stopped it.
    Stopped,
    /// Its producer said that it cannot go on.
    Failed,
    /// Its producer is gone.
    Interrupted,
    /// Its message was removed, alone or with the session.
    Removed,
}

impl ReplyEnd {
    /// A word for it, such as `stopped`.
    ///
    /// ```
    /// use durable_session::ReplyEnd;
    ///
    /// assert_eq!(ReplyEnd::Stopped.as_str(), "stopped");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Removed => "removed",
        }
    }
}

impl fmt::Display for ReplyEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A reply that has ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EndedReply {
    /// How it ended.
    pub how: ReplyEnd,
    /// Its message as it is stored now; `None` if there is none any more.
    pub message: Option<StoredMessage>,
}

impl EndedReply {
    pub(crate) fn new(how: ReplyEnd, message: Option<StoredMessage>) -> Self {
        Self { how, message }
    }
}
