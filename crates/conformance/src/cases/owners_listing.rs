//! An owner's list while sessions change, and after the store was opened again (S11).

use super::owners::{goes_on, lists, names, owned, walked};
use crate::failure::{ensure, ensure_eq};
use crate::fixture::{Checked, Fixture, T, append, appends, at, id, on, set_app};
use durable_session::store::{DeleteIf, Labels, ListQuery, Op, StoreErrorKind};
use std::collections::BTreeSet;

pub(crate) async fn sessions_changed_during_a_listing_are_listed_or_found_by_changed_since(
    t: &mut Fixture,
) -> Checked {
    let all: Vec<_> = (0..20).map(|n| format!("session-{n:02}")).collect();
    let mut heads = Vec::new();
    for (n, name) in (0..).zip(&all) {
        heads.push(owned(t, name, "u", n).await?);
    }
    let list = t.list()?;
    let begun = T + 1000;
    let mut query = ListQuery::owner("u", 3);
    let mut seen = Vec::new();
    for round in 0.. {
        let page = list.list(&query).await?;
        seen.extend(page.sessions.into_iter().map(|session| session.id.as_str().to_owned()));
        if !goes_on(&mut query, page.next)? {
            break;
        }
        // Changes a session that was listed already and one that was not, if there are any.
        for n in [Some(round), 19_usize.checked_sub(round)].into_iter().flatten() {
            let Some((name, head)) = all.get(n).zip(heads.get_mut(n)) else { continue };
            let commit = at(begun + round as u64, on(*head, appends(["more"])));
            *head = t.committed(&id(name)?, commit).await?;
        }
    }
    let once: BTreeSet<_> = seen.iter().collect();
    ensure_eq!(once.len(), seen.len(), "the number of different sessions in the listing");
    let changed = walked(t, ListQuery::owner("u", 3).changed_since(begun)).await?;
    let found: BTreeSet<&str> = seen.iter().map(String::as_str).chain(names(&changed)).collect();
    ensure_eq!(
        found.into_iter().collect::<Vec<_>>(),
        all.iter().map(String::as_str).collect::<Vec<_>>(),
        "the sessions in the listing or found by changed_since"
    );
    ensure!(changed.len() < all.len(), "changed_since lists sessions that did not change");
    Ok(())
}

pub(crate) async fn sessions_deleted_during_a_listing_do_not_end_it(t: &mut Fixture) -> Checked {
    for (n, name) in (0..).zip(["a", "b", "c", "d", "e", "f"]) {
        owned(t, name, "u", n).await?;
    }
    let list = t.list()?;
    let mut query = ListQuery::owner("u", 2);
    let mut seen = Vec::new();
    loop {
        let page = list.list(&query).await?;
        seen.extend(page.sessions.into_iter().map(|session| session.id.as_str().to_owned()));
        let place = page.next.clone();
        if !goes_on(&mut query, page.next)? {
            break;
        }
        // The session after which the next page begins is deleted by then.
        if let Some(place) = place {
            t.store().delete(&place.id, DeleteIf::Any).await?;
        }
    }
    ensure_eq!(seen, ["f", "e", "d", "c", "b", "a"], "the sessions seen");
    Ok(())
}

/// Sessions that got their places in the lists in all ways: by changes, labels and deletes.
async fn moved_about(t: &Fixture) -> Checked {
    let a = owned(t, "a", "u", 0).await?;
    owned(t, "b", "u", 10).await?;
    let c = owned(t, "c", "v", 20).await?;
    owned(t, "d", "u", 30).await?;
    let e = owned(t, "e", "u", 35).await?;
    t.committed(&id("a")?, at(T + 40, on(a, vec![append("b"), append("c")]))).await?;
    t.committed(&id("c")?, at(T + 50, on(c, vec![Op::SetLabels(Labels::owner("u"))]))).await?;
    let e = t.committed(&id("e")?, at(T + 60, on(e, vec![set_app("{}")]))).await?;
    t.committed(&id("e")?, at(T + 70, on(e, vec![append("b")]))).await?;
    t.store().delete(&id("d")?, DeleteIf::Any).await?;
    t.store().touch(&id("b")?, T + 500).await?;
    Ok(())
}

async fn moved_about_is_listed(t: &Fixture) -> Checked {
    lists(t, &ListQuery::owner("u", 10), &["e", "a", "c", "b"]).await?;
    lists(t, &ListQuery::owner("u", 10).by_id(), &["a", "b", "c", "e"]).await?;
    lists(t, &ListQuery::owner("u", 10).changed_since(T + 40), &["e", "a"]).await?;
    lists(t, &ListQuery::owner("v", 10), &[]).await
}

pub(crate) async fn an_owners_list_survives_reopening(t: &mut Fixture) -> Checked {
    moved_about(t).await?;
    moved_about_is_listed(t).await?;
    for _ in 0..2 {
        t.reopen().await?;
        moved_about_is_listed(t).await?;
    }
    let head = t.all(&id("b")?).await?.head;
    t.committed(&id("b")?, at(T + 600, on(head, appends(["b"])))).await?;
    lists(t, &ListQuery::owner("u", 10), &["b", "e", "a", "c"]).await?;
    t.reopen().await?;
    lists(t, &ListQuery::owner("u", 10), &["b", "e", "a", "c"]).await
}

pub(crate) async fn an_owners_list_survives_a_crash(t: &mut Fixture) -> Checked {
    moved_about(t).await?;
    t.crash_and_reopen().await?;
    moved_about_is_listed(t).await?;
    let head = t.all(&id("b")?).await?.head;
    t.committed(&id("b")?, at(T + 600, on(head, appends(["b"])))).await?;
    t.crash_and_reopen().await?;
    lists(t, &ListQuery::owner("u", 10), &["b", "e", "a", "c"]).await
}

pub(crate) async fn a_damaged_session_does_not_end_its_owners_list(t: &mut Fixture) -> Checked {
    for (n, name) in (0..).zip(["a", "b", "c", "d"]) {
        owned(t, name, "u", n).await?;
    }
    t.corrupt_head(&id("b")?).await?;
    for query in
        [ListQuery::owner("u", 1), ListQuery::owner("u", 10), ListQuery::owner("u", 2).by_id()]
    {
        let (list, mut query) = (t.list()?, query);
        let mut sound = Vec::new();
        loop {
            let page = list.list(&query).await?;
            for session in page.sessions {
                match session.head {
                    Ok(_) => sound.push(session.id.as_str().to_owned()),
                    // It may be missing: its owner is in the damaged head.
                    Err(error) => {
                        ensure_eq!(
                            error.kind(),
                            StoreErrorKind::Corrupt,
                            "the error of a damaged head"
                        );
                        ensure_eq!(
                            session.id.as_str(),
                            "b",
                            "the session that is listed as damaged"
                        );
                    }
                }
            }
            if !goes_on(&mut query, page.next)? {
                break;
            }
        }
        sound.sort_unstable();
        ensure_eq!(sound, ["a", "c", "d"], "the undamaged sessions listed with {query:?}");
    }
    Ok(())
}
