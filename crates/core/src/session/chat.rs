//! One chat session.

use super::call::Require;
use super::draft::Draft;
use super::machine::{self, Added, StoredMessage};
use super::parts::{Form, JsonParts};
use super::read::{MessagePage, MessageQuery};
use super::registry::Session;
use super::snapshot::Snapshot;
use super::watcher::Watcher;
use crate::app::{self, AppState};
use crate::error::Error;
use crate::state::ChatSessionState;
use crate::store::{DeleteIf, DeleteOutcome, Labels, ReadQuery, Salvaged, Version};
use crate::sync::Arc;
use crate::{JsonObject, Message, SessionId};
use std::fmt;
use std::marker::PhantomData;

/// A handle to one chat session. It is cheap to clone. All handles with one id that come from one
/// [`ChatSessions`](crate::ChatSessions) share one copy of the session in memory (clause C2).
///
/// A call that changes something returns once the change is durable. Dropping the future of such a
/// call is safe: the change then happens completely or not at all. A read shows the change as soon
/// as the store has answered it.
pub struct ChatSession<A = JsonObject> {
    pub(super) session: Session,
    app: PhantomData<fn() -> A>,
}

impl<A> Clone for ChatSession<A> {
    fn clone(&self) -> Self {
        Self { session: self.session.clone(), app: PhantomData }
    }
}

impl<A> fmt::Debug for ChatSession<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChatSession({})", self.session.actor.id.fingerprint())
    }
}

impl<A: AppState> ChatSession<A> {
    pub(crate) fn new(session: Session) -> Self {
        Self { session, app: PhantomData }
    }

    /// The session's id.
    pub fn id(&self) -> &SessionId {
        &self.session.actor.id
    }

    /// Adds a message at the end. Once this returns, it is durable.
    ///
    /// If one of the last 64 messages of the session has the same `id` and the same content, the
    /// call adds nothing and returns that message with `replayed` set (clause C7).
    ///
    /// ```
    /// use durable_session::Message;
    /// # use durable_session::{ChatSession, Error};
    /// # async fn example(chat: ChatSession) -> Result<(), Error> {
    /// let added = chat.add_message(Message::user("Hello").with_id("m-1")).await?;
    /// assert!(added.seq >= 1 && !added.replayed);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::IdReused`] if one of the last 64 messages has the same `id` and other content;
    /// [`Error::TooLarge`], [`Error::Contended`], [`Error::Store`].
    pub async fn add_message(&self, message: Message) -> Result<Added, Error> {
        let messages = [message];
        let added = self.session.apply(|planner, view| planner.add(view, &messages)).await?;
        added.into_iter().next().ok_or_else(|| Error::rejected("nothing was added"))
    }

    /// Adds several messages, one directly after the other. Either all are added or none is. If all
    /// are stored already, by their `id`s, the call returns the stored ones. A message that occurs
    /// twice in `messages` with one `id` is stored once and returned twice.
    ///
    /// ```
    /// use durable_session::Message;
    /// # use durable_session::{ChatSession, Error};
    /// # async fn example(chat: ChatSession) -> Result<(), Error> {
    /// let messages = vec![Message::user("Two and two?"), Message::assistant("Four.")];
    /// let added = chat.add_messages(messages).await?;
    /// assert_eq!(added[1].seq, added[0].seq + 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`add_message`](Self::add_message); [`Error::PartlyKnown`] if only some are stored
    /// already; [`Error::IdGivenTwice`] if two of them have one `id` and different content.
    pub async fn add_messages(&self, messages: Vec<Message>) -> Result<Vec<Added>, Error> {
        self.session.apply(|planner, view| planner.add(view, &messages)).await
    }

    /// Changes the app state. `change` may run more than once, each time on the newest state
    /// (clause C5). The call writes only the fields that `change` changed, and those of `A` that
    /// are not stored yet. All other fields stay as they are stored (clause C6).
    ///
    /// ```
    /// # use durable_session::{ChatSession, Error};
    /// # async fn example(chat: ChatSession) -> Result<(), Error> {
    /// let is_set = chat.update(|app| app.set("step", "payment").is_ok()).await?;
    /// assert!(is_set);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::AppState`] if the stored app state does not fit `A`, or the changed one cannot be
    /// stored; [`Error::TooLarge`], [`Error::Contended`], [`Error::Store`].
    pub async fn update<T>(&self, mut change: impl FnMut(&mut A) -> T) -> Result<T, Error> {
        self.turn(|draft| Ok(change(draft.app_mut()?))).await
    }

    /// Changes messages and app state together, in one commit. `change` may run more than once,
    /// each time on the newest state (clause C5). If `change` returns an error or panics, nothing
    /// is changed. It returns [`Error::rejected`] to stop for a reason of your own.
    ///
    /// ```
    /// use durable_session::Message;
    /// # use durable_session::{ChatSession, Error};
    /// # async fn example(chat: ChatSession) -> Result<(), Error> {
    /// let seq = chat
    ///     .turn(|draft| {
    ///         let added = draft.add_message(Message::assistant("Booked."))?;
    ///         draft.app_mut()?.set("booked", &true).map_err(Error::rejected)?;
    ///         Ok(added.seq)
    ///     })
    ///     .await?;
    /// # let _ = seq;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The error that `change` returned, and those of the calls that it made on the draft;
    /// [`Error::Contended`], [`Error::Store`].
    pub async fn turn<T>(
        &self,
        change: impl FnMut(&mut Draft<'_, A>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.run(Require::Nothing, change).await
    }

    /// Like [`turn`](Self::turn), but commits only if the session is still at `version`. `None`
    /// means that the session does not exist.
    ///
    /// ```
    /// use durable_session::Message;
    /// # use durable_session::{ChatSession, Error};
    /// # async fn example(chat: ChatSession) -> Result<(), Error> {
    /// let version = chat.snapshot().await?.version();
    /// chat.turn_if(version, |draft| draft.add_message(Message::user("first"))).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::VersionChanged`]; otherwise as [`turn`](Self::turn).
    pub async fn turn_if<T>(
        &self,
        version: Option<Version>,
        change: impl FnMut(&mut Draft<'_, A>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.run(Require::Version(version), change).await
    }

    async fn run<T>(
        &self,
        require: Require,
        mut change: impl FnMut(&mut Draft<'_, A>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.session
            .apply_on_copy(require, |planner, view, whole| {
                let mut draft = Draft::new(planner, view, whole);
                match change(&mut draft) {
                    Ok(value) => draft.finish().map(|(changes, after)| (value, changes, after)),
                    Err(e) => Err(draft.failed(e)),
                }
            })
            .await
    }

    /// A handle to the same session that gives it this owner if one of its calls creates the
    /// session: in the commit that creates it, unless the call sets labels itself.
    ///
    /// ```
    /// use durable_session::Message;
    /// # use durable_session::{ChatSessions, Error, SessionId};
    /// # async fn example(sessions: ChatSessions, id: SessionId) -> Result<(), Error> {
    /// let chat = sessions.session(id).owned_by("u-42");
    /// chat.add_message(Message::user("hello")).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn owned_by(self, owner: &str) -> Self {
        let begins_with = Some(Arc::new(Labels::owner(owner)));
        Self { session: Session { begins_with, ..self.session }, ..self }
    }

    /// Returns the owner and the title of the session; none if the session does not exist. Unlike
    /// [`snapshot`](Self::snapshot), the call does not count as use of the session (clause C10).
    ///
    /// # Errors
    /// [`Error::Store`] if the session is not in memory and loading it fails.
    pub async fn labels(&self) -> Result<Labels, Error> {
        Ok(self.session.view().await?.labels.clone())
    }

    /// Sets the owner and the title of the session (S11), as
    /// [`Draft::set_labels`](crate::Draft::set_labels) does in a turn. A session that does not
    /// exist is created with its initial state.
    ///
    /// ```
    /// use durable_session::store::Labels;
    /// # use durable_session::{ChatSession, Error};
    /// # async fn example(chat: ChatSession) -> Result<(), Error> {
    /// chat.set_labels(Labels::owner("u-42").title("Lifetimes")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Contended`], [`Error::Store`].
    pub async fn set_labels(&self, labels: Labels) -> Result<(), Error> {
        self.session.apply(|planner, view| planner.set_labels(view, &labels)).await
    }

    /// Gives the message at `seq` other content: an edit, or a correction.
    ///
    /// Do not use this for a message that grows while it is streamed: after each replacement,
    /// clients that fetch only new messages read the session again. Open a [reply](Self::reply)
    /// instead.
    ///
    /// ```
    /// use durable_session::Message;
    /// # use durable_session::{ChatSession, Error};
    /// # async fn example(chat: ChatSession) -> Result<(), Error> {
    /// chat.replace(3, Message::user("I meant Tuesday")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NoSuchMessage`], [`Error::ReplyOpen`], [`Error::TooLarge`], [`Error::Contended`],
    /// [`Error::Store`].
    pub async fn replace(&self, seq: u64, message: Message) -> Result<(), Error> {
        self.turn(|draft| draft.replace(seq, &message)).await
    }

    /// Takes the last message away and returns it; `None` if there is none. Its seq is not used
    /// again.
    ///
    /// ```
    /// # use durable_session::{ChatSession, Error};
    /// # async fn example(chat: ChatSession) -> Result<(), Error> {
    /// if let Some(last) = chat.pop().await? {
    ///     println!("message {} is gone", last.seq);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Contended`], [`Error::Store`].
    pub async fn pop(&self) -> Result<Option<StoredMessage>, Error> {
        self.session.apply(|planner, view| planner.pop(view)).await
    }

    /// Removes the message at `seq`, even if the message is damaged. If no message is there, the
    /// call does nothing, or fails if the state in memory shows the absence.
    ///
    /// ```
    /// # use durable_session::{ChatSession, Error};
    /// # async fn example(chat: ChatSession) -> Result<(), Error> {
    /// chat.remove(3).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NoSuchMessage`], [`Error::Contended`], [`Error::Store`].
    pub async fn remove(&self, seq: u64) -> Result<(), Error> {
        self.session.apply(|planner, view| planner.remove(view, seq)).await
    }

    /// Removes all messages after `seq`; 0 removes all. The app state stays.
    ///
    /// ```
    /// # use durable_session::{ChatSession, Error};
    /// # async fn example(chat: ChatSession) -> Result<(), Error> {
    /// // Messages 1 to 4 stay.
    /// chat.rewind_to(4).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NoSuchMessage`] if `seq` is greater than the seqs of all messages so far;
    /// [`Error::Contended`], [`Error::Store`].
    pub async fn rewind_to(&self, seq: u64) -> Result<(), Error> {
        self.session.apply(|planner, view| planner.rewind_to(view, seq)).await
    }

    /// Removes all messages before `seq`, for example to keep only recent ones.
    ///
    /// ```
    /// # use durable_session::{ChatSession, Error};
    /// # async fn example(chat: ChatSession) -> Result<(), Error> {
    /// // Keeps the messages with the last 100 seqs.
    /// let next = chat.snapshot().await?.next_seq();
    /// chat.forget_before(next.saturating_sub(100)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NoSuchMessage`] if `seq` is greater than the seq of the next message to be added;
    /// [`Error::Contended`], [`Error::Store`].
    pub async fn forget_before(&self, seq: u64) -> Result<(), Error> {
        self.session.apply(|planner, view| planner.forget_before(view, seq)).await
    }

    /// Restores the initial state: removes all messages, adds the greeting and sets the default app
    /// state. The seqs of removed messages are not used again.
    ///
    /// ```
    /// # use durable_session::{ChatSession, Error};
    /// # async fn example(chat: ChatSession) -> Result<(), Error> {
    /// chat.reset().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Contended`], [`Error::Store`].
    pub async fn reset(&self) -> Result<(), Error> {
        self.session.apply(|planner, view| planner.reset(view)).await
    }

    /// Deletes the session with all its data; returns whether the session existed. The handle stays
    /// valid: the next change begins a new session (clause C8).
    ///
    /// ```
    /// # use durable_session::{ChatSession, Error};
    /// # async fn example(chat: ChatSession) -> Result<(), Error> {
    /// let existed = chat.delete().await?;
    /// # let _ = existed;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn delete(&self) -> Result<bool, Error> {
        Ok(self.session.delete(DeleteIf::Any).await? == DeleteOutcome::Deleted)
    }

    /// Stores the present time as the last use of the session, if it exists. Reads do this by
    /// themselves, at most once per [touch interval](crate::Expiry) (clause C10).
    ///
    /// ```
    /// # use durable_session::{ChatSession, Error};
    /// # async fn example(chat: ChatSession) -> Result<(), Error> {
    /// chat.touch().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn touch(&self) -> Result<(), Error> {
        let now = self.session.registry.clock.now_ms();
        self.session.touch(now).await
    }

    /// Returns the last durable state that this `ChatSessions` has seen, without the messages
    /// before the window. The cost is the same for a session of any length. The call never waits
    /// for a writer, nor for the touch that it may send.
    ///
    /// ```
    /// # use durable_session::{ChatSession, Error};
    /// # async fn example(chat: ChatSession) -> Result<(), Error> {
    /// let snapshot = chat.snapshot().await?;
    /// for (seq, message) in snapshot.tail() {
    ///     println!("{seq}: {} bytes", message.bytes());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Store`] if the session is not in memory and loading it fails. The call never
    /// returns an empty session instead.
    pub async fn snapshot(&self) -> Result<Snapshot<A>, Error> {
        let view = self.session.read_view().await?;
        Ok(Snapshot::new(self.id().clone(), view))
    }

    /// Asks the store for the session, takes in the changes that others made, and returns the
    /// version; `None` if the session does not exist. Watchers are told of the changes.
    ///
    /// On a shared store reads do this by themselves (see [`Reads`](crate::Reads)). On an exclusive
    /// store nobody else writes, except another `ChatSessions` over the same store (clause C2).
    ///
    /// ```
    /// # use durable_session::{ChatSession, Error};
    /// # async fn example(chat: ChatSession) -> Result<(), Error> {
    /// let before = chat.refresh().await?;
    /// // Another process works on the session.
    /// if chat.refresh().await? != before {
    ///     println!("it has changed the session");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn refresh(&self) -> Result<Option<Version>, Error> {
        Ok(self.session.ask_store().await?.version())
    }

    /// Returns the whole state: all messages, the app state and the times, at one version.
    ///
    /// ```
    /// # use durable_session::{ChatSession, Error};
    /// # async fn example(chat: ChatSession) -> Result<(), Error> {
    /// let state = chat.get_state().await?;
    /// println!("{} messages", state.messages.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::AppState`] if the stored app state does not fit `A`; [`Error::Contended`] if
    /// writers rewrote the session during every try to read it; [`Error::Store`].
    pub async fn get_state(&self) -> Result<ChatSessionState<A>, Error> {
        let (view, older) = self.session.read_whole().await?.into_parts();
        let mut messages = Vec::with_capacity(older.len() + view.messages().len());
        for row in older {
            messages.push(machine::message(self.id(), row)?);
        }
        messages.extend(view.messages().map(|(_, message)| message.clone()));
        let app = app::decode(&view.app).map_err(|e| Error::app(self.id(), e))?;
        Ok(ChatSessionState::new(messages, app, view.head.created_at, view.head.last_accessed_at))
    }

    /// Returns the version of the session and the whole state as JSON text. No message is parsed.
    ///
    /// A state from [`get_state`](Self::get_state) serializes to the same text, but without the
    /// fields that `A` does not know.
    ///
    /// ```
    /// # use durable_session::{ChatSession, Error};
    /// # async fn example(chat: ChatSession) -> Result<(), Error> {
    /// let (version, json) = chat.get_state_json().await?;
    /// # let _ = (version, json);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Contended`], [`Error::Store`].
    pub async fn get_state_json(&self) -> Result<(Option<Version>, String), Error> {
        let whole = self.session.read_whole().await?;
        Ok((whole.view.version(), Form::State.whole(&self.session, &whole)?))
    }

    /// Returns the text of [`get_state_json`](Self::get_state_json) in parts, so that a session of
    /// any size takes little memory.
    ///
    /// # Errors
    /// [`Error::Contended`], [`Error::Store`].
    pub async fn state_parts(&self) -> Result<JsonParts, Error> {
        JsonParts::begin(&self.session, Form::State).await
    }

    /// Returns all messages as the text of a JSON array, in parts, so that a session of any size
    /// takes little memory.
    ///
    /// ```
    /// # use durable_session::{ChatSession, Error};
    /// # async fn example(chat: ChatSession) -> Result<(), Error> {
    /// let mut parts = chat.message_parts().await?;
    /// while let Some(part) = parts.next().await? {
    ///     println!("{} bytes", part.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Contended`], [`Error::Store`].
    pub async fn message_parts(&self) -> Result<JsonParts, Error> {
        JsonParts::begin(&self.session, Form::List).await
    }

    /// Returns the messages that `query` selects, at one version of the session.
    ///
    /// ```
    /// use durable_session::MessageQuery;
    /// # use durable_session::{ChatSession, Error};
    /// # async fn example(chat: ChatSession) -> Result<(), Error> {
    /// let page = chat.messages(MessageQuery::last(50)).await?;
    /// if let Some(first) = page.messages.first() {
    ///     let older = chat.messages(MessageQuery::before(first.seq, 50)).await?;
    ///     println!("{} older ones", older.messages.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Contended`] if writers rewrote the session during every try; [`Error::Store`].
    pub async fn messages(&self, query: MessageQuery) -> Result<MessagePage, Error> {
        let view = self.session.read_view().await?;
        self.session.page(view, query).await
    }

    /// Returns a [`Watcher`] of the changes that this `ChatSessions` learns of from now on.
    ///
    /// ```
    /// use durable_session::Watched;
    /// # use durable_session::{ChatSession, Error};
    /// # async fn example(chat: ChatSession) -> Result<(), Error> {
    /// let mut watcher = chat.watch();
    /// if let Watched::Changed(change) = watcher.next().await {
    ///     println!("new messages: {:?}", change.appended);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch(&self) -> Watcher {
        Watcher::new(self.session.clone())
    }

    /// Reads the undamaged part of a session straight from the store and names the damaged rows;
    /// `None` if the session does not exist. [`remove`](Self::remove) takes damaged messages away
    /// without reading them.
    ///
    /// ```
    /// use durable_session::store::ReadQuery;
    /// # use durable_session::{ChatSession, Error};
    /// # async fn example(chat: ChatSession) -> Result<(), Error> {
    /// if let Some(salvaged) = chat.salvage(ReadQuery::forward(1, 100)).await? {
    ///     println!("{} messages, {} damaged", salvaged.rows.len(), salvaged.damage.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Store`] if the store fails beyond damaged rows of this session, such as with I/O.
    pub async fn salvage(&self, query: ReadQuery) -> Result<Option<Salvaged>, Error> {
        Ok(self.session.registry.store.salvage(self.id(), query).await?)
    }
}
