//! Following a reply over HTTP.

use super::error::ClientError;
use super::events::{Event, Events, Heard};
use super::messages::PageFrom;
use super::session::ChatSessionClient;
use durable_session::Message;
use std::fmt;

/// The messages that one look for an ended reply reads at a time.
const PAGE: u32 = 100;

/// The answer of [`FollowReply::next`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum FollowedReply {
    /// A chunk, which is durable.
    Chunk {
        /// Its number in the reply, from 0.
        at: u64,
        /// Its JSON text.
        json: String,
    },
    /// The reply has ended. Its message has everything that was shown, and perhaps chunks that this
    /// follower did not get; `None` if the message was removed.
    Ended(Option<Message>),
}

/// Follows one reply, from [`ChatSessionClient::follow`].
///
/// It connects on first use and again after a break, and goes on after the last chunk: each chunk
/// comes once, in order.
///
/// ```no_run
/// use durable_session::Message;
/// use durable_session_http::client::{ChatSessionClient, ClientError, FollowedReply};
///
/// # async fn example(chat: ChatSessionClient) -> Result<(), ClientError> {
/// let posted = chat.add_message(Message::user("Explain lifetimes")).await?;
/// if let Some(reply) = posted.reply {
///     let mut follow = chat.follow(reply, 0);
///     while let FollowedReply::Chunk { json, .. } = follow.next().await? {
///         println!("{json}");
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct FollowReply {
    chat: ChatSessionClient,
    events: Events,
    seq: u64,
    at: u64,
    /// Whether the service has said that the reply is open, since the stream began or missed
    /// something.
    open: bool,
    /// The end, once it is known.
    ended: Option<FollowedReply>,
}

impl fmt::Debug for FollowReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FollowReply")
            .field("seq", &self.seq)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

impl FollowReply {
    pub(super) fn new(chat: ChatSessionClient, seq: u64, at: u64) -> Self {
        let events = chat.events(None);
        Self { chat, events, seq, at, open: false, ended: None }
    }

    /// The seq of the message.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The number of the next chunk. Another follower goes on from it, in any process.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Waits for the next chunk, or for the end.
    ///
    /// # Errors
    /// [`ClientError`] if the service refuses the stream, or no try opens it.
    pub async fn next(&mut self) -> Result<FollowedReply, ClientError> {
        loop {
            if let Some(ended) = &self.ended {
                return Ok(ended.clone());
            }
            let heard = match self.events.hear().await {
                Ok(heard) => heard,
                // The session was deleted.
                Err(e) if e.is_gone() => {
                    self.end(None);
                    continue;
                }
                Err(e) => return Err(e),
            };
            match heard {
                Heard::Named if !self.open => {
                    let message = stored(&self.chat, self.seq).await?;
                    self.end(message);
                }
                Heard::Event(Event::Resync) => self.open = false,
                Heard::Event(Event::Reply { seq, .. }) if seq == self.seq => self.open = true,
                Heard::Event(Event::Chunk { seq, at, json }) if seq == self.seq => {
                    // After a `resync` the chunks begin anew.
                    if at >= self.at {
                        self.at = at + 1;
                        return Ok(FollowedReply::Chunk { at, json });
                    }
                }
                Heard::Event(Event::Message { seq, message } | Event::Edited { seq, message })
                    if seq == self.seq =>
                {
                    self.end(Some(message));
                }
                Heard::Event(_) | Heard::Named => {}
            }
        }
    }

    fn end(&mut self, message: Option<Message>) {
        self.ended = Some(FollowedReply::Ended(message));
    }
}

/// The message as it is stored.
async fn stored(chat: &ChatSessionClient, seq: u64) -> Result<Option<Message>, ClientError> {
    let mut from = PageFrom::End;
    loop {
        let page = chat.page(&from, PAGE).await?;
        let older = page.messages.first().is_some_and(|(first, _)| *first > seq);
        let found = page.messages.into_iter().find(|(at, _)| *at == seq);
        match (found, page.next) {
            (Some((_, message)), _) => return Ok(Some(message)),
            (None, Some(next)) if older => from = PageFrom::Before(next),
            (None, _) => return Ok(None),
        }
    }
}
