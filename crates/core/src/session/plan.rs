//! What each kind of call would change, decided on a view and changing nothing yet.

use super::config::{Config, OverLimit, over};
use super::view::{Change, IdTag, View};
use crate::error::{Error, LimitKind};
use crate::{Message, SessionId};
use bytestring::ByteString;

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

/// Why a plan cannot be made.
#[derive(Debug)]
pub(crate) enum Halt {
    Refused(Error),
    /// It takes more of the tail to decide than the window holds.
    Deeper,
}

impl From<Error> for Halt {
    fn from(e: Error) -> Self {
        Self::Refused(e)
    }
}

pub(crate) type Planned<T> = Result<(T, Vec<Change>), Halt>;

/// Decides on views of one session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planner<'a> {
    pub(crate) config: &'a Config,
    pub(crate) id: &'a SessionId,
}

impl Planner<'_> {
    /// Adding messages: all or none, and known ones are found again (clause C7).
    pub(crate) fn add(&self, view: &View, messages: &[Message]) -> Planned<Vec<Added>> {
        let mut known = Vec::new();
        let mut changes = Vec::with_capacity(messages.len());
        let mut bytes = 0;
        for (i, message) in messages.iter().enumerate() {
            self.config.check_message(message).map_err(|e| self.too_large(&e))?;
            bytes += message.bytes() as u64;
            // Read once: it means a walk through the JSON.
            let id = message.id();
            let tag = id.as_deref().map_or(IdTag::NONE, IdTag::of_id);
            changes.push(Change::Append { message: message.clone(), id: tag });
            let Some(id) = id else { continue };
            if !view.exact {
                return Err(Halt::Deeper);
            }
            if let Some((seq, stored)) = view.find(&id, self.config.window) {
                if stored != message {
                    return Err(self.id_reused(seq));
                }
                known.push(Added { seq, message: stored.clone(), replayed: true });
            } else if let Some(twin) = messages[..i].iter().position(|m| m.id().as_deref() == Some(&*id)) {
                // Two of one id in one batch cannot both be stored once.
                return Err(self.id_reused(view.head.next_seq + twin as u64));
            }
        }
        if let Some(first) = known.first() {
            if known.len() == messages.len() {
                return Ok((known, Vec::new()));
            }
            return Err(self.id_reused(first.seq));
        }
        let count = messages.len() as u64;
        self.config
            .check_session(view.head.messages + count, view.head.bytes + bytes)
            .map_err(|e| self.too_large(&e))?;
        let added = (view.head.next_seq..)
            .zip(messages)
            .map(|(seq, message)| Added { seq, message: message.clone(), replayed: false })
            .collect();
        Ok((added, changes))
    }

    /// Giving the message at `seq` another content. Its existence is checked here if the window tells, by the store
    /// otherwise.
    pub(crate) fn replace(&self, view: &View, seq: u64, message: &Message) -> Planned<()> {
        self.config.check_message(message).map_err(|e| self.too_large(&e))?;
        if view.surely_absent(seq) {
            return Err(self.no_such(seq).into());
        }
        let old = view.get(seq);
        if old.is_some_and(|old| old.as_json() == message.as_json()) {
            return Ok(((), Vec::new()));
        }
        let old_bytes = old.map_or(0, |old| old.bytes() as u64);
        let bytes = view.head.bytes.saturating_sub(old_bytes) + message.bytes() as u64;
        if old.is_some() {
            self.config.check_session(view.head.messages, bytes).map_err(|e| self.too_large(&e))?;
        }
        Ok(((), vec![Change::Replace { seq, message: message.clone() }]))
    }

    /// Taking the last message away.
    #[allow(clippy::unused_self)] // like its siblings
    pub(crate) fn pop(&self, view: &View) -> Planned<Option<StoredMessage>> {
        match view.last() {
            Some((seq, message)) => {
                let popped = StoredMessage { seq, message: message.clone() };
                Ok((Some(popped), vec![Change::Remove { first: seq, last: view.head.next_seq - 1 }]))
            }
            None if view.is_whole() => Ok((None, Vec::new())),
            None => Err(Halt::Deeper),
        }
    }

    /// Removing the message at `seq`, which may be one that cannot be read.
    pub(crate) fn remove(&self, view: &View, seq: u64) -> Planned<()> {
        if view.surely_absent(seq) {
            return Err(self.no_such(seq).into());
        }
        Ok(((), vec![Change::Remove { first: seq, last: seq }]))
    }

    /// Removing everything after `seq`.
    pub(crate) fn rewind_to(&self, view: &View, seq: u64) -> Planned<()> {
        if seq >= view.head.next_seq {
            return Err(self.no_such(seq).into());
        }
        // Nothing after it: the window's last message is the session's.
        if view.last().map_or(view.is_whole(), |(last, _)| last <= seq) {
            return Ok(((), Vec::new()));
        }
        Ok(((), vec![Change::Remove { first: seq + 1, last: view.head.next_seq - 1 }]))
    }

    /// Removing everything before `seq`.
    pub(crate) fn forget_before(&self, view: &View, seq: u64) -> Planned<()> {
        if seq > view.head.next_seq {
            return Err(self.no_such(seq).into());
        }
        let none_before = view.is_whole() && view.first_seq().is_none_or(|first| first >= seq);
        if seq <= 1 || none_before {
            return Ok(((), Vec::new()));
        }
        Ok(((), vec![Change::Remove { first: 1, last: seq - 1 }]))
    }

    /// Putting another list in the place of all messages.
    pub(crate) fn replace_all(&self, view: &View, messages: &[Message]) -> Planned<()> {
        let mut changes = Vec::with_capacity(messages.len() + 1);
        if view.head.next_seq > 1 {
            changes.push(Change::Remove { first: 1, last: view.head.next_seq - 1 });
        }
        let mut bytes = 0;
        for message in messages {
            self.config.check_message(message).map_err(|e| self.too_large(&e))?;
            bytes += message.bytes() as u64;
            changes.push(Change::append(message.clone()));
        }
        self.config.check_session(messages.len() as u64, bytes).map_err(|e| self.too_large(&e))?;
        Ok(((), changes))
    }

    /// Going back to the initial state: greeting and default app state.
    pub(crate) fn reset(&self, view: &View) -> Planned<()> {
        if !view.exists {
            return Ok(((), Vec::new()));
        }
        let ((), mut changes) = self.replace_all(view, &self.config.greeting)?;
        let ((), app) = self.set_app(view, self.initial_app()?)?;
        changes.extend(app);
        Ok(((), changes))
    }

    /// Setting the app state.
    pub(crate) fn set_app(&self, view: &View, app: ByteString) -> Planned<()> {
        self.config.check_app(&app).map_err(|e| self.too_large(&e))?;
        if app == view.app {
            return Ok(((), Vec::new()));
        }
        Ok(((), vec![Change::SetApp(app)]))
    }

    pub(crate) fn initial_app(&self) -> Result<ByteString, Error> {
        self.config.initial_app.clone().map_err(|source| Error::AppState { session: self.id.clone(), source })
    }

    /// Whether one call's changes fit into one commit.
    pub(crate) fn check_commit(&self, changes: &[Change]) -> Result<(), Error> {
        let (prelude_ops, prelude_bytes) = self.config.prelude();
        let bytes: u64 = changes.iter().map(Change::bytes).sum();
        let max_bytes = self.config.store_limits.max_commit_bytes.saturating_sub(prelude_bytes);
        let max_ops = self.config.store_limits.max_commit_ops.saturating_sub(prelude_ops);
        over(LimitKind::CommitBytes, bytes, max_bytes)
            .and_then(|()| over(LimitKind::CommitOps, changes.len() as u64, max_ops as u64))
            .map_err(|e| self.too_large(&e))
    }

    pub(crate) fn no_such(&self, seq: u64) -> Error {
        Error::NoSuchMessage { session: self.id.clone(), seq }
    }

    fn id_reused(&self, seq: u64) -> Halt {
        Halt::Refused(Error::IdReused { session: self.id.clone(), seq })
    }

    fn too_large(&self, e: &OverLimit) -> Error {
        Error::TooLarge { session: self.id.clone(), limit: e.limit, is: e.is, max: e.max }
    }
}
