//! One chat session.

use super::draft::Draft;
use super::engine::{Engine, Require};
use super::parts::{Form, JsonParts};
use super::plan::{Added, StoredMessage};
use super::read::{MessagePage, MessageQuery};
use super::snapshot::Snapshot;
use super::view::{self, LongView, View};
use super::watch::Watcher;
use crate::app::{self, AppState};
use crate::error::Error;
use crate::state::ChatSessionState;
use crate::store::{DeleteIf, DeleteOutcome, ReadQuery, Salvaged, Version};
use crate::sync::Arc;
use crate::{JsonObject, Message, SessionId};
use std::fmt;
use std::marker::PhantomData;

/// A handle to one chat session. Cheap to clone; all handles to one id share one live instance (clause C2).
///
/// Calls that change something return once the change is durable. Dropping such a call's future is safe: its change is
/// then made whole or not at all, and the next read sees it once the store has made it.
pub struct ChatSession<A = JsonObject> {
    engine: Engine,
    app: PhantomData<fn() -> A>,
}

impl<A> Clone for ChatSession<A> {
    fn clone(&self) -> Self {
        Self { engine: self.engine.clone(), app: PhantomData }
    }
}

impl<A> fmt::Debug for ChatSession<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChatSession({})", self.engine.slot.id.fingerprint())
    }
}

impl<A: AppState> ChatSession<A> {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine, app: PhantomData }
    }

    /// The session's id.
    pub fn id(&self) -> &SessionId {
        &self.engine.slot.id
    }

    /// Adds a message at the end. Once this returns, it is durable.
    ///
    /// A message with an `id` is added once, however often this is called with it, as long as it is
    /// among the last messages (see [`Window`](crate::Window), clause C7). A message larger than
    /// the window's bytes is found only while it is the very last one.
    ///
    /// # Errors
    /// [`Error::IdReused`] if another message has the id, [`Error::TooLarge`], [`Error::Contended`], [`Error::Store`].
    pub async fn add_message(&self, message: Message) -> Result<Added, Error> {
        let messages = [message];
        let added = self.engine.apply(|planner, view| planner.add(view, &messages)).await?;
        added.into_iter().next().ok_or_else(|| Error::rejected("nothing was added"))
    }

    /// Adds several messages, all or none, next to each other. If all of them are known by their
    /// `id`s, the stored ones are returned; if only some are, it is [`Error::PartlyKnown`]. A
    /// message that is given twice with one `id` is stored once and returned twice.
    ///
    /// # Errors
    /// As [`add_message`](Self::add_message); [`Error::PartlyKnown`]; [`Error::IdGivenTwice`] if
    /// two messages of one `id` say different things.
    pub async fn add_messages(&self, messages: Vec<Message>) -> Result<Vec<Added>, Error> {
        self.engine.apply(|planner, view| planner.add(view, &messages)).await
    }

    /// Changes the app state. `change` may run more than once, each time on fresh state (clause C5); only the fields
    /// that it changes are written, others stay as they are stored (clause C6).
    ///
    /// # Errors
    /// [`Error::AppState`] if what is stored, or what `change` leaves, does not fit; [`Error::TooLarge`],
    /// [`Error::Contended`], [`Error::Store`].
    pub async fn update<T>(&self, mut change: impl FnMut(&mut A) -> T) -> Result<T, Error> {
        self.turn(|draft| Ok(change(draft.app_mut()?))).await
    }

    /// Changes messages and app state together, in one commit. `turn` may run more than once, each time on fresh state
    /// (clause C5). If it returns an error or panics, nothing is changed. [`Error::rejected`] carries a reason of your own.
    ///
    /// # Errors
    /// What `turn` returned; [`Error::Contended`], [`Error::Store`] and the others of the calls that it makes.
    pub async fn turn<T>(&self, turn: impl FnMut(&mut Draft<'_, A>) -> Result<T, Error>) -> Result<T, Error> {
        self.run(Require::Nothing, turn).await
    }

    /// Like [`turn`](Self::turn), but only if the session has `version` (`None`: does not exist) when it is committed.
    ///
    /// # Errors
    /// [`Error::VersionChanged`]; otherwise as [`turn`](Self::turn).
    pub async fn turn_if<T>(
        &self,
        version: Option<Version>,
        turn: impl FnMut(&mut Draft<'_, A>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.run(Require::Version(version), turn).await
    }

    async fn run<T>(
        &self,
        require: Require,
        mut turn: impl FnMut(&mut Draft<'_, A>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let planner = self.engine.planner();
        self.engine
            .apply_on_copy(require, |view, whole| {
                let mut draft = Draft::new(planner, view, whole);
                match turn(&mut draft) {
                    Ok(value) => draft.finish().map(|(changes, after)| (value, changes, after)),
                    Err(e) => Err(draft.failed(e)),
                }
            })
            .await
    }

    /// Gives the message at `seq` another content: a streamed reply growing, an edit.
    ///
    /// # Errors
    /// [`Error::NoSuchMessage`], [`Error::TooLarge`], [`Error::Contended`], [`Error::Store`].
    pub async fn replace(&self, seq: u64, message: Message) -> Result<(), Error> {
        self.turn(|draft| draft.replace(seq, &message)).await
    }

    /// Takes the last message away and returns it; `None` if there is none. Its seq is not used again.
    ///
    /// # Errors
    /// [`Error::Contended`], [`Error::Store`].
    pub async fn pop(&self) -> Result<Option<StoredMessage>, Error> {
        self.engine.apply(|planner, view| planner.pop(view)).await
    }

    /// Removes the message at `seq`, also one that cannot be read. Removing an older seq that has no message does
    /// nothing.
    ///
    /// # Errors
    /// [`Error::NoSuchMessage`], [`Error::Contended`], [`Error::Store`].
    pub async fn remove(&self, seq: u64) -> Result<(), Error> {
        self.engine.apply(|planner, view| planner.remove(view, seq)).await
    }

    /// Removes all messages after `seq`; 0 removes all. The app state stays.
    ///
    /// # Errors
    /// [`Error::NoSuchMessage`] if no message ever had that seq; [`Error::Contended`], [`Error::Store`].
    pub async fn rewind_to(&self, seq: u64) -> Result<(), Error> {
        self.engine.apply(|planner, view| planner.rewind_to(view, seq)).await
    }

    /// Removes all messages before `seq` (retention).
    ///
    /// # Errors
    /// [`Error::NoSuchMessage`] if `seq` is beyond the next message's; [`Error::Contended`], [`Error::Store`].
    pub async fn forget_before(&self, seq: u64) -> Result<(), Error> {
        self.engine.apply(|planner, view| planner.forget_before(view, seq)).await
    }

    /// Goes back to the initial state: the greeting and the default app state. Seqs go on.
    ///
    /// # Errors
    /// [`Error::Contended`], [`Error::Store`].
    pub async fn reset(&self) -> Result<(), Error> {
        self.engine.apply(|planner, view| planner.reset(view)).await
    }

    /// Deletes the session and everything of it; returns whether there was anything. The handle stays valid: the next
    /// change begins a new session (clause C8).
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn delete(&self) -> Result<bool, Error> {
        Ok(self.engine.delete(DeleteIf::Any).await? == DeleteOutcome::Deleted)
    }

    /// Writes down now that the session is in use. Reading does so by itself, at most once per touch interval (clause
    /// C10). Does nothing for a session that does not exist.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn touch(&self) -> Result<(), Error> {
        let now = self.engine.hub.clock.now_ms();
        self.engine.touch(now).await
    }

    /// The last durable state seen: everything but the messages before the window. O(1), and never waits for a writer.
    ///
    /// # Errors
    /// [`Error::Store`] if it has to be loaded and cannot be: never an empty session instead.
    pub async fn snapshot(&self) -> Result<Snapshot<A>, Error> {
        let view = self.read().await?;
        Ok(Snapshot::new(self.id().clone(), view))
    }

    /// The whole state: all messages, all of one version.
    ///
    /// # Errors
    /// [`Error::AppState`] if the stored app state does not fit `A`; [`Error::Contended`] if others kept rewriting the
    /// session meanwhile; [`Error::Store`].
    pub async fn get_state(&self) -> Result<ChatSessionState<A>, Error> {
        let (view, older) = self.read_whole().await?.into_parts();
        let mut messages = Vec::with_capacity(older.len() + view.messages().len());
        for row in older {
            messages.push(view::message(self.id(), row)?);
        }
        messages.extend(view.messages().map(|(_, message)| message.clone()));
        let app = app::decode(&view.app).map_err(|e| Error::app(self.id(), e))?;
        Ok(ChatSessionState::new(messages, app, view.head.created_at, view.head.last_accessed_at))
    }

    /// The whole state as JSON text, with the version it has, made without parsing a message.
    ///
    /// The text is what [`get_state`](Self::get_state) would serialize to, except that fields which `A` does not know
    /// are there, too.
    ///
    /// # Errors
    /// [`Error::Contended`], [`Error::Store`].
    pub async fn get_state_json(&self) -> Result<(Option<Version>, String), Error> {
        let whole = self.read_whole().await?;
        Ok((whole.view.version(), Form::State.whole(&self.engine, &whole)?))
    }

    /// The text of [`get_state_json`](Self::get_state_json) in parts: for a session of any size in little memory.
    ///
    /// # Errors
    /// [`Error::Contended`], [`Error::Store`].
    pub async fn state_parts(&self) -> Result<JsonParts, Error> {
        JsonParts::begin(&self.engine, Form::State).await
    }

    /// All messages as the text of a JSON array, in parts: for a session of any size in little memory.
    ///
    /// # Errors
    /// [`Error::Contended`], [`Error::Store`].
    pub async fn message_parts(&self) -> Result<JsonParts, Error> {
        JsonParts::begin(&self.engine, Form::List).await
    }

    /// Some of the messages, all of one version.
    ///
    /// # Errors
    /// [`Error::Contended`] if others kept rewriting the session meanwhile; [`Error::Store`].
    pub async fn messages(&self, query: MessageQuery) -> Result<MessagePage, Error> {
        let view = self.read().await?;
        self.engine.page(view, query).await
    }

    /// Follows the changes published from now on.
    pub fn watch(&self) -> Watcher {
        Watcher::new(&self.engine.hub, &self.engine.slot)
    }

    /// Reads what can be read of a session with damaged rows, straight from the store; `None` if it does not exist.
    /// What cannot be read is named. [`remove`](Self::remove) takes damaged messages away without reading them.
    ///
    /// # Errors
    /// [`Error::Store`], if it is not only this session's rows.
    pub async fn salvage(&self, query: ReadQuery) -> Result<Option<Salvaged>, Error> {
        Ok(self.engine.hub.store.salvage(self.id(), query).await?)
    }

    /// The published state; reading it is using the session.
    async fn read(&self) -> Result<Arc<View>, Error> {
        let view = self.engine.view().await?;
        self.engine.accessed(&view).await;
        Ok(view)
    }

    /// The same for who wants all messages, with those that come before what it has.
    async fn read_whole(&self) -> Result<LongView, Error> {
        let seen = self.engine.long_view().await?;
        self.engine.accessed(&seen.view).await;
        self.engine.whole(seen).await
    }
}
