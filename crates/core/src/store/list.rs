//! Listings of sessions. Not every store can enumerate its sessions, so listing is a separate
//! trait.

use super::{Head, Labels, SessionStore, StoreError};
use crate::SessionId;
use async_trait::async_trait;
use std::fmt;
use std::sync::Arc;

/// The sessions that a listing covers. `Debug` shows the lengths of prefix and owner only.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListScope {
    /// Sessions whose ids begin with this text. The empty text covers all sessions.
    Prefix(Arc<str>),
    /// Sessions of this owner (S11).
    Owner(Arc<str>),
    /// Sessions with an open reply (S10).
    OpenReplies,
}

/// The order of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListOrder {
    /// Ascending by the bytes of the id.
    ById,
    /// Descending by [`Head::changed_at`], and ascending by id among equal times.
    NewestFirst,
}

/// The end of a page in a listing, after which the next page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPlace {
    /// The [`Head::changed_at`] of the page's last session. A listing by id ignores it.
    pub changed_at: u64,
    /// The id of the page's last session.
    pub id: SessionId,
}

impl From<SessionId> for ListPlace {
    /// The place after this id in a listing by id.
    fn from(id: SessionId) -> Self {
        Self { changed_at: 0, id }
    }
}

/// A query for a page of sessions. Made by a constructor such as [`all`](Self::all).
///
/// ```
/// use durable_session::store::ListQuery;
///
/// let idle = ListQuery::all(100).idle_since(1_763_264_606_917);
/// let newest = ListQuery::owner("u-42", 20).changed_since(1_763_264_606_917);
/// assert_eq!((idle.limit, newest.limit), (100, 20));
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListQuery {
    /// The sessions to list.
    pub scope: ListScope,
    /// The order. Only the sessions of an owner can be listed newest first.
    pub order: ListOrder,
    /// The place after which the page begins: [`ListPage::next`] of the page before.
    pub after: Option<ListPlace>,
    /// The most sessions in the page (0 counts as 1).
    pub limit: usize,
    /// Lists only sessions whose `last_accessed_at` is not later, Unix milliseconds. Sessions with
    /// an unreadable head are listed, too.
    pub idle_since: Option<u64>,
    /// Lists only sessions whose `changed_at` is not earlier, Unix milliseconds. Sessions with an
    /// unreadable head are listed, too.
    pub changed_since: Option<u64>,
}

impl ListQuery {
    const fn of(scope: ListScope, order: ListOrder, limit: usize) -> Self {
        Self { scope, order, after: None, limit, idle_since: None, changed_since: None }
    }

    /// All sessions by id, at most `limit` to a page.
    ///
    /// ```
    /// use durable_session::store::{ListQuery, SessionList};
    /// use durable_session_memory::MemoryStore;
    ///
    /// # futures_executor::block_on(async {
    /// let store = MemoryStore::new();
    /// let mut query = Some(ListQuery::all(100));
    /// while let Some(page_query) = query.take() {
    ///     let page = store.list(&page_query).await?;
    ///     for session in page.sessions {
    ///         println!("{}", session.id.fingerprint());
    ///     }
    ///     query = page.next.map(|next| page_query.after(next));
    /// }
    /// # Ok::<(), durable_session::store::StoreError>(())
    /// # }).unwrap();
    /// ```
    pub fn all(limit: usize) -> Self {
        Self::prefix("", limit)
    }

    /// The sessions whose ids begin with `prefix`, by id, at most `limit` to a page.
    pub fn prefix(prefix: impl Into<Arc<str>>, limit: usize) -> Self {
        Self::of(ListScope::Prefix(prefix.into()), ListOrder::ById, limit)
    }

    /// The sessions of an owner, newest first, at most `limit` to a page.
    pub fn owner(owner: impl Into<Arc<str>>, limit: usize) -> Self {
        Self::of(ListScope::Owner(owner.into()), ListOrder::NewestFirst, limit)
    }

    /// The sessions with an open reply, by id, at most `limit` to a page. A store finds them
    /// without reading the other sessions.
    pub const fn open_replies(limit: usize) -> Self {
        Self::of(ListScope::OpenReplies, ListOrder::ById, limit)
    }

    /// The query in the order of ids.
    #[must_use]
    pub fn by_id(self) -> Self {
        Self { order: ListOrder::ById, ..self }
    }

    /// The query for the sessions after this place.
    #[must_use]
    pub fn after(self, place: impl Into<ListPlace>) -> Self {
        Self { after: Some(place.into()), ..self }
    }

    /// The query for sessions that were last used at `time` or earlier, Unix milliseconds.
    #[must_use]
    pub fn idle_since(self, time: u64) -> Self {
        Self { idle_since: Some(time), ..self }
    }

    /// The query for sessions that were last changed at `time` or later, Unix milliseconds.
    #[must_use]
    pub fn changed_since(self, time: u64) -> Self {
        Self { changed_since: Some(time), ..self }
    }

    /// Whether a session with this head is within `idle_since` and `changed_since`.
    pub fn takes(&self, head: &Head) -> bool {
        self.idle_since.is_none_or(|time| head.last_accessed_at <= time)
            && self.changed_since.is_none_or(|time| head.changed_at >= time)
    }

    /// Whether a session with this id and `changed_at` comes after [`after`](Self::after).
    pub fn is_after(&self, id: &SessionId, changed_at: u64) -> bool {
        let Some(place) = &self.after else { return true };
        match self.order {
            ListOrder::ById => *id > place.id,
            ListOrder::NewestFirst => {
                changed_at < place.changed_at || (changed_at == place.changed_at && *id > place.id)
            }
        }
    }
}

impl fmt::Debug for ListQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListQuery")
            .field("scope", &self.scope)
            .field("order", &self.order)
            .field("after", &self.after)
            .field("limit", &self.limit)
            .field("idle_since", &self.idle_since)
            .field("changed_since", &self.changed_since)
            .finish()
    }
}

impl fmt::Debug for ListScope {
    /// Shows lengths only: the prefix may be most of an id, and the owner a person's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(prefix) => write!(f, "Prefix({} bytes)", prefix.len()),
            Self::Owner(owner) => write!(f, "Owner({} bytes)", owner.len()),
            Self::OpenReplies => f.write_str("OpenReplies"),
        }
    }
}

/// One session of a listing.
#[derive(Debug, Clone)]
pub struct ListedSession {
    /// The session's id.
    pub id: SessionId,
    /// The session's head, or the error of reading it. A listing neither skips a damaged session
    /// nor stops at it.
    pub head: Result<Head, StoreError>,
    /// The session's labels; none if the head cannot be read.
    pub labels: Labels,
}

/// A page of a listing.
#[derive(Debug, Clone)]
pub struct ListPage {
    /// The sessions, in the order of the query.
    pub sessions: Vec<ListedSession>,
    /// The place after which the next page begins; `None` at the end. A short or empty page may
    /// still have a next page.
    pub next: Option<ListPlace>,
}

/// A store that can enumerate its sessions.
///
/// # Contract
/// - A listing is not a snapshot: a session that is created or deleted between two pages may or may
///   not be listed. A walk over all pages lists no session twice. By id, it lists every session
///   that exists throughout the walk exactly once.
/// - **S11** Newest first, the walk may miss a session that changes meanwhile. A second listing
///   with [`changed_since`](ListQuery::changed_since) the beginning of the walk has it. The cost of
///   a page depends on its length, not on the number of sessions of the owner or the store.
/// - **S4** A listing by id or prefix has every damaged session. The listing of an owner may miss
///   one, because its owner is unreadable.
#[async_trait]
pub trait SessionList: SessionStore {
    /// Reads one page of the listing.
    ///
    /// # Errors
    /// If the I/O fails. A damaged session is listed with its error and does not fail the page.
    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError>;
}

#[async_trait]
impl<T: SessionList + ?Sized> SessionList for Arc<T> {
    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        (**self).list(query).await
    }
}
