//! Messages with their places in a session.

use crate::Message;

/// A message as it stands in a session.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StoredMessage {
    /// Its place in the session's order, from 1.
    pub seq: u64,
    /// The message.
    pub message: Message,
}

impl StoredMessage {
    /// The message at `seq`.
    pub fn new(seq: u64, message: Message) -> Self {
        Self { seq, message }
    }
}

/// A message that was added, or found to be there already.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Added {
    /// Its place in the session's order, from 1.
    pub seq: u64,
    /// The message as it is stored.
    pub message: Message,
    /// It was there already, by its `id` (clause C7): this call stored nothing.
    pub replayed: bool,
}

impl From<StoredMessage> for Added {
    /// The message as one that was there already.
    fn from(StoredMessage { seq, message }: StoredMessage) -> Self {
        Self { seq, message, replayed: true }
    }
}
