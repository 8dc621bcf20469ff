//! Listing: a trait of its own, because not every engine can enumerate its sessions.

use super::{Head, StoreError};
use crate::SessionId;
use async_trait::async_trait;
use std::fmt;
use std::sync::Arc;

/// Which sessions to list.
#[derive(Clone, PartialEq, Eq)]
pub struct ListQuery {
    /// Only ids that begin with this; empty for all.
    pub prefix: String,
    /// Only ids after this one, in byte order: the `next` of the page before.
    pub after: Option<SessionId>,
    /// At most so many sessions in the page (0 counts as 1).
    pub limit: usize,
    /// Only sessions whose `last_accessed_at` is not later than this, Unix milliseconds. Sessions whose head cannot
    /// be read are listed all the same.
    pub idle_since: Option<u64>,
}

impl ListQuery {
    /// All sessions, `limit` to a page.
    pub fn all(limit: usize) -> Self {
        Self { prefix: String::new(), after: None, limit, idle_since: None }
    }

    /// The sessions whose ids begin with `prefix`, `limit` to a page.
    pub fn prefix(prefix: impl Into<String>, limit: usize) -> Self {
        Self { prefix: prefix.into(), ..Self::all(limit) }
    }
}

impl fmt::Debug for ListQuery {
    /// The prefix by its length only: it may be most of an id.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListQuery")
            .field("prefix_bytes", &self.prefix.len())
            .field("after", &self.after)
            .field("limit", &self.limit)
            .field("idle_since", &self.idle_since)
            .finish()
    }
}

/// One session of a listing.
#[derive(Debug, Clone)]
pub struct ListedSession {
    /// Its id.
    pub id: SessionId,
    /// Its head, or why it cannot be read (a listing neither skips nor stops at a damaged session).
    pub head: Result<Head, StoreError>,
}

/// A page of a listing.
#[derive(Debug, Clone)]
pub struct ListPage {
    /// The sessions, ascending by the bytes of their ids.
    pub sessions: Vec<ListedSession>,
    /// Where the next page goes on, `None` at the end. A page may be short, even empty, and still have a next one.
    pub next: Option<SessionId>,
}

/// Lists the sessions of a store.
///
/// A listing is not a snapshot: sessions created or deleted between two pages may or may not be seen. Those that
/// exist throughout are seen exactly once.
#[async_trait]
pub trait SessionList: Send + Sync {
    /// One page of the listing.
    ///
    /// # Errors
    /// As the I/O fails. A damaged session is an entry, not an error.
    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError>;
}

#[async_trait]
impl<T: SessionList + ?Sized> SessionList for Arc<T> {
    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        (**self).list(query).await
    }
}
