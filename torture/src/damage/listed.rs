//! The listings of a damaged store.

use super::examine::Findings;
use super::sample::Sessions;
use crate::campaign::Tally;
use crate::model::{OWNERS, Session};
use crate::verdict::{Broken, Kind, hold};
use anyhow::Result;
use durable_session::store::{ListQuery, SessionList};
use durable_session_redb::RedbStore;
use futures_executor::block_on;

/// More than there are sessions.
const ALL: usize = 1000;

/// Each listing has the sessions that belong to it, or names the damage, and has no others.
pub(super) fn check(
    store: &RedbStore,
    sessions: &Sessions,
    findings: &mut Findings,
    tally: &mut Tally,
) -> Result<()> {
    one(store, sessions, &ListQuery::all(ALL), "all", |_| true, findings, tally)?;
    let open = |session: &Session| !session.replies.is_empty();
    one(store, sessions, &ListQuery::open_replies(ALL), "open replies", open, findings, tally)?;
    for owner in OWNERS {
        let owned = |session: &Session| session.labels.get_owner() == Some(owner);
        for query in [ListQuery::owner(owner, ALL), ListQuery::owner(owner, ALL).by_id()] {
            one(store, sessions, &query, owner, owned, findings, tally)?;
        }
    }
    Ok(())
}

fn one(
    store: &RedbStore,
    sessions: &Sessions,
    query: &ListQuery,
    what: &str,
    belongs: impl Fn(&Session) -> bool,
    findings: &mut Findings,
    tally: &mut Tally,
) -> Result<()> {
    let Ok(page) = block_on(store.list(query)) else {
        findings.named += 1;
        return Ok(());
    };
    for listed in &page.sessions {
        let name = listed.id.as_str();
        let known = sessions.iter().find(|(id, _)| *id == listed.id);
        // A damaged id is not known any more; an entry under it must not look sound.
        let sound = listed.head.is_ok();
        hold!(
            known.is_some() || !sound,
            Ghosts,
            "{name}, which is in the listing of {what}, never was"
        );
        findings.named += u64::from(!sound);
    }
    for (id, state) in sessions {
        let name = id.as_str();
        tally.checked(1);
        let there = page.sessions.iter().find(|listed| listed.id == *id);
        let should = state.as_ref().is_some_and(&belongs);
        match there {
            None if should => findings.absent(format!("{name} is not in the listing of {what}")),
            Some(listed) if !should && listed.head.is_ok() => {
                let told = format!("{name} is in the listing of {what}");
                findings.silent.join(Broken::new(Kind::Ghosts, 1, told));
            }
            _ => {}
        }
    }
    Ok(())
}
