//! The messages that calls return.

use durable_session::Message;
use serde::Deserialize;

/// An added message.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Posted {
    /// The message's seq, for [`edit`](super::ChatSessionClient::edit) and others. `None` if the
    /// service speaks the older protocol without seqs.
    pub seq: Option<u64>,
    /// The message as it is stored.
    pub message: Message,
    /// The seq of the reply that answers it, for [`follow`](super::ChatSessionClient::follow);
    /// `None` if no reply does.
    #[serde(default)]
    pub reply: Option<u64>,
}

/// A reply that somebody wanted to stop.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Stopped {
    /// Whether it was stopped, by this call or an earlier one. If not, it had ended before in
    /// another way.
    #[serde(default, rename = "success")]
    pub stopped: bool,
    /// Its message.
    pub message: Message,
}

/// A page of messages.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MessagesPage {
    /// Messages with their seqs, oldest first.
    pub messages: Vec<(u64, Message)>,
    /// The cursor of the next page, for [`PageFrom::Before`] or [`PageFrom::After`].
    pub next: Option<String>,
}

/// Where a page of messages begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageFrom {
    /// The newest messages.
    End,
    /// The newest messages before this cursor.
    Before(String),
    /// The oldest messages after this cursor.
    After(String),
}
