//! Listings of all kinds, page by page.

use super::{Both, Listed, States};
use crate::campaign::Tally;
use crate::model::{OWNERS, Session};
use anyhow::{Result, bail, ensure};
use durable_session::SessionId;
use durable_session::store::{Head, Labels, ListOrder, ListQuery, ListScope};
use fastrand::Rng;
use futures_executor::block_on;
use std::cmp::Reverse;

/// More pages than any walk needs.
const PAGES: usize = 40;

type Entry = (SessionId, Head, Labels);

pub(super) fn check(
    both: Both<'_>,
    states: &States,
    at: u64,
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<()> {
    let query = any_query(at, rng);
    let listed = walk(both.redb, query.clone())?;
    ensure!(walk(both.memory, query.clone())? == listed, "the listings of {query:?} differ");
    let mut should: Vec<(&SessionId, &Session)> = states
        .iter()
        .filter_map(|(id, state)| Some((id, state.as_ref()?)))
        .filter(|(id, session)| belongs(&query, id, session))
        .collect();
    if query.order == ListOrder::NewestFirst {
        should.sort_by_key(|(id, session)| (Reverse(session.changed_at), id.as_str()));
    }
    tally.checked(1 + listed.len());
    tally.add("listed", listed.len() as u64);
    let ids =
        |listed: &[Entry]| listed.iter().map(|(id, ..)| id.as_str().to_owned()).collect::<Vec<_>>();
    let is = ids(&listed);
    ensure!(
        should.iter().map(|(id, _)| id.as_str()).eq(is.iter().map(String::as_str)),
        "the listing of {query:?} is {is:?}, not {:?}",
        should.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>()
    );
    for ((_, session), (_, head, labels)) in should.iter().zip(&listed) {
        session.check_head(head)?;
        ensure!(*labels == session.labels, "the listing has other labels");
    }
    Ok(())
}

fn any_query(at: u64, rng: &mut Rng) -> ListQuery {
    let limit = rng.usize(0..4);
    let owner = |rng: &mut Rng| *rng.choice(OWNERS.iter()).unwrap_or(&"");
    let query = match rng.u8(0..8) {
        0 => ListQuery::all(limit),
        1 => ListQuery::prefix(["s", "s2", "t"][rng.usize(0..3)], limit),
        2 | 3 => ListQuery::open_replies(limit),
        4 | 5 => ListQuery::owner(owner(rng), limit).by_id(),
        _ => ListQuery::owner(owner(rng), limit),
    };
    match rng.u8(0..6) {
        0 => query.changed_since(at.saturating_sub(rng.u64(0..300))),
        1 => query.idle_since(at.saturating_sub(rng.u64(0..300))),
        _ => query,
    }
}

fn belongs(query: &ListQuery, id: &SessionId, session: &Session) -> bool {
    let scope = match &query.scope {
        ListScope::Owner(owner) => session.labels.get_owner() == Some(&**owner),
        ListScope::OpenReplies => !session.replies.is_empty(),
        ListScope::Prefix(prefix) => id.as_str().starts_with(&**prefix),
        _ => false,
    };
    scope
        && query.idle_since.is_none_or(|time| session.last_accessed_at <= time)
        && query.changed_since.is_none_or(|time| session.changed_at >= time)
}

/// All pages of a listing.
fn walk(store: &dyn Listed, mut query: ListQuery) -> Result<Vec<Entry>> {
    let mut listed = Vec::new();
    for _ in 0..PAGES {
        let page = block_on(store.list(&query))?;
        ensure!(page.sessions.len() <= query.limit.max(1), "a page is longer than its limit");
        for session in page.sessions {
            listed.push((session.id, session.head?, session.labels));
        }
        let Some(next) = page.next else { return Ok(listed) };
        query = query.after(next);
    }
    bail!("the listing of {query:?} has no end")
}
