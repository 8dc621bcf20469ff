//! A session at one moment: its head, its app state and the window of its last messages.

use super::change::{Change, Close, Open};
use super::fetched::{Fetched, Mark};
use crate::session::config::Config;
use crate::store::{
    Claim, Head, IdTag, Incarnation, Labels, Loaded, OpenReply, Row, StoreError, StoreErrorKind,
    TAGGED_MESSAGES, Tagged, TailBounds, Version,
};
use crate::sync::Arc;
use crate::{Message, SessionId};
use bytestring::ByteString;
use std::collections::VecDeque;

#[derive(Debug, Clone)]
struct Entry {
    seq: u64,
    id: IdTag,
    message: Message,
}

/// An open reply of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Running {
    /// The message that it writes.
    pub(crate) seq: u64,
    pub(crate) claim: Claim,
    /// The name of the chunks' format.
    pub(crate) format: std::sync::Arc<str>,
}

/// A message with a given id, among the last ones.
pub(crate) enum Found<'a> {
    Not,
    Message(u64, &'a Message),
    /// It may be the one at this seq, which is not in memory.
    Perhaps(u64),
}

/// A session at one moment.
#[derive(Clone)]
pub(crate) struct View {
    /// Of an absent session: its head if it were created, with a version that no store gives.
    pub(crate) head: Head,
    pub(crate) exists: bool,
    pub(crate) app: ByteString,
    pub(crate) labels: Labels,
    window: VecDeque<Entry>,
    window_bytes: u64,
    /// The tags of messages just before the window: with the window's, those of the last
    /// [`TAGGED_MESSAGES`].
    older_tags: VecDeque<Tagged>,
    /// How much of the window is kept.
    keep: TailBounds,
    /// Whether the tags are known to be those of the last [`TAGGED_MESSAGES`], or of all messages.
    pub(crate) exact: bool,
    /// Messages before the window that were given other content that is not durable yet, in the
    /// order of the changes.
    rewritten: Vec<(u64, Message)>,
    /// Whether the head's counts are known; a change to messages outside the window makes them
    /// unknown until the store has told them.
    pub(crate) counted: bool,
    /// The open replies, by seq, also on messages before the window.
    replies: Vec<Running>,
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
        // Without any, nothing is allocated: most reads find their messages in memory.
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

impl From<Arc<View>> for LongView {
    fn from(view: Arc<View>) -> Self {
        Self { view, older: None }
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
            labels: Labels::NONE,
            window: VecDeque::new(),
            window_bytes: 0,
            older_tags: VecDeque::new(),
            keep,
            exact: true,
            rewritten: Vec::new(),
            counted: true,
            replies: Vec::new(),
        };
        for message in &config.greeting {
            view.append(message.clone(), IdTag::of_message(message));
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
        // The window or the tags may reach further back than the other. Ids without a tag are read
        // when they are needed.
        let mut tags = loaded.tags;
        let count = rows.len() - from;
        let mut window = VecDeque::with_capacity(count);
        for row in rows.drain(from..) {
            window.push_back(Entry { seq: row.seq, id: IdTag::UNREAD, message: message(id, row)? });
        }
        for (entry, told) in window.iter_mut().rev().zip(tags.iter().rev()) {
            entry.id = told.tag;
        }
        tags.truncate(tags.len().saturating_sub(count));
        tags.shrink_to_fit();
        let head = loaded.head;
        let view = Self {
            head,
            exists: true,
            app,
            labels: loaded.labels,
            window,
            window_bytes,
            older_tags: tags.into(),
            keep,
            exact: true,
            rewritten: Vec::new(),
            counted: true,
            replies: loaded.replies.into_iter().map(Running::from).collect(),
        };
        Ok((view, loaded.tail))
    }

    /// The version, if the session exists.
    pub(crate) fn version(&self) -> Option<Version> {
        self.exists.then_some(self.head.version)
    }

    /// The creation of the session; of one that does not exist, one that no store gives.
    pub(crate) fn incarnation(&self) -> Incarnation {
        self.head.version.incarnation()
    }

    /// The windowed messages, oldest first.
    pub(crate) fn messages(
        &self,
    ) -> impl DoubleEndedIterator<Item = (u64, &Message)> + ExactSizeIterator {
        self.window.iter().map(|e| (e.seq, &e.message))
    }

    /// The last message, if it is in the window.
    pub(crate) fn last(&self) -> Option<(u64, &Message)> {
        self.window.back().map(|e| (e.seq, &e.message))
    }

    pub(crate) fn get(&self, seq: u64) -> Option<&Message> {
        self.index(seq).map(|i| &self.window[i].message)
    }

    /// Whether a message at `seq` is certainly not there: seqs inside the window's span are all
    /// known.
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

    /// The bytes that it holds in memory, about.
    pub(crate) fn weight(&self) -> u64 {
        let tags = self.older_tags.len() as u64 * 16;
        let replies = self.replies.len() as u64 * 64;
        self.window_bytes
            + self.app.len() as u64
            + self.labels.bytes() as u64
            + self.window.len() as u64 * 96
            + tags
            + replies
            + 512
    }

    /// The open replies, by seq.
    pub(crate) fn replies(&self) -> &[Running] {
        &self.replies
    }

    /// The reply that is open on the message at `seq`.
    pub(crate) fn reply(&self, seq: u64) -> Option<&Running> {
        self.replies.iter().find(|reply| reply.seq == seq)
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark::of(&self.head)
    }

    /// The message with this `id` among the last [`TAGGED_MESSAGES`] (clause C7).
    pub(crate) fn find<'a>(&'a self, id: &str, fetched: &'a Fetched) -> Found<'a> {
        let wanted = IdTag::of(id);
        for entry in self.window.iter().rev().take(TAGGED_MESSAGES) {
            let candidate = entry.id == wanted || entry.id == IdTag::UNREAD;
            if candidate && entry.message.id().as_deref() == Some(id) {
                return Found::Message(entry.seq, &entry.message);
            }
        }
        let rest = TAGGED_MESSAGES.saturating_sub(self.window.len());
        for tagged in self.older_tags.iter().rev().take(rest).filter(|tagged| tagged.tag == wanted)
        {
            let mut rewritten = self.rewritten.iter().rev();
            if let Some((seq, message)) = rewritten.find(|(seq, _)| *seq == tagged.seq) {
                if message.id().as_deref() == Some(id) {
                    return Found::Message(*seq, message);
                }
                continue;
            }
            match fetched.get(self.mark(), tagged.seq) {
                None => return Found::Perhaps(tagged.seq),
                Some((_, Some(message))) if message.id().as_deref() == Some(id) => {
                    return Found::Message(tagged.seq, message);
                }
                // Another id with the same tag.
                Some(_) => {}
            }
        }
        Found::Not
    }

    /// Applies a change, keeping `exact` and `counted` true to their meaning. A message that
    /// it writes stays in the window until it is durable, since the store does not have it yet.
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Begin(_) => self.begin(),
            Change::Append { message, id } => self.append(message.clone(), *id),
            Change::Replace { seq, message, id } => {
                self.end_replies(*seq, *seq);
                self.replace(*seq, message.clone(), *id);
            }
            Change::Remove { first, last } => {
                self.end_replies(*first, *last);
                self.remove(*first, *last);
            }
            Change::SetApp(app) => self.app = app.clone(),
            Change::SetLabels(labels) => self.labels = labels.clone(),
            Change::Open(open) => self.open(open),
            Change::Close(close) => {
                let Close { seq, message, id, .. } = &**close;
                self.end_replies(*seq, *seq);
                self.replace(*seq, message.clone(), *id);
            }
        }
    }

    /// Becomes an empty session, without the initial state of one that does not exist.
    fn begin(&mut self) {
        self.head = Head::new(self.head.version, self.head.created_at);
        self.app = ByteString::from_static("{}");
        self.window = VecDeque::new();
        self.window_bytes = 0;
        self.older_tags = VecDeque::new();
    }

    fn open(&mut self, Open { seq, message, id, opening }: &Open) {
        let at = seq.unwrap_or(self.head.next_seq);
        match seq {
            Some(seq) => self.replace(*seq, message.clone(), *id),
            None => self.append(message.clone(), *id),
        }
        self.end_replies(at, at);
        let (claim, format) = (opening.claim, opening.format.clone());
        let place = self.replies.partition_point(|reply| reply.seq < at);
        self.replies.insert(place, Running { seq: at, claim, format });
    }

    fn end_replies(&mut self, first: u64, last: u64) {
        self.replies.retain(|reply| !(first..=last).contains(&reply.seq));
    }

    pub(crate) fn apply_all(&mut self, changes: &[Change]) {
        for change in changes {
            self.apply(change);
        }
    }

    fn append(&mut self, message: Message, id: IdTag) {
        let bytes = message.bytes() as u64;
        self.window.push_back(Entry { seq: self.head.next_seq, id, message });
        self.window_bytes += bytes;
        self.head.next_seq += 1;
        self.head.messages += 1;
        self.head.bytes += bytes;
    }

    fn replace(&mut self, seq: u64, message: Message, id: IdTag) {
        let index = self.index(seq);
        let Some(i) = index else {
            self.counted = false;
            if let Ok(i) = self.older_tags.binary_search_by_key(&seq, |tagged| tagged.seq) {
                self.older_tags[i].tag = id;
                self.rewritten.push((seq, message));
            }
            return;
        };
        let (old, new) = (self.window[i].message.bytes() as u64, message.bytes() as u64);
        self.window[i].id = id;
        self.window[i].message = message;
        self.window_bytes = self.window_bytes - old + new;
        self.head.bytes = (self.head.bytes + new).saturating_sub(old);
    }

    fn remove(&mut self, first: u64, last: u64) {
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
        self.older_tags.retain(|tagged| !(first..=last).contains(&tagged.seq));
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
        self.check_exact();
    }

    /// Whether the tags prove that they are those of the last messages.
    fn check_exact(&mut self) {
        let tags = self.window.len() + self.older_tags.len();
        let all = self.counted && tags as u64 == self.head.messages;
        self.exact = all || tags >= TAGGED_MESSAGES;
    }

    /// Takes the head that the store answered after a commit.
    pub(crate) fn settle(&mut self, head: Head) {
        self.head = head;
        self.exists = true;
        self.counted = true;
        self.rewritten = Vec::new();
        if !self.exact {
            self.check_exact();
        }
        self.trim_before(u64::MAX);
    }

    /// Becomes the same as `newer`, which this view became by changes that only grow. Copies no
    /// message that both have.
    pub(crate) fn follow(&mut self, newer: &Self) {
        let first = newer.first_seq().unwrap_or(u64::MAX);
        while self.window.front().is_some_and(|entry| entry.seq < first) {
            self.window.pop_front();
        }
        let last = self.window.back().map_or(0, |entry| entry.seq);
        let from = newer.window.partition_point(|entry| entry.seq <= last);
        self.window.extend(newer.window.range(from..).cloned());
        self.window_bytes = newer.window_bytes;
        self.older_tags.clone_from(&newer.older_tags);
        self.labels.clone_from(&newer.labels);
        (self.head, self.exists, self.app) = (newer.head, newer.exists, newer.app.clone());
        (self.exact, self.counted, self.keep) = (newer.exact, newer.counted, newer.keep);
        self.rewritten.clone_from(&newer.rewritten);
        self.replies.clone_from(&newer.replies);
    }

    /// Takes in that all changes up to `durable`, the head that the store answered, are durable.
    /// `pending` tells the messages that changes on top of it give other content.
    pub(crate) fn rebase(&mut self, durable: &Head, pending: impl Fn(u64) -> bool) {
        let Head { next_seq, messages, bytes, .. } = self.head;
        self.head = Head { next_seq, messages, bytes, ..*durable };
        self.exists = true;
        self.rewritten.retain(|(seq, _)| pending(*seq));
        self.trim_before(durable.next_seq);
    }

    /// Lets go of messages that do not fit into the window any more, of those before `seq`: they
    /// are durable as they are here.
    fn trim_before(&mut self, seq: u64) {
        while !fits(self.window.len(), self.window_bytes, self.keep)
            && self.window.front().is_some_and(|entry| entry.seq < seq)
        {
            if let Some(Entry { seq, id, message }) = self.window.pop_front() {
                self.window_bytes -= message.bytes() as u64;
                if self.window.len() < TAGGED_MESSAGES {
                    let tag = if id == IdTag::UNREAD { IdTag::of_message(&message) } else { id };
                    self.older_tags.push_back(Tagged { seq, tag });
                }
            }
        }
        let wanted = TAGGED_MESSAGES.saturating_sub(self.window.len());
        while self.older_tags.len() > wanted {
            self.older_tags.pop_front();
        }
    }

    fn index(&self, seq: u64) -> Option<usize> {
        self.window.binary_search_by_key(&seq, |e| e.seq).ok()
    }
}

impl From<OpenReply> for Running {
    fn from(reply: OpenReply) -> Self {
        Self { seq: reply.seq, claim: reply.claim, format: reply.format }
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
