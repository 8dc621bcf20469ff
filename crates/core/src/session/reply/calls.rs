//! The calls of a chat session that are about replies.

use super::ending::{Closed, Ending};
use super::follow::Follow;
use super::new::NewReply;
use super::opening::{Opened, Plan, plan};
use super::producer::Producer;
use super::writing::Reply;
use crate::app::AppState;
use crate::error::Error;
use crate::reply::{EndedReply, ReplyEnd};
use crate::session::call::Require;
use crate::session::chat::ChatSession;
use crate::session::draft::Draft;
use crate::store::Version;

impl<A: AppState> ChatSession<A> {
    /// Opens a reply: a message that is written chunk by chunk. `open` adds the message that is
    /// answered, if it is new, makes any other changes, and returns the message as it reads while
    /// it is being written. All of that is one commit. `open` may run more than once (clause C5).
    ///
    /// A message without an `id` gets one that is derived from the `id` of the message that it
    /// answers and the number of the try ([`NewReply::attempt`]). By this id a second call finds
    /// the reply, as long as its message is among the last 64: the call changes nothing and gives
    /// [`Opened::Running`] or [`Opened::Ended`]. So a retry never produces twice.
    ///
    /// ```
    /// use durable_session::{Error, Message, Opened};
    /// # use durable_session::{ChatSession, Reply};
    /// # async fn produce(reply: Reply) {}
    /// # async fn relay(follow: durable_session::Follow) {}
    /// # async fn example(chat: ChatSession) -> Result<(), Error> {
    /// let opened = chat
    ///     .reply(|draft| {
    ///         draft.add_message(Message::user("Explain lifetimes").with_id("m-7"))?;
    ///         Ok(Message::assistant(""))
    ///     })
    ///     .await?;
    /// match opened {
    ///     Opened::New(reply) => produce(reply).await,
    ///     Opened::Running(follow) => relay(follow).await,
    ///     Opened::Ended(stored) => println!("{} bytes", stored.message.bytes()),
    ///     _ => {}
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The error that `open` returned, and those of the calls that it made on the draft.
    /// [`Error::IdReused`] if the reply is known although `open` adds or edits a message.
    /// [`Error::ReplyOpen`], [`Error::UnknownFormat`], [`Error::Format`], [`Error::TooLarge`],
    /// [`Error::Contended`], [`Error::Store`].
    pub async fn reply<R: Into<NewReply>>(
        &self,
        open: impl FnMut(&mut Draft<'_, A>) -> Result<R, Error>,
    ) -> Result<Opened<A>, Error> {
        self.open_reply(Require::Nothing, open).await
    }

    /// Like [`reply`](Self::reply), but only if the session has exactly this version; `None` is a
    /// session that does not exist.
    ///
    /// # Errors
    /// [`Error::VersionChanged`]; otherwise as [`reply`](Self::reply).
    pub async fn reply_if<R: Into<NewReply>>(
        &self,
        version: Option<Version>,
        open: impl FnMut(&mut Draft<'_, A>) -> Result<R, Error>,
    ) -> Result<Opened<A>, Error> {
        self.open_reply(Require::Version(version), open).await
    }

    async fn open_reply<R: Into<NewReply>>(
        &self,
        require: Require,
        mut open: impl FnMut(&mut Draft<'_, A>) -> Result<R, Error>,
    ) -> Result<Opened<A>, Error> {
        let producer = Producer::new(&self.session)?;
        let claim = producer.claim;
        let planned = self
            .session
            .apply_on_copy(require, |planner, view, whole| {
                plan(planner, view, whole, claim, &mut open)
            })
            .await?;
        let seq = match planned {
            Plan::Open { seq, message, format } => {
                return Ok(Opened::New(Reply::new(producer, seq, message, format)));
            }
            Plan::Known { seq } => seq,
        };
        drop(producer);
        let follow = self.follow(seq, 0).await?;
        if follow.was_open() {
            return Ok(Opened::Running(follow));
        }
        let stored = self.session.message_at(seq).await?;
        let gone = || Error::NoSuchMessage { session: self.id().clone(), seq };
        Ok(Opened::Ended(stored.ok_or_else(gone)?))
    }

    /// Follows the reply that writes the message at `seq`, from the chunk with the number `at` on.
    /// It counts as a use of the session, as a read does.
    ///
    /// If no reply is open on the message, the follower gives the message at once.
    ///
    /// ```
    /// use durable_session::Followed;
    /// # use durable_session::{ChatSession, Error};
    /// # async fn example(chat: ChatSession) -> Result<(), Error> {
    /// let open: Vec<u64> = chat.snapshot().await?.open_replies().collect();
    /// for seq in open {
    ///     let mut follow = chat.follow(seq, 0).await?;
    ///     while let Followed::Chunk { json, .. } = follow.next().await? {
    ///         println!("{} bytes", json.len());
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NoSuchMessage`], [`Error::Store`].
    pub async fn follow(&self, seq: u64, at: u64) -> Result<Follow, Error> {
        Follow::begin(&self.session, seq, at).await
    }

    /// Stops the reply that writes the message at `seq`: the chunks so far become the message, with
    /// a mark. The producer's next call tells it, and [`Reply::ended`](crate::Reply::ended)
    /// resolves at once.
    ///
    /// If the reply had ended in another way, nothing changes, and the answer says how. A message
    /// that no reply wrote counts as finished.
    ///
    /// ```
    /// use durable_session::ReplyEnd;
    /// # use durable_session::{ChatSession, Error};
    /// # async fn example(chat: ChatSession) -> Result<(), Error> {
    /// let ended = chat.stop(3).await?;
    /// if ended.how != ReplyEnd::Stopped {
    ///     println!("too late, it was {} before", ended.how);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NoSuchMessage`], [`Error::UnknownFormat`], [`Error::Contended`], [`Error::Store`].
    pub async fn stop(&self, seq: u64) -> Result<EndedReply, Error> {
        let ending = Ending { seq, claim: None, how: ReplyEnd::Stopped, reason: None };
        let nothing = |_: &mut Draft<'_, A>| Ok(());
        match self.session.close(ending, nothing, &mut None).await? {
            Closed::Done((), stored) => Ok(EndedReply::new(ReplyEnd::Stopped, Some(stored))),
            Closed::Otherwise(claim) => {
                let ended = self.session.ended_reply(seq, claim).await?;
                if claim.is_none() && ended.message.is_none() {
                    return Err(Error::NoSuchMessage { session: self.id().clone(), seq });
                }
                Ok(ended)
            }
        }
    }
}
