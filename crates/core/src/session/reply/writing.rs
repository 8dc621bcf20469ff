//! The writing of a reply.

use super::ending::{Closed, Ending};
use super::gather::Gather;
use super::producer::Producer;
use super::pulse::Pulse;
use crate::app::AppState;
use crate::error::Error;
use crate::json;
use crate::reply::{EndedReply, ReplyEnd, ReplyFormat};
use crate::session::current::Interval;
use crate::session::draft::Draft;
use crate::session::driver::{Listener, Wait};
use crate::session::machine::{End, Extended, Kind, Refused, StoredMessage, Ticket};
use crate::session::registry::Session;
use crate::store::{ExtendOutcome, Sharing, StoreError, StoreErrorKind};
use crate::{JsonObject, Message};
use bytes::Bytes;
use futures_core::Stream;
use serde::Serialize;
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// An open reply, for its producer.
///
/// A chunk is durable when [`push`](Self::push) returns, and visible to followers from then on. The
/// reply ends once: by [`finish`](Self::finish), by [`fail`](Self::fail), by somebody who
/// [stops](crate::ChatSession::stop) it or removes its message, or because this value is dropped
/// before. Dropping it has the reply interrupted: the chunks so far become the message, with a
/// mark.
///
/// ```
/// use durable_session::{Error, Message, Opened};
/// # use durable_session::ChatSession;
/// # async fn example(chat: ChatSession) -> Result<(), Error> {
/// let opened = chat
///     .reply(|draft| {
///         draft.add_message(Message::user("Explain lifetimes").with_id("m-7"))?;
///         Ok(Message::assistant(""))
///     })
///     .await?;
/// if let Opened::New(mut reply) = opened {
///     for word in ["A ", "lifetime ", "is …"] {
///         reply.push(word).await?;
///     }
///     reply.finish().await?;
/// }
/// # Ok(())
/// # }
/// ```
pub struct Reply<A = JsonObject> {
    producer: Producer,
    seq: u64,
    message: Message,
    format: Arc<dyn ReplyFormat>,
    /// The final message that the last call tried to store.
    tried: Option<Message>,
    app: PhantomData<fn() -> A>,
}

impl<A> fmt::Debug for Reply<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("session", &self.session().actor.id)
            .field("seq", &self.seq)
            .finish_non_exhaustive()
    }
}

impl<A> Reply<A> {
    pub(super) fn new(
        producer: Producer,
        seq: u64,
        message: Message,
        format: Arc<dyn ReplyFormat>,
    ) -> Self {
        Self { producer, seq, message, format, tried: None, app: PhantomData }
    }

    pub(super) fn session(&self) -> &Session {
        &self.producer.session
    }
}

impl<A: AppState> Reply<A> {
    /// The seq of the message that it writes.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The message as it was opened. It reads so until the reply ends.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Adds a chunk. Once this returns, the chunk is durable and visible to followers.
    ///
    /// If the future is dropped, the chunk is added whole or not at all. If the outcome is unknown
    /// ([`Error::outcome_unknown`]), the chunk counts as added: the next call sends it again, and
    /// you must not.
    ///
    /// # Errors
    /// [`Error::ReplyEnded`] once the reply has ended; [`Error::Format`] if it is no chunk of the
    /// reply's format; [`Error::TooLarge`] if the message would be larger than the limits let it
    /// be, and the reply stays open then; [`Error::Store`].
    pub async fn push(&mut self, chunk: impl Serialize) -> Result<(), Error> {
        let chunk = self.encode(&chunk)?;
        let ticket = self.send(vec![chunk]);
        let outcome = match ticket {
            Ok(ticket) => Wait::new(self.session(), ticket).await,
            Err(refused) => return Err(self.refused(refused).await),
        };
        self.extended(outcome).await
    }

    /// Adds all items of `stream` as chunks. While some are being written it reads ahead, and
    /// writes the next ones together. It returns when the stream has ended and all are durable, or
    /// as soon as the reply has ended in another way.
    ///
    /// [`ChatSessionsBuilder::gather`](crate::ChatSessionsBuilder::gather) makes it write less
    /// often, for a store whose writes cost money.
    ///
    /// If the future is dropped, the items that it took from the stream and did not write are lost.
    ///
    /// ```
    /// # use durable_session::{Error, Reply};
    /// # async fn example(mut reply: Reply) -> Result<(), Error> {
    /// let words = futures_util::stream::iter(["A ", "lifetime ", "is …"]);
    /// reply.pump(words).await?;
    /// reply.finish().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`push`](Self::push). The chunks before a refused item are added.
    pub async fn pump<S>(&mut self, stream: S) -> Result<(), Error>
    where
        S: Stream,
        S::Item: Serialize,
    {
        let mut stream = pin!(stream);
        let session = self.session().clone();
        let mut gather = Gather::new(&session.registry.config);
        loop {
            let ended = {
                let this = &*self;
                let mut listener = Listener::new(this.session());
                poll_fn(|cx| {
                    gather.read(cx, stream.as_mut(), |item| this.encode(&item));
                    if gather.is_ready(cx) {
                        return std::task::Poll::Ready(false);
                    }
                    let claim = &this.producer.claim;
                    listener.poll(cx, |cell| cell.machine.reply_end(claim).map(|_| true))
                })
                .await
            };
            if ended {
                return Err(self.ended_error(None).await);
            }
            let chunks = gather.take();
            if !chunks.is_empty() {
                let ticket = match self.send(chunks) {
                    Ok(ticket) => ticket,
                    Err(refused) => return Err(self.refused(refused).await),
                };
                let outcome = {
                    let this = &*self;
                    let mut write = pin!(Wait::new(this.session(), ticket));
                    poll_fn(|cx| {
                        gather.read(cx, stream.as_mut(), |item| this.encode(&item));
                        write.as_mut().poll(cx)
                    })
                    .await
                };
                self.extended(outcome).await?;
            } else if let Some(e) = gather.failed() {
                return Err(e);
            } else if gather.is_done() {
                return Ok(());
            }
        }
    }

    /// Shows that the producer is alive, while it has nothing to add. On a shared store, a producer
    /// that shows nothing for [`Replies::abandoned_after`](crate::Replies::abandoned_after) counts
    /// as gone: call this as often as [`beat_every`](Self::beat_every) says.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub async fn beat(&mut self) -> Result<(), Error> {
        self.session().check_open()?;
        let beat = self.session().actor.lock().machine.beat(self.seq, self.producer.claim);
        let outcome = match beat {
            Ok(ticket) => Wait::new(self.session(), ticket).await,
            Err(refused) => return Err(self.refused(refused).await),
        };
        self.extended(outcome).await
    }

    /// How often the producer has to show that it is alive; `None` if it need not, because the
    /// store is exclusive.
    pub fn beat_every(&self) -> Option<Duration> {
        let registry = &self.session().registry;
        let every = registry.config.replies.beat_every();
        (registry.store.sharing() == Sharing::Shared).then_some(every)
    }

    /// Shows that the producer is alive from elsewhere; `None` if it need not be shown, as
    /// [`beat_every`](Self::beat_every) says.
    pub fn pulse(&self) -> Option<Pulse> {
        let every = self.beat_every()?;
        Some(Pulse::new(self.session().clone(), self.seq, self.producer.claim, every))
    }

    /// Waits until the reply has ended, also by somebody else. Dropping the future loses nothing.
    ///
    /// ```
    /// # use durable_session::{Error, Reply, ReplyEnd};
    /// # async fn example(reply: Reply) -> Result<(), Error> {
    /// if reply.ended().await?.how == ReplyEnd::Stopped {
    ///     println!("somebody pressed the stop button");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Store`] if another process ended the reply and its message cannot be read.
    pub async fn ended(&self) -> Result<EndedReply, Error> {
        let claim = self.producer.claim;
        let (mut listener, mut interval) = (Listener::new(self.session()), Interval::default());
        poll_fn(|cx| {
            interval.poll(cx, self.session());
            listener.poll(cx, |cell| cell.machine.reply_end(&claim))
        })
        .await;
        drop(listener);
        self.session().ended_reply(self.seq, Some(claim)).await
    }

    /// Ends the reply: all chunks become its message, in one commit. Returns the message.
    ///
    /// If the outcome is unknown, call it again: it succeeds if its message is stored.
    ///
    /// # Errors
    /// [`Error::ReplyEnded`] if the reply had ended in another way; [`Error::Contended`],
    /// [`Error::Store`]. The reply stays open after them, unless the outcome is unknown.
    pub async fn finish(&mut self) -> Result<StoredMessage, Error> {
        let ended = self.end(ReplyEnd::Finished, None, |_| Ok(())).await?;
        Ok(ended.1)
    }

    /// Like [`finish`](Self::finish), and makes other changes in the same commit. `change` works on
    /// a draft that has the final message, and may run more than once (clause C5).
    ///
    /// Called again after an unknown outcome, it succeeds without a value if the message is stored:
    /// the other changes are stored with it.
    ///
    /// ```
    /// # use durable_session::{Error, Reply};
    /// # async fn example(mut reply: Reply) -> Result<(), Error> {
    /// reply
    ///     .finish_with(|draft| {
    ///         draft.app_mut()?.set("step", "classes").map_err(Error::rejected)
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`finish`](Self::finish), and the error that `change` returned.
    pub async fn finish_with<T>(
        &mut self,
        change: impl FnMut(&mut Draft<'_, A>) -> Result<T, Error>,
    ) -> Result<(Option<T>, StoredMessage), Error> {
        self.end(ReplyEnd::Finished, None, change).await
    }

    /// Ends the reply as failed: the chunks so far become its message, with a mark and, if the
    /// format keeps it, the reason.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub async fn fail(&mut self, reason: impl fmt::Display) -> Result<StoredMessage, Error> {
        let reason = Some(reason.to_string().into());
        let ended = self.end(ReplyEnd::Failed, reason, |_| Ok(())).await?;
        Ok(ended.1)
    }

    async fn end<T>(
        &mut self,
        how: ReplyEnd,
        reason: Option<Arc<str>>,
        change: impl FnMut(&mut Draft<'_, A>) -> Result<T, Error>,
    ) -> Result<(Option<T>, StoredMessage), Error> {
        self.settle().await?;
        let (seq, claim) = (self.seq, self.producer.claim);
        let own = self.tried.clone();
        let ending = Ending { seq, claim: Some(claim), how, reason };
        let session = self.producer.session.clone();
        match session.close(ending, change, &mut self.tried).await? {
            Closed::Done(value, message) => Ok((Some(value), message)),
            Closed::Otherwise(_) => match session.ended_reply(seq, Some(claim)).await? {
                // An earlier call stored it, whose outcome was not known.
                EndedReply { message: Some(stored), how: ended, .. }
                    if ended == how && own.as_ref() == Some(&stored.message) =>
                {
                    Ok((None, stored))
                }
                ended => Err(self.ended_error(Some(ended.how)).await),
            },
        }
    }

    /// Sends the chunks again of which it is not known whether they are stored.
    async fn settle(&self) -> Result<(), Error> {
        self.session().check_open()?;
        let ticket = self.session().actor.lock().machine.settle(self.seq, self.producer.claim);
        if let Some(ticket) = ticket {
            Wait::new(self.session(), ticket).await?;
        }
        Ok(())
    }

    fn encode(&self, chunk: &impl Serialize) -> Result<Bytes, Error> {
        let refused = |source| Error::Format { session: self.session().actor.id.clone(), source };
        let text = serde_json::to_string(chunk).map_err(|e| refused(Arc::new(e)))?;
        json::check(&text).map_err(|e| refused(Arc::new(e)))?;
        self.format.check(&text).map_err(|e| refused(e.into()))?;
        Ok(text.into())
    }

    fn send(&self, chunks: Vec<Bytes>) -> Result<Ticket<Extended>, Refusal> {
        let mut cell = self.session().actor.lock();
        self.session().check_open().map_err(Refusal::Error)?;
        cell.machine.push(self.seq, self.producer.claim, chunks).map_err(Refusal::Machine)
    }

    async fn refused(&self, refused: impl Into<Refusal>) -> Error {
        match refused.into() {
            Refusal::Error(e) => e,
            Refusal::Machine(Refused::TooLarge(over)) => Error::TooLarge {
                session: self.session().actor.id.clone(),
                limit: over.limit,
                is: over.is,
                max: over.max,
            },
            Refusal::Machine(Refused::Ended(End::Here(how, _))) => {
                self.ended_error(Some(how)).await
            }
            Refusal::Machine(Refused::Ended(End::Elsewhere)) => self.ended_error(None).await,
        }
    }

    async fn extended(&self, outcome: <Extended as Kind>::Outcome) -> Result<(), Error> {
        match outcome? {
            ExtendOutcome::Extended(_) => Ok(()),
            ExtendOutcome::Ended => Err(self.ended_error(None).await),
            ExtendOutcome::Gap(_) => {
                let lost = "the store has fewer chunks of the reply than it acknowledged";
                let e = StoreError::new(StoreErrorKind::Internal, lost);
                Err(e.in_session(&self.session().actor.id).at_seq(self.seq).into())
            }
        }
    }

    /// The error of a call after the end of the reply.
    async fn ended_error(&self, how: Option<ReplyEnd>) -> Error {
        let how = match how {
            Some(how) => how,
            None => match self.session().ended_reply(self.seq, Some(self.producer.claim)).await {
                Ok(ended) => ended.how,
                Err(e) => return e,
            },
        };
        Error::ReplyEnded { session: self.session().actor.id.clone(), seq: self.seq, how }
    }
}

/// Why nothing was sent.
enum Refusal {
    Error(Error),
    Machine(Refused),
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        Self::Machine(refused)
    }
}
