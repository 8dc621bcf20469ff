//! Listing the sessions of an object that holds more than one.

use super::{corrupt_id, find};
use crate::sql::{Sql, SqlError, integer, text};
use durable_session::SessionId;
use durable_session::store::{ListPage, ListQuery, ListedSession, StoreError, StoreErrorKind};
use std::ops::ControlFlow;

const LIST: &str = "could not list the sessions";

/// Looks at `query.limit` sessions, so that a page costs the same whatever it filters out.
pub(super) fn list(sql: &Sql, query: &ListQuery) -> Result<ListPage, StoreError> {
    let limit = query.limit.max(1);
    let (ids, more) = ids(sql, query, limit)?;
    let next = if more { ids.last().cloned() } else { None };
    let mut sessions = Vec::with_capacity(ids.len());
    for id in ids {
        let head = match find::session(sql, &id) {
            // Deleted meanwhile it cannot be: nothing else runs in between.
            Ok(None) => continue,
            Ok(Some(found)) => Ok(found.current),
            Err(e) if e.kind() == StoreErrorKind::Corrupt => Err(e),
            Err(e) => return Err(e),
        };
        let wanted = match (&head, query.idle_since) {
            (Ok(head), Some(time)) => head.last_accessed_at <= time,
            (Ok(_), None) | (Err(_), _) => true,
        };
        if wanted {
            sessions.push(ListedSession { id, head });
        }
    }
    Ok(ListPage { sessions, next })
}

/// The next ids, and whether there are more after them.
fn ids(sql: &Sql, query: &ListQuery, limit: usize) -> Result<(Vec<SessionId>, bool), StoreError> {
    let after = query.after.as_ref().map_or("", SessionId::as_str);
    let values = vec![text(after), text(&query.prefix), integer((limit as u64).saturating_add(1))];
    let (mut ids, mut more) = (Vec::new(), false);
    sql.each(
        "SELECT id FROM durable_session_numbers WHERE id > ? AND id >= ? ORDER BY id LIMIT ?",
        values,
        |mut row| {
            let id = row.text(0).map_err(|e: SqlError| e.into_store(LIST))?;
            if !id.starts_with(&query.prefix) {
                return Ok(ControlFlow::Break(()));
            }
            if ids.len() == limit {
                more = true;
                return Ok(ControlFlow::Break(()));
            }
            ids.push(SessionId::new(&id).map_err(corrupt_id)?);
            Ok::<_, StoreError>(ControlFlow::Continue(()))
        },
    )?;
    Ok((ids, more))
}
