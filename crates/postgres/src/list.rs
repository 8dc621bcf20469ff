//! Listings. A page looks at a bounded number of sessions.

use crate::commit::decode_listed;
use crate::connection::Connection;
use crate::error::Failure;
use crate::found::{LISTED_WITHIN, signed, unsigned};
use crate::shared::Shared;
use crate::transaction::Parameters;
use durable_session::SessionId;
use durable_session::store::{
    Labels, ListOrder, ListPage, ListPlace, ListQuery, ListScope, ListedSession,
};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// How many sessions one page looks at, at most, when the query filters.
const MAX_SCAN: usize = 4096;

/// How many sessions one statement reads.
const MAX_STEP: usize = 1024;

pub(crate) async fn list(
    connection: &Connection,
    shared: &Shared,
    query: &ListQuery,
) -> Result<ListPage, Failure> {
    match (&query.scope, query.order) {
        (ListScope::Prefix(prefix), _) => {
            let scope = Scope { condition: "h.id COLLATE \"C\" >= $1", value: prefix.as_bytes() };
            by_id(connection, shared, query, &scope, prefix).await
        }
        (ListScope::OpenReplies, _) => {
            let scope = Scope { condition: "h.replying", value: &[] };
            by_id(connection, shared, query, &scope, "").await
        }
        (ListScope::Owner(owner), ListOrder::ById) => {
            let scope = Scope { condition: "h.owner = $3", value: owner.as_bytes() };
            by_id(connection, shared, query, &scope, "").await
        }
        (ListScope::Owner(owner), ListOrder::NewestFirst) => {
            newest_first(connection, shared, query, owner).await
        }
        // Of a newer contract than this store.
        _ => Ok(ListPage { sessions: Vec::new(), next: None }),
    }
}

struct Scope<'a> {
    condition: &'a str,
    value: &'a [u8],
}

async fn by_id(
    connection: &Connection,
    shared: &Shared,
    query: &ListQuery,
    scope: &Scope<'_>,
    prefix: &str,
) -> Result<ListPage, Failure> {
    let limit = query.limit.max(1);
    let mut page = ListPage { sessions: Vec::new(), next: None };
    let mut after = query.after.as_ref().map(|place| place.id.as_str().to_owned());
    let mut scanned = 0;
    let filters = query.idle_since.is_some() || query.changed_since.is_some();
    loop {
        let wanted = limit - page.sessions.len() + 1;
        let step = if filters { wanted.max(64) } else { wanted }.min(MAX_STEP);
        let statement = format!(
            "{} WHERE {} AND h.id >= $1 AND h.id > $2 AND length($3) >= 0 \
             ORDER BY h.id LIMIT {step}",
            shared.sql.listed, scope.condition
        );
        let after_text = after.clone().unwrap_or_default();
        let parameters: Parameters<'_> =
            vec![(&prefix, Type::TEXT), (&after_text, Type::TEXT), (&scope.value, Type::BYTEA)];
        let rows = connection.query(&statement, &parameters).await?;
        for row in &rows {
            let Some(id) = id_of(row)? else { continue };
            if !id.as_str().starts_with(prefix) {
                return Ok(page);
            }
            if page.sessions.len() == limit || scanned >= MAX_SCAN.max(limit) {
                page.next = after.and_then(|id| SessionId::new(id).ok()).map(ListPlace::from);
                return Ok(page);
            }
            scanned += 1;
            after = Some(id.as_str().to_owned());
            if let Some((session, _)) = listed(connection, query, id, row)? {
                page.sessions.push(session);
            }
        }
        if rows.len() < step {
            return Ok(page);
        }
    }
}

/// The rows are in the order of a time that is at most [`LISTED_WITHIN`] older than that of the
/// last change. So a session has its place as soon as all later rows are too old to be before it.
async fn newest_first(
    connection: &Connection,
    shared: &Shared,
    query: &ListQuery,
    owner: &str,
) -> Result<ListPage, Failure> {
    let limit = query.limit.max(1);
    let owner_bytes = owner.as_bytes();
    // The place of the last row that was read.
    let mut read_to: Option<(i64, String)> = None;
    let newest = query.after.as_ref().map_or(i64::MAX, |place| signed(place.changed_at));
    let mut found: Vec<(u64, ListedSession)> = Vec::new();
    let mut scanned = 0;
    let mut ended = false;
    while !ended {
        let step = (limit + 1).min(MAX_STEP);
        let (listed_at, id) = read_to.clone().unwrap_or((newest, String::new()));
        // The first page begins at its time, with any id.
        let whole_time = read_to.is_none();
        let statement = format!(
            "{} WHERE h.owner = $1 AND h.listed_at <= $2 AND (h.listed_at < $2 OR $4 OR \
             h.id < $3) ORDER BY h.listed_at DESC, h.id DESC LIMIT {step}",
            shared.sql.listed
        );
        let parameters: Parameters<'_> = vec![
            (&owner_bytes, Type::BYTEA),
            (&listed_at, Type::INT8),
            (&id, Type::TEXT),
            (&whole_time, Type::BOOL),
        ];
        let rows = connection.query(&statement, &parameters).await?;
        ended = rows.len() < step;
        for row in &rows {
            let place: (i64, String) = (row.try_get(6)?, row.try_get(0)?);
            // No later row can have changed since.
            let latest = unsigned(place.0).saturating_add(LISTED_WITHIN);
            if query.changed_since.is_some_and(|since| latest <= since && latest < u64::MAX) {
                ended = true;
            }
            read_to = Some(place);
            scanned += 1;
            let Some(id) = id_of(row)? else { continue };
            if let Some((session, changed_at)) = listed(connection, query, id, row)? {
                let is_of = session.labels.get_owner() == Some(owner) || session.head.is_err();
                if is_of && query.is_after(&session.id, changed_at) {
                    found.push((changed_at, session));
                }
            }
        }
        // What changed later than every row still to come can have changed.
        let bound = read_to.as_ref().map_or(0, |(time, _)| unsigned(*time) + LISTED_WITHIN);
        let placed = found.iter().filter(|(changed_at, _)| *changed_at >= bound).count();
        if placed > limit || (scanned >= MAX_SCAN.max(limit) && placed > 0) {
            break;
        }
    }
    found.sort_by(|(a, x), (b, y)| b.cmp(a).then_with(|| x.id.cmp(&y.id)));
    if !ended {
        let bound = read_to.as_ref().map_or(0, |(time, _)| unsigned(*time) + LISTED_WITHIN);
        found.retain(|(changed_at, _)| *changed_at >= bound);
    }
    let more = !ended || found.len() > limit;
    found.truncate(limit);
    let next = found
        .last()
        .filter(|_| more)
        .map(|(changed_at, last)| ListPlace { changed_at: *changed_at, id: last.id.clone() });
    Ok(ListPage { sessions: found.into_iter().map(|(_, session)| session).collect(), next })
}

fn id_of(row: &Row) -> Result<Option<SessionId>, Failure> {
    let id = SessionId::new(row.try_get::<_, &str>(0)?).ok();
    if id.is_none() {
        tracing::error!("a session is not listed: its id is damaged");
    }
    Ok(id)
}

/// The session and the time of its last change, if the query wants it.
fn listed(
    connection: &Connection,
    query: &ListQuery,
    id: SessionId,
    row: &Row,
) -> Result<Option<(ListedSession, u64)>, Failure> {
    match decode_listed(&id, row) {
        Ok(found) if !query.takes(&found.current) => Ok(None),
        Ok(found) => {
            let head = found.current.salted(connection.salt);
            let (changed_at, labels) = (head.changed_at, found.labels);
            Ok(Some((ListedSession { id, head: Ok(head), labels }, changed_at)))
        }
        Err(Failure::Request(error)) => {
            let listed_at = unsigned(row.try_get(6)?);
            let session = ListedSession { id, head: Err(error), labels: Labels::NONE };
            Ok(Some((session, listed_at)))
        }
        Err(failure) => Err(failure),
    }
}
