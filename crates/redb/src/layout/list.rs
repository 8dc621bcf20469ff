//! Listing.

use super::find::{self, labels_of};
use super::lists::{listed, newest_first, open_replies, owner_by_id, owner_newest_first};
use super::snapshot::Snapshot;
use crate::error::{Fault, caught, contradiction};
use crate::tables::{Ids, Lists, Name};
use durable_session::SessionId;
use durable_session::rows;
use durable_session::store::{
    Head, Labels, ListOrder, ListPage, ListPlace, ListQuery, ListScope, ListedSession, Order,
    StoreError,
};
use std::ops::Bound;

/// How many sessions one page looks at, at most, when the query filters: a page is bounded work.
const MAX_SCAN: usize = 4096;

impl Snapshot<'_> {
    pub(crate) fn list(&self, query: &ListQuery) -> Result<ListPage, Fault> {
        match (&query.scope, query.order) {
            (ListScope::Owner(owner), ListOrder::ById) => {
                self.list_by_key(query, &owner_by_id(owner), Some(owner))
            }
            (ListScope::Owner(owner), ListOrder::NewestFirst) => {
                self.list_by_key(query, &owner_newest_first(owner), Some(owner))
            }
            (ListScope::OpenReplies, _) => self.list_by_key(query, &open_replies(), None),
            (ListScope::Prefix(prefix), _) => self.list_by_prefix(query, prefix),
            // Of a newer contract than this store.
            _ => Ok(ListPage { sessions: Vec::new(), next: None }),
        }
    }

    fn list_by_prefix(&self, query: &ListQuery, prefix: &str) -> Result<ListPage, Fault> {
        let limit = query.limit.max(1);
        let prefix = prefix.as_bytes();
        let start = match query.after.as_ref().map(|place| place.id.as_str().as_bytes()) {
            Some(after) if after >= prefix => Bound::Excluded(Name::from(after)),
            _ => Bound::Included(Name::from(prefix)),
        };
        let mut page = ListPage { sessions: Vec::new(), next: None };
        let mut last = None;
        let mut ids = self.view.walk::<Ids>((start, Bound::Unbounded), Order::Forward);
        let mut scanned = 0;
        while let Some(entry) = ids.next()? {
            if !entry.key.starts_with(prefix) {
                break;
            }
            if page.sessions.len() == limit || scanned >= MAX_SCAN.max(limit) {
                page.next = last;
                break;
            }
            scanned += 1;
            let (key, number_row) = entry.read()?;
            let Some(id) = std::str::from_utf8(&key).ok().and_then(|id| SessionId::new(id).ok())
            else {
                // No id can name it; `verify` counts it.
                tracing::error!("a session is not listed: its id is damaged");
                continue;
            };
            let found = self.listed_head(&id, Some(&number_row))?;
            last = Some(ListPlace::from(id.clone()));
            self.add(query, &mut page, id, found);
        }
        Ok(page)
    }

    /// The sessions that the keys with this beginning lead to; if `owner` is given, they are in a
    /// list of that owner.
    fn list_by_key(
        &self,
        query: &ListQuery,
        beginning: &[u8],
        owner: Option<&str>,
    ) -> Result<ListPage, Fault> {
        let limit = query.limit.max(1);
        let by_time = owner.is_some() && query.order == ListOrder::NewestFirst;
        let after = query.after.as_ref().map(|place| {
            let mut key = beginning.to_vec();
            if by_time {
                key.extend_from_slice(&newest_first(place.changed_at));
            }
            key.extend_from_slice(place.id.as_str().as_bytes());
            Name::from(key)
        });
        let start = after.map_or(Bound::Included(Name::from(beginning)), Bound::Excluded);
        let mut page = ListPage { sessions: Vec::new(), next: None };
        let mut last = None;
        let mut lists = self.view.walk::<Lists>((start, Bound::Unbounded), Order::Forward);
        let mut scanned = 0;
        while let Some(entry) = lists.next()? {
            let key = entry.key;
            if !key.starts_with(beginning) {
                break;
            }
            scanned += 1;
            let Some((id, changed_at)) = listed(&key, beginning.len(), by_time) else {
                tracing::error!("a session is not listed: its id in the list is damaged");
                continue;
            };
            if by_time && query.changed_since.is_some_and(|since| changed_at < since) {
                break;
            }
            if page.sessions.len() == limit || scanned > MAX_SCAN.max(limit) {
                page.next = last;
                break;
            }
            let number_row = self.view.get::<Ids>(&find::key(&id))?;
            let mut found = self.listed_head(&id, number_row.as_deref())?;
            let fits = |(head, labels): &(Head, Labels)| {
                owner.is_none_or(|owner| labels.get_owner() == Some(owner))
                    && (!by_time || head.changed_at == changed_at)
            };
            if found.as_ref().is_ok_and(|found| !fits(found)) {
                found = Err(contradiction(
                    "the list of an owner's sessions says something else than the head",
                )
                .in_session(&id));
            }
            last = Some(ListPlace { changed_at, id: id.clone() });
            self.add(query, &mut page, id, found);
        }
        Ok(page)
    }

    /// Adds a session to the page if the query wants it.
    fn add(
        &self,
        query: &ListQuery,
        page: &mut ListPage,
        id: SessionId,
        found: Result<(Head, Labels), StoreError>,
    ) {
        match found {
            Ok((head, _)) if !query.takes(&head) => {}
            Ok((head, labels)) => {
                page.sessions.push(ListedSession { id, head: Ok(head.salted(self.salt)), labels });
            }
            Err(error) => {
                page.sessions.push(ListedSession { id, head: Err(error), labels: Labels::NONE });
            }
        }
    }

    fn listed_head(
        &self,
        id: &SessionId,
        number_row: Option<&[u8]>,
    ) -> Result<Result<(Head, Labels), StoreError>, Fault> {
        let head = || -> Result<_, Fault> {
            let lost = || contradiction("a list names a session that is not there").in_session(id);
            let number = rows::decode_number(id, number_row.ok_or_else(lost)?)?;
            let (found, labels) = find::find_numbered(&self.view, id, number, labels_of)?;
            Ok((found.current, labels))
        };
        let unreadable =
            || contradiction("redb cannot read the pages of the session's head").in_session(id);
        match caught(head) {
            Ok(Ok(found)) => Ok(Ok(found)),
            Ok(Err(Fault::Refused(error))) => Ok(Err(error)),
            Ok(Err(Fault::Redb(redb::Error::Corrupted(_)))) | Err(_) => Ok(Err(unreadable())),
            Ok(Err(fault)) => Err(fault),
        }
    }
}
