//! The queries to a store and their answers.

use super::shown::Size;
use super::{Head, Labels, OpenReply, StoreError, Tagged, Version};
use bytes::Bytes;
use std::fmt;

/// One stored message. `Debug` shows the length of the body only.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    /// The message's seq, from 1.
    pub seq: u64,
    /// The body as it was committed.
    pub body: Bytes,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq, body } = self;
        f.debug_struct("Row").field("seq", seq).field("body", &Size(body.len())).finish()
    }
}

/// The bounds of a tail. A load returns the longest run of last messages within both bounds, and at
/// least one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TailBounds {
    /// The most messages (0 counts as 1).
    pub max_messages: usize,
    /// The most bytes of bodies. A last message that alone has more is returned, too.
    pub max_bytes: u64,
}

impl TailBounds {
    /// Bounds of at most so many messages and bytes of bodies.
    pub const fn new(max_messages: usize, max_bytes: u64) -> Self {
        Self { max_messages, max_bytes }
    }
}

/// The query of a [load](super::SessionStore::load).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadQuery {
    /// The bounds of the tail.
    pub tail: TailBounds,
    /// A version that the caller has loaded. If the session still has this version, the store may
    /// answer [`LoadOutcome::Unchanged`] (S12).
    pub known: Option<Version>,
}

impl LoadQuery {
    /// Loads the session with this much of its tail.
    ///
    /// ```
    /// use durable_session::store::{LoadQuery, TailBounds};
    ///
    /// let query = LoadQuery::new(TailBounds::new(64, 256 << 10));
    /// assert_eq!((query.tail.max_messages, query.known), (64, None));
    /// ```
    pub const fn new(tail: TailBounds) -> Self {
        Self { tail, known: None }
    }

    /// Loads the session only if it is no longer at this version.
    #[must_use]
    pub const fn unless(self, known: Version) -> Self {
        Self { known: Some(known), ..self }
    }
}

/// The answer of a [load](super::SessionStore::load).
#[derive(Debug, Clone, PartialEq, Eq)]
// One per call, made where it is returned.
#[allow(clippy::large_enum_variant)]
pub enum LoadOutcome {
    /// The session does not exist.
    Absent,
    /// The session has the known version. Its replies may have grown and its `last_accessed_at` may
    /// have moved: neither makes a version.
    Unchanged,
    /// The session.
    Loaded(Loaded),
}

impl LoadOutcome {
    /// The loaded session; `None` if the session is absent or unchanged.
    pub fn loaded(self) -> Option<Loaded> {
        match self {
            Self::Loaded(loaded) => Some(loaded),
            Self::Absent | Self::Unchanged => None,
        }
    }
}

impl From<Option<Loaded>> for LoadOutcome {
    fn from(loaded: Option<Loaded>) -> Self {
        loaded.map_or(Self::Absent, Self::Loaded)
    }
}

/// A loaded session: one consistent view. `Debug` shows the length of the app state only.
///
/// Exhaustive, so that every store fills every field.
#[derive(Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The head.
    pub head: Head,
    /// The labels.
    pub labels: Labels,
    /// The app state of the last commit that set it; empty if it was never set.
    pub app: Bytes,
    /// The last messages, oldest first.
    pub tail: Vec<Row>,
    /// The tags of the last [`TAGGED_MESSAGES`](super::TAGGED_MESSAGES) messages, oldest first
    /// (C7), of any size and also before the tail. An unreadable message before the tail has no tag
    /// here and does not fail the load.
    pub tags: Vec<Tagged>,
    /// The open replies, by seq.
    pub replies: Vec<OpenReply>,
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { head, labels, app, tail, tags, replies } = self;
        f.debug_struct("Loaded")
            .field("head", head)
            .field("labels", labels)
            .field("app", &Size(app.len()))
            .field("tail", tail)
            .field("tags", tags)
            .field("replies", replies)
            .finish()
    }
}

/// The direction of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// From low seqs to high.
    Forward,
    /// From high seqs to low.
    Backward,
}

/// A query for a page of messages. The page begins at the end of the range that `order` selects.
///
/// ```
/// use durable_session::store::ReadQuery;
///
/// let newest = ReadQuery::backward(1, u64::MAX).max_messages(50).max_bytes(1 << 20);
/// assert_eq!((newest.first, newest.max_messages), (1, 50));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadQuery {
    /// The lowest seq, inclusive.
    pub first: u64,
    /// The highest seq, inclusive. An empty range (`first > last`) has no rows.
    pub last: u64,
    /// The order of the rows.
    pub order: Order,
    /// The most messages (0 counts as 1).
    pub max_messages: usize,
    /// The most bytes of bodies. The page has at least one message.
    pub max_bytes: u64,
}

impl ReadQuery {
    /// Reads the messages from `first` to `last`, both inclusive, oldest first.
    pub const fn forward(first: u64, last: u64) -> Self {
        Self { first, last, order: Order::Forward, max_messages: usize::MAX, max_bytes: u64::MAX }
    }

    /// Reads the messages from `first` to `last`, both inclusive, newest first.
    pub const fn backward(first: u64, last: u64) -> Self {
        Self { order: Order::Backward, ..Self::forward(first, last) }
    }

    /// The query with at most so many messages.
    #[must_use]
    pub const fn max_messages(self, max_messages: usize) -> Self {
        Self { max_messages, ..self }
    }

    /// The query with at most so many bytes of bodies. The page has at least one message.
    #[must_use]
    pub const fn max_bytes(self, max_bytes: u64) -> Self {
        Self { max_bytes, ..self }
    }
}

/// The answer of a [read](super::SessionStore::read).
///
/// Exhaustive, so that every store fills every field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The head at that moment: rows and head are one consistent view.
    pub head: Head,
    /// The messages, in the order of the query.
    pub rows: Vec<Row>,
    /// The replies that are open on these messages, by seq.
    pub replies: Vec<OpenReply>,
    /// The range holds more messages than the bounds allow.
    pub more: bool,
}

/// Damage in the rows of a session.
#[derive(Debug, Clone)]
pub struct Damage {
    /// The message whose row or open reply is damaged; `None` if the head (with labels and app
    /// state) is damaged.
    pub seq: Option<u64>,
    /// The error of reading it, of kind [`Corrupt`](super::StoreErrorKind::Corrupt).
    pub error: StoreError,
}

/// The answer of a [salvage](super::SessionStore::salvage). The default is empty. `Debug` shows the
/// length of the app state only.
///
/// Exhaustive, so that every store fills every field.
#[derive(Clone, Default)]
pub struct Salvaged {
    /// The head, if it can be read.
    pub head: Option<Head>,
    /// The labels, if they can be read.
    pub labels: Option<Labels>,
    /// The app state, if it can be read.
    pub app: Option<Bytes>,
    /// The readable messages of this page, in the order of the query.
    pub rows: Vec<Row>,
    /// The readable open replies on messages of this page, by seq, also on unreadable messages.
    pub replies: Vec<OpenReply>,
    /// The damage: of the head, and of the messages and open replies of this page.
    pub damage: Vec<Damage>,
    /// The range holds more rows than the bounds allow.
    pub more: bool,
}

impl fmt::Debug for Salvaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { head, labels, app, rows, replies, damage, more } = self;
        f.debug_struct("Salvaged")
            .field("head", head)
            .field("labels", labels)
            .field("app", &app.as_ref().map(|app| Size(app.len())))
            .field("rows", rows)
            .field("replies", replies)
            .field("damage", damage)
            .field("more", more)
            .finish()
    }
}
