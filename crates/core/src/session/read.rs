//! Reading messages beyond the window, and whole states.

use super::machine::{self, LongView, StoredMessage, View};
use super::registry::Session;
use crate::Message;
use crate::error::Error;
use crate::pages;
use crate::store::{Order, ReadQuery, Row, StoreError, Version};
use crate::sync::Arc;

/// Which messages to read, and how many: by count **and** bytes, at least one.
///
/// ```
/// use durable_session::MessageQuery;
///
/// let recent = MessageQuery::last(50);
/// let older = MessageQuery::before(1201, 50).max_bytes(64 << 10);
/// let newer = MessageQuery::after(1250, 50);
/// # let _ = (recent, older, newer);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageQuery {
    after: u64,
    before: u64,
    order: Order,
    max_messages: usize,
    max_bytes: u64,
}

impl MessageQuery {
    /// The last `count` messages.
    pub fn last(count: usize) -> Self {
        Self::before(u64::MAX, count)
    }

    /// The last `count` messages before `seq`.
    pub fn before(seq: u64, count: usize) -> Self {
        Self {
            after: 0,
            before: seq,
            order: Order::Backward,
            max_messages: count,
            max_bytes: 4 << 20,
        }
    }

    /// The first `count` messages after `seq`; 0 is before the first.
    pub fn after(seq: u64, count: usize) -> Self {
        Self {
            after: seq,
            before: u64::MAX,
            order: Order::Forward,
            max_messages: count,
            max_bytes: 4 << 20,
        }
    }

    /// Only the message at `seq`.
    pub fn at(seq: u64) -> Self {
        Self::after(seq.saturating_sub(1), 1).and_before(seq.saturating_add(1))
    }

    /// Only messages before `seq`, too.
    pub fn and_before(self, seq: u64) -> Self {
        Self { before: seq, ..self }
    }

    /// Only messages after `seq`, too.
    pub fn and_after(self, seq: u64) -> Self {
        Self { after: seq, ..self }
    }

    /// At most so many bytes of messages (default 4 MiB), but at least one message.
    pub fn max_bytes(self, bytes: u64) -> Self {
        Self { max_bytes: bytes, ..self }
    }
}

/// A page of messages.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MessagePage {
    /// The version of the session that the page shows; `None` if it does not exist.
    pub version: Option<Version>,
    /// The messages, oldest first.
    pub messages: Vec<StoredMessage>,
    /// There are more in the direction of the query: older ones for `last` and `before`, newer ones
    /// for `after`.
    pub more: bool,
}

impl Session {
    /// A page of messages, all of one version: the published one at its beginning, or a later one.
    pub(crate) async fn page(
        &self,
        view: Arc<View>,
        query: MessageQuery,
    ) -> Result<MessagePage, Error> {
        let mut view = view;
        for _ in 0..self.registry.config.attempts {
            let first = query.after.saturating_add(1);
            let last = query.before.saturating_sub(1).min(view.head.next_seq - 1);
            let wanted = ReadQuery {
                first,
                last,
                order: query.order,
                max_messages: query.max_messages.max(1),
                max_bytes: query.max_bytes,
            };
            let version = view.version();
            if let Some((messages, more)) = from_window(&view, wanted) {
                return Ok(MessagePage { version, messages, more });
            }
            match self.read(&view, wanted).await? {
                Some((mut messages, more)) => {
                    if query.order == Order::Backward {
                        messages.reverse();
                    }
                    return Ok(MessagePage { version, messages, more });
                }
                None => view = self.newer(&view).await?,
            }
        }
        Err(Error::Contended { session: self.actor.id.clone() })
    }

    /// A state and all messages before its window: read page by page, begun again if the session
    /// was rewritten.
    pub(crate) async fn whole(&self, mut seen: LongView) -> Result<LongView, Error> {
        for _ in 0..self.registry.config.attempts {
            if seen.is_whole() {
                return Ok(seen);
            }
            let (view, older) = seen.into_parts();
            let end =
                older.first().map(|row| row.seq).or(view.first_seq()).unwrap_or(view.head.next_seq);
            match pages::rows(&*self.registry.store, &self.actor.id, &view.head, 1, end - 1).await?
            {
                Some(mut rows) => {
                    rows.extend(older);
                    return Ok(LongView::new(view, rows));
                }
                None => seen = self.newer(&view).await?.into(),
            }
        }
        Err(Error::Contended { session: self.actor.id.clone() })
    }

    /// Rows from the store, in the query's order, if they belong to the state in `view`: the
    /// session may have grown since, but must not have been rewritten. That needs no lock and lets
    /// no writer wait.
    pub(crate) async fn read(
        &self,
        view: &View,
        query: ReadQuery,
    ) -> Result<Option<(Vec<StoredMessage>, bool)>, Error> {
        let page = self.registry.store.read(&self.actor.id, query).await?;
        let Some(page) = page else { return Ok(None) };
        if !pages::continues(&view.head, &page.head) {
            return Ok(None);
        }
        let message = |row: Row| {
            Ok(StoredMessage { seq: row.seq, message: machine::message(&self.actor.id, row)? })
        };
        let messages = page.rows.into_iter().map(message).collect::<Result<_, StoreError>>()?;
        Ok(Some((messages, page.more)))
    }

    /// A newer state than `stale`, which the store no longer has.
    pub(crate) async fn newer(&self, stale: &Arc<View>) -> Result<Arc<View>, Error> {
        self.refresh(stale).await;
        self.current_view().await
    }
}

/// The page, oldest first, if the window has all of it.
fn from_window(view: &View, query: ReadQuery) -> Option<(Vec<StoredMessage>, bool)> {
    if query.first > query.last {
        return Some((Vec::new(), false));
    }
    let whole = view.is_whole();
    let begin = view.first_seq();
    let inside = |seq: u64| begin.is_some_and(|begin| seq >= begin);
    if !whole && !inside(query.first) && (query.order == Order::Forward || !inside(query.last)) {
        return None;
    }
    let in_range = view.messages().filter(|(seq, _)| (query.first..=query.last).contains(seq));
    let (mut page, cut) = match query.order {
        Order::Forward => take(in_range, query),
        Order::Backward => take(in_range.rev(), query),
    };
    if query.order == Order::Backward {
        page.reverse();
        if !cut && !whole && !inside(query.first) {
            // The window ended before the page was full.
            return None;
        }
    }
    Some((page, cut))
}

/// As many as the query's bounds let through, and whether that left any out.
fn take<'a>(
    messages: impl Iterator<Item = (u64, &'a Message)>,
    query: ReadQuery,
) -> (Vec<StoredMessage>, bool) {
    let mut page = Vec::new();
    let mut bytes = 0;
    for (seq, message) in messages {
        bytes += message.bytes() as u64;
        if !page.is_empty() && (page.len() == query.max_messages || bytes > query.max_bytes) {
            return (page, true);
        }
        page.push(StoredMessage { seq, message: message.clone() });
    }
    (page, false)
}
