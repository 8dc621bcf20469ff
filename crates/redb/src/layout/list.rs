//! Listing.

use super::{Blob, Newest, Place, Tables, Tail, derive, missing_head, newer};
use crate::error::{Fault, caught, contradiction};
use durable_session::SessionId;
use durable_session::rows;
use durable_session::store::{Head, ListPage, ListQuery, ListedSession, StoreError};
use redb::ReadableTable;
use std::collections::HashMap;
use std::ops::Bound;

/// How many sessions one page looks at, at most, when the query filters: a page is bounded work.
const MAX_SCAN: usize = 4096;

impl<I, H, R> Tables<I, H, R>
where
    I: ReadableTable<Blob, Blob>,
    H: ReadableTable<u64, Blob>,
    R: ReadableTable<Place, Blob>,
{
    /// `tails`: the newest that the logs have of each session.
    pub(crate) fn list(
        &self,
        query: &ListQuery,
        tails: &HashMap<SessionId, Tail>,
    ) -> Result<ListPage, Fault> {
        let limit = query.limit.max(1);
        let prefix = query.prefix.as_bytes();
        let start = match &query.after {
            Some(after) if after.as_str().as_bytes() >= prefix => Bound::Excluded(after.as_str().as_bytes()),
            _ => Bound::Included(prefix),
        };
        let mut page = ListPage { sessions: Vec::new(), next: None };
        let mut last = None;
        for (scanned, entry) in self.index.ids.range::<&[u8]>((start, Bound::Unbounded))?.enumerate() {
            let (key, number_row) = entry?;
            if !key.value().starts_with(prefix) {
                break;
            }
            if page.sessions.len() == limit || scanned >= MAX_SCAN.max(limit) {
                page.next = last;
                break;
            }
            let Some(id) = std::str::from_utf8(key.value()).ok().and_then(|id| SessionId::new(id).ok())
            else {
                // No id can name it; `verify` counts it.
                tracing::error!("a session is not listed: its id is damaged");
                continue;
            };
            let head = self.listed_head(&id, number_row.value(), tails.get(&id))?;
            last = Some(id.clone());
            let wanted = match (&head, query.idle_since) {
                (Ok(head), Some(since)) => head.last_accessed_at <= since,
                _ => true,
            };
            if wanted {
                page.sessions.push(ListedSession { id, head });
            }
        }
        Ok(page)
    }

    fn listed_head(
        &self,
        id: &SessionId,
        number_row: &[u8],
        tail: Option<&Tail>,
    ) -> Result<Result<Head, StoreError>, Fault> {
        let head = || -> Result<Head, Fault> {
            let number = rows::decode_number(id, number_row)?;
            let row = self.index.heads.get(number)?.ok_or_else(|| missing_head(id))?;
            let newest = tail.map_or_else(Newest::default, |tail| tail.newest(number));
            let head_row = newer(id, number, rows::decode_head(number, id, row.value())?, newest.head)?;
            derive(&self.rows, newest.message, id, number, &head_row)
        };
        let unreadable = || contradiction("redb cannot read the pages of the session's head").in_session(id);
        match caught(head) {
            Ok(Ok(head)) => Ok(Ok(head)),
            Ok(Err(Fault::Refused(error))) => Ok(Err(error)),
            Ok(Err(Fault::Redb(redb::Error::Corrupted(_)))) | Err(_) => Ok(Err(unreadable())),
            Ok(Err(fault)) => Err(fault),
        }
    }
}
