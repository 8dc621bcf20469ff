//! The description of a reply to open.

use crate::Message;

/// A reply to open, for [`ChatSession::reply`](crate::ChatSession::reply). A plain [`Message`] is
/// one, too.
///
/// ```
/// use durable_session::{Message, NewReply};
///
/// // The second try to answer the message with the id `m-7`.
/// let reply = NewReply::new(Message::assistant("")).to("m-7").attempt(1);
/// # let _ = reply;
/// ```
#[derive(Debug, Clone)]
pub struct NewReply {
    pub(super) message: Message,
    pub(super) attempt: u64,
    pub(super) to: Option<String>,
    pub(super) format: Option<String>,
    pub(super) reopens: Option<u64>,
}

impl NewReply {
    /// A reply that writes a new message, which begins with this content.
    pub fn new(message: Message) -> Self {
        Self { message, attempt: 0, to: None, format: None, reopens: None }
    }

    /// A reply that goes on writing the message at `seq`. The message reads as `message` until the
    /// reply ends.
    ///
    /// The library finds no retry of this by an id: as long as the reply is open, a second call
    /// follows it. Once it has ended, a second call opens the message again.
    pub fn reopening(seq: u64, message: Message) -> Self {
        Self { reopens: Some(seq), ..Self::new(message) }
    }

    /// The number of the try to answer a message, 0 by default. Another try is another reply.
    pub fn attempt(self, attempt: u64) -> Self {
        Self { attempt, ..self }
    }

    /// The `id` of the message that it answers. By default that is the last message that the
    /// closure added or found or, without any, the last message of the session.
    pub fn to(self, id: impl Into<String>) -> Self {
        Self { to: Some(id.into()), ..self }
    }

    /// The name of the format of its chunks. By default that is the format last given to
    /// [`Replies::format`](crate::Replies::format).
    pub fn format(self, name: impl Into<String>) -> Self {
        Self { format: Some(name.into()), ..self }
    }
}

impl From<Message> for NewReply {
    fn from(message: Message) -> Self {
        Self::new(message)
    }
}
