//! Listing the sessions of an object that holds more than one.

use super::failure::corrupt_id;
use super::find;
use crate::sql::{Sql, SqlError, integer, text};
use durable_session::SessionId;
use durable_session::store::{
    Labels, ListOrder, ListPage, ListPlace, ListQuery, ListScope, ListedSession, Salt, StoreError,
    StoreErrorKind,
};
use std::cmp::Reverse;
use std::collections::HashSet;
use std::ops::ControlFlow;

const LIST: &str = "could not list the sessions";

pub(super) fn list(sql: &Sql, salt: Salt, query: &ListQuery) -> Result<ListPage, StoreError> {
    match (&query.scope, query.order) {
        (ListScope::Prefix(prefix), ListOrder::ById) => by_prefix(sql, salt, query, prefix),
        _ => by_heads(sql, salt, query),
    }
}

/// Reads `query.limit` sessions, so that a page has the same cost whether it takes all of them or
/// none.
fn by_prefix(
    sql: &Sql,
    salt: Salt,
    query: &ListQuery,
    prefix: &str,
) -> Result<ListPage, StoreError> {
    let after = query.after.as_ref().map_or("", |place| place.id.as_str());
    let limit = query.limit.max(1);
    let mut ids = ids(sql, after, prefix, limit.saturating_add(1))?;
    let more = ids.len() > limit;
    ids.truncate(limit);
    let next = ids.last().filter(|_| more).map(|last| ListPlace::from(last.clone()));
    let mut sessions = Vec::with_capacity(ids.len());
    for id in ids {
        let listed = look(sql, salt, id, None)?;
        sessions.extend(listed.filter(|listed| taken(query, listed)));
    }
    Ok(ListPage { sessions, next })
}

/// Reads all sessions that may belong to the page. An object holds few, and an index would cost one
/// more billed row per message.
fn by_heads(sql: &Sql, salt: Salt, query: &ListQuery) -> Result<ListPage, StoreError> {
    let prefix = match &query.scope {
        ListScope::Prefix(prefix) => prefix,
        _ => "",
    };
    let open = match query.scope {
        ListScope::OpenReplies => Some(numbers_with_open_replies(sql)?),
        _ => None,
    };
    let mut sessions = Vec::new();
    for id in ids(sql, "", prefix, usize::MAX)? {
        let Some(listed) = look(sql, salt, id, open.as_ref())? else { continue };
        // The owner of a damaged session cannot be read, and no other owner may learn its id.
        let belongs = match &query.scope {
            ListScope::Owner(owner) => {
                listed.head.is_ok() && listed.labels.get_owner() == Some(&**owner)
            }
            _ => true,
        };
        if belongs && taken(query, &listed) && query.is_after(&listed.id, changed_at(&listed)) {
            sessions.push(listed);
        }
    }
    if query.order == ListOrder::NewestFirst {
        // Stable: among equal times the order by id stays.
        sessions.sort_by_key(|listed| Reverse(changed_at(listed)));
    }
    let limit = query.limit.max(1);
    let more = sessions.len() > limit;
    sessions.truncate(limit);
    let place =
        |last: &ListedSession| ListPlace { changed_at: changed_at(last), id: last.id.clone() };
    let next = sessions.last().filter(|_| more).map(place);
    Ok(ListPage { sessions, next })
}

fn taken(query: &ListQuery, listed: &ListedSession) -> bool {
    listed.head.as_ref().map_or(true, |head| query.takes(head))
}

fn changed_at(listed: &ListedSession) -> u64 {
    listed.head.as_ref().map_or(0, |head| head.changed_at)
}

/// The listed session, if `numbers` has its number or is `None`. A session whose number cannot be
/// read is always listed.
fn look(
    sql: &Sql,
    salt: Salt,
    id: SessionId,
    numbers: Option<&HashSet<u64>>,
) -> Result<Option<ListedSession>, StoreError> {
    let found = find::number(sql, &id).and_then(|number| {
        let asked_for = |number: &u64| numbers.is_none_or(|numbers| numbers.contains(number));
        number.filter(asked_for).map(|number| find::numbered(sql, &id, number)).transpose()
    });
    Ok(match found {
        Ok(None) => None,
        Ok(Some(found)) => Some(ListedSession {
            id,
            head: Ok(found.current.salted(salt)),
            labels: found.row.labels,
        }),
        Err(e) if e.kind() == StoreErrorKind::Corrupt => {
            Some(ListedSession { id, head: Err(e), labels: Labels::NONE })
        }
        Err(e) => return Err(e),
    })
}

fn numbers_with_open_replies(sql: &Sql) -> Result<HashSet<u64>, StoreError> {
    let mut numbers = HashSet::new();
    sql.each("SELECT DISTINCT n FROM durable_session_replies", Vec::new(), |row| {
        numbers.insert(row.integer(0)?);
        Ok::<_, SqlError>(ControlFlow::Continue(()))
    })
    .map_err(|e| e.into_store(LIST))?;
    Ok(numbers)
}

/// The next ids with this prefix, at most `limit`.
fn ids(sql: &Sql, after: &str, prefix: &str, limit: usize) -> Result<Vec<SessionId>, StoreError> {
    let values = vec![text(after), text(prefix), integer(limit as u64)];
    let mut ids = Vec::new();
    sql.each(
        "SELECT id FROM durable_session_numbers WHERE id > ? AND id >= ? ORDER BY id LIMIT ?",
        values,
        |mut row| {
            let id = row.text(0).map_err(|e: SqlError| e.into_store(LIST))?;
            if !id.starts_with(prefix) {
                return Ok(ControlFlow::Break(()));
            }
            ids.push(SessionId::new(&id).map_err(corrupt_id)?);
            Ok::<_, StoreError>(ControlFlow::Continue(()))
        },
    )?;
    Ok(ids)
}
