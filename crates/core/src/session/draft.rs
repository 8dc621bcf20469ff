//! A draft: the copy of the session that a turn works on. It reads its own writes.

use super::machine::{Added, Change, Halt, Planned, Planner, StoredMessage, View};
use super::whole::Whole;
use crate::Message;
use crate::app::{self, AppState};
use crate::error::Error;
use crate::json::JsonObject;
use crate::store::{Labels, Version};
use crate::sync::Arc;
use bytestring::ByteString;
use std::fmt;

/// The session as one `turn` changes it: messages and app state together, made in one commit or not
/// at all.
///
/// It works on a copy. Dropping it, an error or a panic changes nothing (clause C5). It reads its
/// own writes.
pub struct Draft<'a, A> {
    planner: Planner<'a>,
    /// Copied when it is changed first.
    view: Arc<View>,
    changes: Vec<Change>,
    /// The app state as it was decoded, and as the closure has it now.
    app: Option<(JsonObject, A)>,
    /// The message that this draft added or found last.
    added: Option<Message>,
    /// All messages below this draft, if they had to be read.
    whole: Option<&'a Whole>,
    /// Why it has to be run again on more of the session.
    halted: Option<Halt>,
}

impl<'a, A: AppState> Draft<'a, A> {
    pub(crate) fn new(planner: Planner<'a>, view: Arc<View>, whole: Option<&'a Whole>) -> Self {
        Self { planner, view, changes: Vec::new(), app: None, added: None, whole, halted: None }
    }

    /// Makes a change that the closure does not make.
    pub(crate) fn begin_with(&mut self, change: Change) {
        Arc::make_mut(&mut self.view).apply(&change);
        self.changes.push(change);
    }

    /// The message that this draft added or found last.
    pub(crate) fn last_added(&self) -> Option<&Message> {
        self.added.as_ref()
    }

    /// The changes made, and the state they lead to.
    pub(crate) fn finish(mut self) -> Result<(Vec<Change>, Arc<View>), Halt> {
        if let Some(halt) = self.halted {
            return Err(halt);
        }
        self.write_back()?;
        Ok((self.changes, self.view))
    }

    /// Why it ended with `error`; a turn that has to be run again has another reason.
    pub(crate) fn failed(self, error: Error) -> Halt {
        self.halted.unwrap_or(Halt::Refused(error))
    }

    /// Adds a message at the end, or finds it if its `id` is known (clause C7).
    ///
    /// ```
    /// use durable_session::Message;
    /// # use durable_session::{Draft, Error, JsonObject};
    /// # fn example(draft: &mut Draft<'_, JsonObject>) -> Result<(), Error> {
    /// let added = draft.add_message(Message::assistant("Four."))?;
    /// # let _ = added;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::IdReused`], [`Error::TooLarge`].
    pub fn add_message(&mut self, message: Message) -> Result<Added, Error> {
        let added = self.add_messages(&[message])?;
        added.into_iter().next().ok_or_else(|| Error::rejected("nothing was added"))
    }

    /// Adds several messages, all or none, as
    /// [`ChatSession::add_messages`](crate::ChatSession::add_messages) does.
    ///
    /// # Errors
    /// As [`add_message`](Self::add_message).
    pub fn add_messages(&mut self, messages: &[Message]) -> Result<Vec<Added>, Error> {
        let planned = self.planner.add(&self.view, messages);
        let added = self.make(planned)?;
        if let Some(last) = messages.last() {
            self.added = Some(last.clone());
        }
        Ok(added)
    }

    /// The app state, decoded on first use.
    ///
    /// ```
    /// # use durable_session::{Draft, Error, JsonObject};
    /// # fn example(draft: &mut Draft<'_, JsonObject>) -> Result<(), Error> {
    /// let step = draft.app()?.get::<String>("step");
    /// # let _ = step;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::AppState`] if the stored app state does not fit `A`.
    pub fn app(&mut self) -> Result<&A, Error> {
        self.app_mut().map(|app| &*app)
    }

    /// The app state, to change. Only changed fields are written back; fields that `A` does not
    /// know stay (clause C6).
    ///
    /// ```
    /// # use durable_session::{Draft, Error, JsonObject};
    /// # fn example(draft: &mut Draft<'_, JsonObject>) -> Result<(), Error> {
    /// draft.app_mut()?.remove("step");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::AppState`] if the stored app state does not fit `A`.
    pub fn app_mut(&mut self) -> Result<&mut A, Error> {
        let decoded = if let Some(decoded) = self.app.take() {
            decoded
        } else {
            let error = |e| Error::app(self.planner.id, e);
            let app: A = app::decode(&self.view.app).map_err(error)?;
            (app::encode(&app).map_err(error)?, app)
        };
        Ok(&mut self.app.insert(decoded).1)
    }

    /// The app state as the JSON object that is stored, with this draft's changes.
    ///
    /// # Errors
    /// [`Error::AppState`] if the typed app state cannot be written as one.
    pub fn app_json(&mut self) -> Result<JsonObject, Error> {
        self.write_back()?;
        self.stored_app()
    }

    /// Sets the app state as a JSON object, kept as it is. It must fit `A`.
    ///
    /// # Errors
    /// [`Error::AppState`] if it does not fit `A` or uses a reserved name; [`Error::TooLarge`].
    pub fn set_app_json(&mut self, object: &JsonObject) -> Result<(), Error> {
        let error = |e| Error::app(self.planner.id, e);
        app::check(object).map_err(error)?;
        let text = ByteString::from(object.to_string());
        app::decode::<A>(&text).map_err(error)?;
        self.app = None;
        let planned = self.planner.set_app(&self.view, text);
        self.make(planned)
    }

    /// The owner and the title of the session, with this draft's changes (S11).
    pub fn labels(&self) -> &Labels {
        &self.view.labels
    }

    /// Sets the owner and the title of the session (S11). It changes neither messages nor app
    /// state, so the time of the last change stays.
    ///
    /// ```
    /// # use durable_session::{Draft, Error, JsonObject};
    /// # fn example(draft: &mut Draft<'_, JsonObject>) -> Result<(), Error> {
    /// let renamed = draft.labels().clone().title("Lifetimes");
    /// draft.set_labels(&renamed)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::TooLarge`] if the owner or the title is too long.
    pub fn set_labels(&mut self, labels: &Labels) -> Result<(), Error> {
        let planned = self.planner.set_labels(&self.view, labels);
        self.make(planned)
    }

    /// Gives the message at `seq` another content.
    ///
    /// ```
    /// use durable_session::Message;
    /// # use durable_session::{Draft, Error, JsonObject};
    /// # fn example(draft: &mut Draft<'_, JsonObject>) -> Result<(), Error> {
    /// draft.replace(3, &Message::user("I meant Tuesday"))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NoSuchMessage`] (for a message before the window only once the turn is committed),
    /// [`Error::ReplyOpen`], [`Error::TooLarge`].
    pub fn replace(&mut self, seq: u64, message: &Message) -> Result<(), Error> {
        let stored = self.whole.and_then(|_| self.messages());
        let old = match &stored {
            Some(stored) => {
                let at = stored.binary_search_by_key(&seq, |stored| stored.seq);
                Some(&stored[at.map_err(|_| self.planner.no_such(seq))?].message)
            }
            None => None,
        };
        let planned = self.planner.replace(&self.view, seq, message, old);
        self.make(planned)
    }

    /// Takes the last message away and returns it; `None` if there is none.
    ///
    /// # Errors
    /// None of its own: the turn goes on as long as it passes errors up.
    pub fn pop(&mut self) -> Result<Option<StoredMessage>, Error> {
        let planned = self.planner.pop(&self.view);
        self.make(planned)
    }

    /// Removes the message at `seq`.
    ///
    /// # Errors
    /// [`Error::NoSuchMessage`], if that is known in memory; removing an older seq without a
    /// message does nothing.
    pub fn remove(&mut self, seq: u64) -> Result<(), Error> {
        let planned = self.planner.remove(&self.view, seq);
        self.make(planned)
    }

    /// Removes all messages after `seq`; 0 removes all.
    ///
    /// # Errors
    /// [`Error::NoSuchMessage`] if no message ever had that seq.
    pub fn rewind_to(&mut self, seq: u64) -> Result<(), Error> {
        let planned = self.planner.rewind_to(&self.view, seq);
        self.make(planned)
    }

    /// Removes all messages before `seq`.
    ///
    /// # Errors
    /// [`Error::NoSuchMessage`] if `seq` is beyond the next message's.
    pub fn forget_before(&mut self, seq: u64) -> Result<(), Error> {
        let planned = self.planner.forget_before(&self.view, seq);
        self.make(planned)
    }

    /// Makes `messages` the list of all messages, storing only the difference to what is there; if
    /// there is none, nothing is written.
    ///
    /// The given messages are matched to the stored ones by `id`, those without one by
    /// JSON-equality: first from the beginning, then from the end, the rest in order. A matched
    /// message keeps its seq, and is replaced if it says something else. Given messages between two
    /// matched neighbours take the places of the stored ones there if they are not more; after the
    /// last match, if they are exactly as many. Other stored messages are removed. From the first
    /// given message without a place on, all are appended anew.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if a message, the session, or the difference (in bytes or operations of
    /// one commit) is too large; [`Error::ReplyOpen`] if the difference changes or removes a
    /// message that is being written by a reply.
    pub fn set_messages(&mut self, messages: &[Message]) -> Result<(), Error> {
        let planned = match self.messages() {
            Some(stored) => self.planner.set_messages(&self.view, &stored, messages),
            None => Err(Halt::Whole),
        };
        self.make(planned)
    }

    /// Goes back to the initial state: the greeting and the default app state.
    ///
    /// # Errors
    /// [`Error::AppState`] if the default app state is not an object.
    pub fn reset(&mut self) -> Result<(), Error> {
        self.app = None;
        let planned = self.planner.reset(&self.view);
        self.make(planned)
    }

    /// The last messages, oldest first: those in the window, with this draft's changes.
    ///
    /// ```
    /// # use durable_session::{Draft, Error, JsonObject};
    /// # fn example(draft: &mut Draft<'_, JsonObject>) -> Result<(), Error> {
    /// let last = draft.tail().next_back();
    /// # let _ = last;
    /// # Ok(())
    /// # }
    /// ```
    pub fn tail(&self) -> impl DoubleEndedIterator<Item = (u64, &Message)> + ExactSizeIterator {
        self.view.messages()
    }

    /// The seqs of the messages that are being written by a reply, with this draft's changes.
    pub fn open_replies(&self) -> impl Iterator<Item = u64> {
        self.view.replies().iter().map(|reply| reply.seq)
    }

    /// How many messages the session has, with this draft's changes. After a removal of messages
    /// older than the window it is an upper bound.
    pub fn message_count(&self) -> u64 {
        self.view.head.messages
    }

    /// The seq that the next added message gets.
    pub fn next_seq(&self) -> u64 {
        self.view.head.next_seq
    }

    /// Whether the session is stored already.
    pub fn exists(&self) -> bool {
        self.view.exists
    }

    /// The last durable version below this draft; `None` if the session does not exist yet. Others'
    /// changes may be on their way on top of it; to act on one version only, use `turn_if`.
    pub fn version(&self) -> Option<Version> {
        self.view.version()
    }

    /// Makes the planned changes.
    fn make<T>(&mut self, planned: Planned<T>) -> Result<T, Error> {
        match planned {
            Ok((value, changes)) => {
                if !changes.is_empty() {
                    Arc::make_mut(&mut self.view).apply_all(&changes);
                }
                self.changes.extend(changes);
                Ok(value)
            }
            Err(Halt::Refused(e)) => Err(e),
            Err(halt) => {
                // The turn is run again on more of the session, also if it hides this error.
                self.halted = Some(halt);
                Err(Error::rejected("this turn needs more of the session and is run again"))
            }
        }
    }

    /// All messages with this draft's changes, if they are known.
    fn messages(&self) -> Option<Vec<StoredMessage>> {
        if self.view.is_whole() {
            let stored =
                |(seq, message): (u64, &Message)| StoredMessage { seq, message: message.clone() };
            return Some(self.view.messages().map(stored).collect());
        }
        self.whole.map(|whole| whole.with(&self.changes))
    }

    fn stored_app(&self) -> Result<JsonObject, Error> {
        JsonObject::parse_stored(&self.view.app).map_err(|e| Error::app(self.planner.id, e.into()))
    }

    /// Writes the changed fields of the typed app state into the stored one.
    fn write_back(&mut self) -> Result<(), Error> {
        let Some((before, app)) = &mut self.app else { return Ok(()) };
        let after = app::encode(app).map_err(|e| Error::app(self.planner.id, e))?;
        let before = std::mem::replace(before, after.clone());
        if let Some(merged) = app::merge(&self.stored_app()?, &before, &after) {
            let planned = self.planner.set_app(&self.view, merged.to_string().into());
            self.make(planned)?;
        }
        Ok(())
    }
}

impl<A> fmt::Debug for Draft<'_, A> {
    /// No contents: they are the users' own words and stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft")
            .field("session", self.planner.id)
            .field("head", &self.view.head)
            .field("changes", &self.changes.len())
            .finish_non_exhaustive()
    }
}
