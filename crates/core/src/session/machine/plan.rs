//! Plans: the changes that each kind of call makes, decided on a view.

use super::change::{Change, Open};
use super::difference;
use super::fetched::Fetched;
use super::stored::{Added, StoredMessage};
use super::view::{Found, View};
use crate::error::{Error, LimitKind};
use crate::session::config::{Config, OverLimit, over};
use crate::store::{IdTag, Labels, ReplyOpening, StoreLimits};
use crate::{Message, SessionId};
use bytestring::ByteString;
use std::collections::HashMap;

/// Why a plan cannot be made.
#[derive(Debug)]
pub(crate) enum Halt {
    Refused(Error),
    /// It takes more of the tail to decide than the window holds.
    Deeper,
    /// It takes these messages, which are not in memory.
    Fetch(Vec<u64>),
    /// It takes all messages to decide.
    Whole,
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
    /// Messages from before the window that were read for the call.
    pub(crate) fetched: &'a Fetched,
}

impl Planner<'_> {
    /// Adding messages: all or none, and known ones are found again (clause C7).
    pub(crate) fn add(&self, view: &View, messages: &[Message]) -> Planned<Vec<Added>> {
        let mut added: Vec<Added> = Vec::with_capacity(messages.len());
        let mut changes = Vec::with_capacity(messages.len());
        let mut bytes = 0;
        let mut ids = HashMap::new();
        let mut wanted = Vec::new();
        for (i, message) in messages.iter().enumerate() {
            self.config.check_message(message).map_err(|e| self.too_large(&e))?;
            // Read once: it means a walk through the JSON.
            let id = message.id();
            let tag = id.as_deref().map_or(IdTag::NONE, IdTag::of);
            if let Some(id) = id {
                if !view.exact {
                    return Err(Halt::Deeper);
                }
                match view.find(&id, self.fetched) {
                    Found::Message(seq, stored) if stored == message => {
                        added.push(Added { seq, message: stored.clone(), replayed: true });
                        continue;
                    }
                    Found::Message(seq, _) => return Err(self.id_reused(seq)),
                    Found::Perhaps(seq) => {
                        wanted.push(seq);
                        added.push(Added { seq, message: message.clone(), replayed: true });
                        continue;
                    }
                    Found::Not => {}
                }
                if messages.len() > 1
                    && let Some(first) = ids.insert(id, i)
                {
                    if messages[first] != *message {
                        return Err(self.id_given_twice(first, i));
                    }
                    let twin = Added { replayed: true, ..added[first].clone() };
                    added.push(twin);
                    continue;
                }
            }
            bytes += message.bytes() as u64;
            let seq = view.head.next_seq + changes.len() as u64;
            changes.push(Change::Append { message: message.clone(), id: tag });
            added.push(Added { seq, message: message.clone(), replayed: false });
        }
        if !wanted.is_empty() {
            return Err(Halt::Fetch(wanted));
        }
        if changes.is_empty() {
            return Ok((added, changes));
        }
        let mut known = added.iter().filter(|added| added.seq < view.head.next_seq);
        if let Some(first) = known.next() {
            return Err(self.partly_known(first.seq, 1 + known.count(), messages.len()));
        }
        self.config
            .check_session(view.head.messages + changes.len() as u64, view.head.bytes + bytes)
            .map_err(|e| self.too_large(&e))?;
        Ok((added, changes))
    }

    /// Opening a reply on a new message or, if `seq` is given, on a message that is there. Room for
    /// the marks of its end is reserved.
    pub(crate) fn open(
        &self,
        view: &View,
        seq: Option<u64>,
        message: &Message,
        opening: ReplyOpening,
    ) -> Planned<u64> {
        let reserved = message.bytes() as u64 + StoreLimits::REPLY_RESERVE;
        let max = self.config.limits.message_bytes.min(self.config.store_limits.max_commit_bytes);
        over(LimitKind::MessageBytes, reserved, max).map_err(|e| self.too_large(&e))?;
        let more = u64::from(seq.is_none());
        self.config
            .check_session(view.head.messages + more, view.head.bytes + reserved)
            .map_err(|e| self.too_large(&e))?;
        if let Some(seq) = seq {
            if view.surely_absent(seq) {
                return Err(self.no_such(seq).into());
            }
            if view.reply(seq).is_some() {
                return Err(self.reply_open(seq).into());
            }
        }
        let open = Open { seq, message: message.clone(), id: IdTag::of_message(message), opening };
        Ok((seq.unwrap_or(view.head.next_seq), vec![Change::Open(Box::new(open))]))
    }

    /// Giving the message at `seq` another content; `old` is the message there if the window does
    /// not have it but it is known. Its existence is checked here if the window tells, by the store
    /// otherwise.
    pub(crate) fn replace(
        &self,
        view: &View,
        seq: u64,
        message: &Message,
        old: Option<&Message>,
    ) -> Planned<()> {
        self.config.check_message(message).map_err(|e| self.too_large(&e))?;
        if view.surely_absent(seq) {
            return Err(self.no_such(seq).into());
        }
        let old = view.get(seq).or(old);
        if old.is_some_and(|old| old.as_json() == message.as_json()) {
            return Ok(((), Vec::new()));
        }
        if view.reply(seq).is_some() {
            return Err(self.reply_open(seq).into());
        }
        let (before, new) = (old.map_or(0, Message::bytes) as u64, message.bytes() as u64);
        let bytes = view.head.bytes.saturating_sub(before) + new;
        match self.config.check_session(view.head.messages, bytes) {
            // Not too large with any message there now, or it gets smaller.
            Ok(()) => {}
            Err(_) if old.is_some() && new <= before => {}
            Err(e) if old.is_some() => return Err(self.too_large(&e).into()),
            Err(_) => return Err(Halt::Whole),
        }
        Ok(((), vec![Change::replace(seq, message.clone())]))
    }

    /// Taking the last message away.
    #[allow(clippy::unused_self)] // like its siblings
    pub(crate) fn pop(&self, view: &View) -> Planned<Option<StoredMessage>> {
        match view.last() {
            Some((seq, message)) => {
                let popped = StoredMessage { seq, message: message.clone() };
                Ok((
                    Some(popped),
                    vec![Change::Remove { first: seq, last: view.head.next_seq - 1 }],
                ))
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

    /// Making `given` the messages of a session that has `stored`: only the difference is written.
    pub(crate) fn set_messages(
        &self,
        view: &View,
        stored: &[StoredMessage],
        given: &[Message],
    ) -> Planned<()> {
        let changes = difference::between(stored, given);
        for reply in view.replies() {
            if changes.iter().any(|change| change.ends_reply(reply.seq)) {
                return Err(self.reply_open(reply.seq).into());
            }
        }
        for change in &changes {
            if let Change::Append { message, .. } | Change::Replace { message, .. } = change {
                self.config.check_message(message).map_err(|e| self.too_large(&e))?;
            }
        }
        // A session beyond limits that were lowered since may stay as it is, or shrink.
        let bytes = |bytes: usize, message: &Message| bytes + message.bytes();
        let before = stored.iter().map(|stored| &stored.message).fold(0, bytes);
        let after = given.iter().fold(0, bytes);
        if given.len() > stored.len() || after > before {
            self.config
                .check_session(given.len() as u64, after as u64)
                .map_err(|e| self.too_large(&e))?;
        }
        Ok(((), changes))
    }

    /// Putting another list in the place of all messages.
    fn replace_all(&self, view: &View, messages: &[Message]) -> Planned<()> {
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
        let ((), app) = self.set_app(view, self.initial_app()?.clone())?;
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

    /// Setting the labels. A session that does not exist is created, also without labels.
    pub(crate) fn set_labels(&self, view: &View, labels: &Labels) -> Planned<()> {
        self.check_labels(labels)?;
        if view.exists && *labels == view.labels {
            return Ok(((), Vec::new()));
        }
        Ok(((), vec![Change::SetLabels(labels.clone())]))
    }

    pub(crate) fn check_labels(&self, labels: &Labels) -> Result<(), Error> {
        let (owner, title) = (labels.get_owner(), labels.get_title());
        let bytes = |text: Option<&str>| text.map_or(0, str::len) as u64;
        over(LimitKind::OwnerBytes, bytes(owner), Labels::MAX_OWNER_BYTES as u64)
            .and_then(|()| {
                over(LimitKind::TitleBytes, bytes(title), Labels::MAX_TITLE_BYTES as u64)
            })
            .map_err(|e| self.too_large(&e))
    }

    pub(crate) fn initial_app(&self) -> Result<&ByteString, Error> {
        let app = self.config.initial_app.as_ref();
        app.map_err(|source| Error::AppState { session: self.id.clone(), source: source.clone() })
    }

    /// Whether one call's changes fit into one commit. The first commit of a session writes its
    /// initial state with them.
    pub(crate) fn check_commit(&self, changes: &[Change], exists: bool) -> Result<(), Error> {
        let begins = matches!(changes.first(), Some(Change::Begin(_)));
        let (prelude_ops, prelude_bytes) =
            if exists || begins { (0, 0) } else { self.config.prelude() };
        let bytes: u64 = changes.iter().map(Change::bytes).sum();
        let ops = changes.len() - usize::from(begins);
        let max_bytes = self.config.store_limits.max_commit_bytes.saturating_sub(prelude_bytes);
        let max_ops = self.config.store_limits.max_commit_ops.saturating_sub(prelude_ops);
        over(LimitKind::CommitBytes, bytes, max_bytes)
            .and_then(|()| over(LimitKind::CommitOps, ops as u64, max_ops as u64))
            .map_err(|e| self.too_large(&e))
    }

    pub(crate) fn no_such(&self, seq: u64) -> Error {
        Error::NoSuchMessage { session: self.id.clone(), seq }
    }

    pub(crate) fn reply_open(&self, seq: u64) -> Error {
        Error::ReplyOpen { session: self.id.clone(), seq }
    }

    pub(crate) fn id_reused(&self, seq: u64) -> Halt {
        Halt::Refused(Error::IdReused { session: self.id.clone(), seq })
    }

    fn id_given_twice(&self, first: usize, second: usize) -> Halt {
        Halt::Refused(Error::IdGivenTwice { session: self.id.clone(), first, second })
    }

    fn partly_known(&self, seq: u64, known: usize, given: usize) -> Halt {
        Halt::Refused(Error::PartlyKnown { session: self.id.clone(), seq, known, given })
    }

    pub(crate) fn too_large(&self, e: &OverLimit) -> Error {
        Error::TooLarge { session: self.id.clone(), limit: e.limit, is: e.is, max: e.max }
    }
}
