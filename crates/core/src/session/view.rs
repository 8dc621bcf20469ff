//! What is known of a session at one moment: head, app state and a tail window of messages.

use super::config::Config;
use crate::store::{Head, Incarnation, Loaded, Op, Row, StoreError, StoreErrorKind, TailBounds, Version};
use crate::sync::Arc;
use crate::{Message, SessionId};
use bytestring::ByteString;
use std::collections::VecDeque;

/// One change to a session, as the engine stages it; becomes an [`Op`] of the store.
#[derive(Clone)]
pub(crate) enum Change {
    Append { message: Message, id: IdTag },
    Replace { seq: u64, message: Message },
    Remove { first: u64, last: u64 },
    SetApp(ByteString),
}

impl Change {
    /// Appends a message whose id nobody has read yet.
    pub(crate) fn append(message: Message) -> Self {
        Self::Append { id: IdTag::of(&message), message }
    }

    pub(crate) fn op(&self) -> Op {
        match self {
            Self::Append { message, .. } => Op::Append(message.body()),
            Self::Replace { seq, message } => Op::Replace { seq: *seq, body: message.body() },
            Self::Remove { first, last } => Op::Remove { first: *first, last: *last },
            Self::SetApp(app) => Op::SetApp(app.as_bytes().clone()),
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Append { message, .. } | Self::Replace { message, .. } => message.bytes() as u64,
            Self::Remove { .. } => 0,
            Self::SetApp(app) => app.len() as u64,
        }
    }

    /// Whether the window after it can always be told from the window before it.
    pub(crate) fn only_grows(&self) -> bool {
        matches!(self, Self::Append { .. } | Self::SetApp(_))
    }
}

/// Which `id` a windowed message has, without reading its JSON each time.
/// A hash of the id, or what cannot be one. A plain number, since there is one for every message in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdTag(u64);

impl IdTag {
    const UNREAD: Self = Self(0);
    pub(crate) const NONE: Self = Self(1);

    fn of(message: &Message) -> Self {
        message.id().map_or(Self::NONE, |id| Self::of_id(&id))
    }

    pub(crate) fn of_id(id: &str) -> Self {
        Self(xxhash_rust::xxh3::xxh3_64(id.as_bytes()).max(2))
    }
}

#[derive(Debug, Clone)]
struct Entry {
    seq: u64,
    id: IdTag,
    message: Message,
}

/// A session at one moment.
#[derive(Clone)]
pub(crate) struct View {
    /// Of an absent session: what it would be, with a version that no store gives.
    pub(crate) head: Head,
    pub(crate) exists: bool,
    pub(crate) app: ByteString,
    window: VecDeque<Entry>,
    window_bytes: u64,
    /// How much is kept: at least the idempotence window, more after a deeper load.
    keep: TailBounds,
    /// Whether `window` is known to hold the whole idempotence window.
    pub(crate) exact: bool,
    /// Whether the head's counts are known; a change to messages outside the window makes them unknown until the store
    /// has told them.
    pub(crate) counted: bool,
}

/// A session at one moment, with messages from before the window that are not kept in memory.
#[derive(Clone)]
pub(crate) struct LongView {
    pub(crate) view: Arc<View>,
    older: Option<Arc<Vec<Row>>>,
}

impl LongView {
    /// With messages up to the window, oldest first, as they are stored.
    pub(crate) fn new(view: Arc<View>, older: Vec<Row>) -> Self {
        // Without any, nothing is allocated: most reads find what they want in memory.
        Self { view, older: (!older.is_empty()).then(|| Arc::new(older)) }
    }

    pub(crate) fn older(&self) -> &[Row] {
        self.older.as_deref().map_or(&[], Vec::as_slice)
    }

    pub(crate) fn into_parts(self) -> (Arc<View>, Vec<Row>) {
        (self.view, self.older.map(Arc::unwrap_or_clone).unwrap_or_default())
    }

    /// Whether these are all messages of the session.
    pub(crate) fn is_whole(&self) -> bool {
        let View { head, window, counted, .. } = &*self.view;
        *counted && (self.older().len() + window.len()) as u64 == head.messages
    }
}

impl View {
    /// A session that does not exist: its initial state (clause C8).
    pub(crate) fn absent(config: &Config, app: ByteString, keep: TailBounds, now: u64) -> Self {
        let nothing = Version::new(Incarnation::from_bytes([0; 16]), 0);
        let mut view = Self {
            head: Head::new(nothing, now),
            exists: false,
            app,
            window: VecDeque::new(),
            window_bytes: 0,
            keep,
            exact: true,
            counted: true,
        };
        for message in &config.greeting {
            view.append(message.clone(), IdTag::of(message));
        }
        view
    }

    /// A session as the store has it, and the messages that were loaded but are not kept in memory.
    pub(crate) fn loaded(
        id: &SessionId,
        mut loaded: Loaded,
        keep: TailBounds,
    ) -> Result<(Self, Vec<Row>), StoreError> {
        let corrupt = |what| StoreError::new(StoreErrorKind::Corrupt, what).in_session(id);
        let app = if loaded.app.is_empty() {
            ByteString::from_static("{}")
        } else {
            ByteString::try_from(loaded.app).map_err(|_| corrupt("the app state is not UTF-8"))?
        };
        let rows = &mut loaded.tail;
        let (mut from, mut window_bytes) = (0, rows.iter().map(|row| row.body.len() as u64).sum());
        while !fits(rows.len() - from, window_bytes, keep) {
            window_bytes -= rows[from].body.len() as u64;
            from += 1;
        }
        let mut window = VecDeque::with_capacity(rows.len() - from);
        for row in rows.drain(from..) {
            window.push_back(Entry { seq: row.seq, id: IdTag::UNREAD, message: message(id, row)? });
        }
        let head = loaded.head;
        let view = Self { head, exists: true, app, window, window_bytes, keep, exact: true, counted: true };
        Ok((view, loaded.tail))
    }

    /// The version, if the session exists.
    pub(crate) fn version(&self) -> Option<Version> {
        self.exists.then_some(self.head.version)
    }

    /// The windowed messages, oldest first.
    pub(crate) fn messages(&self) -> impl DoubleEndedIterator<Item = (u64, &Message)> + ExactSizeIterator {
        self.window.iter().map(|e| (e.seq, &e.message))
    }

    /// The last message, if it is in the window.
    pub(crate) fn last(&self) -> Option<(u64, &Message)> {
        self.window.back().map(|e| (e.seq, &e.message))
    }

    pub(crate) fn get(&self, seq: u64) -> Option<&Message> {
        self.index(seq).map(|i| &self.window[i].message)
    }

    /// Whether a message at `seq` is certainly not there: seqs inside the window's span are all known.
    pub(crate) fn surely_absent(&self, seq: u64) -> bool {
        if seq == 0 || seq >= self.head.next_seq {
            return true;
        }
        let inside = self.is_whole() || self.window.front().is_some_and(|e| seq >= e.seq);
        inside && self.index(seq).is_none()
    }

    /// Whether the window holds all messages of the session.
    pub(crate) fn is_whole(&self) -> bool {
        self.counted && self.window.len() as u64 == self.head.messages
    }

    /// The seq of the oldest message in the window.
    pub(crate) fn first_seq(&self) -> Option<u64> {
        self.window.front().map(|e| e.seq)
    }

    /// What it holds in memory, about.
    pub(crate) fn weight(&self) -> u64 {
        self.window_bytes + self.app.len() as u64 + self.window.len() as u64 * 96 + 512
    }

    /// Whether the windowed messages' ids have been read.
    pub(crate) fn is_tagged(&self) -> bool {
        // Messages are appended with their ids read, so the oldest one tells.
        self.window.front().is_none_or(|e| e.id != IdTag::UNREAD)
    }

    /// Reads the windowed messages' ids, so that `find` is cheap.
    pub(crate) fn tag(&mut self) {
        for entry in &mut self.window {
            if entry.id == IdTag::UNREAD {
                entry.id = IdTag::of(&entry.message);
            }
        }
    }

    /// The message with this `id` within the idempotence window `bounds` (clause C7).
    pub(crate) fn find(&self, id: &str, bounds: TailBounds) -> Option<(u64, &Message)> {
        let wanted = IdTag::of_id(id);
        let (mut messages, mut bytes) = (0, 0);
        for entry in self.window.iter().rev() {
            messages += 1;
            bytes += entry.message.bytes() as u64;
            if messages > 1 && (messages > bounds.max_messages || bytes > bounds.max_bytes) {
                return None;
            }
            let candidate = entry.id == wanted || entry.id == IdTag::UNREAD;
            if candidate && entry.message.id().as_deref() == Some(id) {
                return Some((entry.seq, &entry.message));
            }
        }
        None
    }

    /// Applies a change, keeping `exact` and `counted` true to their meaning for the window `bounds`.
    pub(crate) fn apply(&mut self, change: &Change, bounds: TailBounds) {
        match change {
            Change::Append { message, id } => self.append(message.clone(), *id),
            Change::Replace { seq, message } => self.replace(*seq, message.clone(), bounds),
            Change::Remove { first, last } => self.remove(*first, *last, bounds),
            Change::SetApp(app) => self.app = app.clone(),
        }
    }

    fn append(&mut self, message: Message, id: IdTag) {
        let bytes = message.bytes() as u64;
        self.window.push_back(Entry { seq: self.head.next_seq, id, message });
        self.window_bytes += bytes;
        self.head.next_seq += 1;
        self.head.messages += 1;
        self.head.bytes += bytes;
        self.trim();
    }

    fn replace(&mut self, seq: u64, message: Message, bounds: TailBounds) {
        let Some(i) = self.index(seq) else {
            // If it got shorter, the window may now reach further back.
            self.counted = false;
            self.check_exact(bounds);
            return;
        };
        let (old, new) = (self.window[i].message.bytes() as u64, message.bytes() as u64);
        self.window[i].id = IdTag::of(&message);
        self.window[i].message = message;
        self.window_bytes = self.window_bytes - old + new;
        self.head.bytes = (self.head.bytes + new).saturating_sub(old);
        if new < old {
            self.check_exact(bounds);
        }
        self.trim();
    }

    fn remove(&mut self, first: u64, last: u64, bounds: TailBounds) {
        let whole = self.is_whole();
        // Where the window begins; an empty one begins where the next message will be.
        let begin = self.first_seq().unwrap_or(self.head.next_seq);
        let before = self.window.len();
        let mut removed_bytes = 0;
        self.window.retain(|e| {
            let gone = (first..=last).contains(&e.seq);
            if gone {
                removed_bytes += e.message.bytes() as u64;
            }
            !gone
        });
        let removed = (before - self.window.len()) as u64;
        self.window_bytes -= removed_bytes;
        if first <= 1 && last >= begin - 1 {
            // Nothing is left below the window.
            self.head.messages = self.window.len() as u64;
            self.head.bytes = self.window_bytes;
            self.counted = true;
        } else if whole || first >= begin {
            self.head.messages = self.head.messages.saturating_sub(removed);
            self.head.bytes = self.head.bytes.saturating_sub(removed_bytes);
        } else {
            self.counted = false;
        }
        // Also with a message from below the window gone, the one before it may now be in reach.
        self.check_exact(bounds);
    }

    /// Whether what is kept proves that it holds the whole idempotence window.
    fn check_exact(&mut self, bounds: TailBounds) {
        let proof = self.window.len() >= bounds.max_messages || self.window_bytes > bounds.max_bytes;
        self.exact = self.is_whole() || proof;
    }

    /// Takes the head that the store answered after a commit.
    pub(crate) fn settle(&mut self, head: Head, bounds: TailBounds) {
        self.head = head;
        self.exists = true;
        self.counted = true;
        if !self.exact {
            self.check_exact(bounds);
        }
    }

    fn trim(&mut self) {
        while !fits(self.window.len(), self.window_bytes, self.keep) {
            if let Some(entry) = self.window.pop_front() {
                self.window_bytes -= entry.message.bytes() as u64;
            }
        }
    }

    fn index(&self, seq: u64) -> Option<usize> {
        self.window.binary_search_by_key(&seq, |e| e.seq).ok()
    }
}

/// Whether so much stays in memory.
fn fits(messages: usize, bytes: u64, keep: TailBounds) -> bool {
    messages <= 1 || (messages <= keep.max_messages && bytes <= keep.max_bytes)
}

/// The message in a stored row.
pub(crate) fn message(id: &SessionId, Row { seq, body }: Row) -> Result<Message, StoreError> {
    Message::from_stored(body).ok_or_else(|| not_text(id, seq))
}

/// Its JSON text.
pub(crate) fn text<'a>(id: &SessionId, row: &'a Row) -> Result<&'a str, StoreError> {
    std::str::from_utf8(&row.body).map_err(|_| not_text(id, row.seq))
}

fn not_text(id: &SessionId, seq: u64) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, "the message is not UTF-8").in_session(id).at_seq(seq)
}
