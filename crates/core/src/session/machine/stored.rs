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
