//! Walks over the sessions of a store, page by page.

use crate::Result;
use crate::args::Which;
use durable_session::store::{ListQuery, ListedSession, SessionList};
use futures_executor::block_on;
use std::ops::ControlFlow;

/// Sessions in a page.
pub(crate) const PAGE: usize = 256;

impl Which {
    /// An owner's sessions newest first, others by their ids.
    pub(crate) fn query(&self) -> ListQuery {
        match &self.owner {
            Some(owner) => ListQuery::owner(owner.as_str(), PAGE),
            None => ListQuery::prefix(self.prefix.as_deref().unwrap_or_default(), PAGE),
        }
    }
}

/// Calls `visit` with each page, until it breaks off.
pub(crate) fn pages(
    list: &dyn SessionList,
    mut query: ListQuery,
    mut visit: impl FnMut(Vec<ListedSession>) -> Result<ControlFlow<()>>,
) -> Result<()> {
    loop {
        let page = block_on(list.list(&query))?;
        if visit(page.sessions)?.is_break() {
            return Ok(());
        }
        match page.next {
            Some(next) => query = query.after(next),
            None => return Ok(()),
        }
    }
}
