//! An owner's sessions are listed newest first, each once (S11).

use crate::Failure;
use crate::failure::{ensure, ensure_eq};
use crate::fixture::{
    Checked, Fixture, T, append, appends, at, creation, id, on, remove, replace, set_app,
};
use crate::replying::{CLAIM, close, counts, open};
use durable_session::store::{
    DeleteIf, Head, Labels, ListOrder, ListPlace, ListQuery, ListedSession, Op,
};
use std::cmp::Reverse;

/// The sessions of all pages. Checks the limit and the order of each page, and that the listing
/// ends.
pub(super) async fn walked(t: &Fixture, mut query: ListQuery) -> Checked<Vec<ListedSession>> {
    let list = t.list()?;
    let mut all: Vec<ListedSession> = Vec::new();
    loop {
        let page = list.list(&query).await?;
        let limit = query.limit.max(1);
        ensure!(
            page.sessions.len() <= limit,
            "a page of at most {limit} has {}",
            page.sessions.len()
        );
        for session in page.sessions {
            let changed_at = session.head.clone()?.changed_at;
            let after = query.is_after(&session.id, changed_at);
            ensure!(after, "{} is listed again or out of order", session.id.as_str());
            all.push(session);
        }
        let ascending = match query.order {
            ListOrder::ById => all.is_sorted_by(|a, b| a.id < b.id),
            ListOrder::NewestFirst => all.is_sorted_by_key(|session| {
                (
                    Reverse(session.head.as_ref().map_or(0, |head| head.changed_at)),
                    session.id.clone(),
                )
            }),
        };
        ensure!(ascending, "the sessions are listed out of order: {:?}", names(&all));
        if !goes_on(&mut query, page.next)? {
            return Ok(all);
        }
    }
}

/// Whether there is a next page. Checks that it is after this one, so that every listing ends.
pub(super) fn goes_on(query: &mut ListQuery, next: Option<ListPlace>) -> Checked<bool> {
    let Some(next) = next else { return Ok(false) };
    let moves = query.is_after(&next.id, next.changed_at);
    ensure!(moves, "the next page after {:?} begins at {next:?}", query.after);
    query.after = Some(next);
    Ok(true)
}

pub(super) fn names(sessions: &[ListedSession]) -> Vec<&str> {
    sessions.iter().map(|session| session.id.as_str()).collect()
}

/// Checks that the listing has exactly these sessions, in this order, with their heads and labels,
/// for several page sizes.
pub(super) async fn lists(t: &Fixture, query: &ListQuery, expected: &[&str]) -> Checked {
    for limit in [1, 2, 3, 100, 0] {
        let mut query = query.clone();
        query.limit = limit;
        let found = walked(t, query.clone()).await?;
        ensure_eq!(names(&found), expected, "the ids listed with {query:?}");
        for session in found {
            let loaded = t.all(&session.id).await?;
            let name = session.id.as_str();
            ensure_eq!(session.head?, loaded.head, "the head listed for {name}");
            ensure!(session.labels == loaded.labels, "other labels are listed for {name}");
        }
    }
    Ok(())
}

/// Creates a session of this owner that is changed at `T + later`.
pub(super) async fn owned(t: &Fixture, name: &str, owner: &str, later: u64) -> Checked<Head> {
    let labels = Op::SetLabels(Labels::owner(owner).title(name));
    t.committed(&id(name)?, at(T + later, creation(vec![append("a"), labels]))).await
}

fn of(owner: &str) -> ListQuery {
    ListQuery::owner(owner, 10)
}

pub(crate) async fn an_owners_sessions_are_listed_newest_first(t: &mut Fixture) -> Checked {
    for (name, owner, later) in [
        ("a", "u", 20),
        ("b", "v", 99),
        ("c", "u", 40),
        ("d", "u", 30),
        ("e", "u", 10),
        ("f", "v", 0),
    ] {
        owned(t, name, owner, later).await?;
    }
    t.create(&id("of-nobody")?, appends(["a"])).await?;
    lists(t, &of("u"), &["c", "d", "a", "e"]).await?;
    lists(t, &of("v"), &["b", "f"]).await?;
    for nobody in ["w", "", "U", "uu"] {
        lists(t, &of(nobody), &[]).await?;
    }
    Ok(())
}

pub(crate) async fn an_owners_sessions_may_be_listed_by_id(t: &mut Fixture) -> Checked {
    for (name, owner, later) in
        [("b", "u", 20), ("a", "u", 10), ("c", "v", 5), ("d", "u", 0), ("aa", "u", 20)]
    {
        owned(t, name, owner, later).await?;
    }
    lists(t, &of("u").by_id(), &["a", "aa", "b", "d"]).await?;
    lists(t, &of("v").by_id(), &["c"]).await?;
    lists(t, &of("w").by_id(), &[]).await?;
    lists(t, &of("u").by_id().after(id("aa")?), &["b", "d"]).await?;
    lists(t, &of("u").by_id().after(id("ab")?), &["b", "d"]).await?;
    Ok(())
}

pub(crate) async fn sessions_changed_at_one_time_are_listed_by_id(t: &mut Fixture) -> Checked {
    for name in ["m", "b", "z", "a", "aa", "c"] {
        owned(t, name, "u", 10).await?;
    }
    owned(t, "y", "u", 11).await?;
    owned(t, "k", "u", 9).await?;
    lists(t, &of("u"), &["y", "a", "aa", "b", "c", "m", "z", "k"]).await
}

pub(crate) async fn every_change_brings_a_session_to_the_front_of_its_owner(
    t: &mut Fixture,
) -> Checked {
    let one = id("one")?;
    let mut head = owned(t, "one", "u", 0).await?;
    let changes = [
        appends(["b"]),
        vec![replace(1, "A")],
        vec![set_app("{}")],
        vec![open("c", CLAIM)],
        vec![close(3, CLAIM, counts(0, 0), "C")],
        vec![remove(1, 1)],
        appends(["d", "e"]),
    ];
    let mut others = Vec::new();
    for (n, ops) in (1..).zip(changes) {
        others.push(format!("other-{n}"));
        owned(t, &others[others.len() - 1], "u", 20 * n).await?;
        let newest_first = || others.iter().rev().map(String::as_str);
        let mut expected: Vec<_> = newest_first().collect();
        expected.insert(1, "one");
        lists(t, &of("u"), &expected).await?;
        head = t.committed(&one, at(T + 20 * n + 10, on(head, ops))).await?;
        let expected: Vec<_> = std::iter::once("one").chain(newest_first()).collect();
        lists(t, &of("u"), &expected).await?;
    }
    // A commit that changes no content does not move the session.
    owned(t, "last", "u", 1000).await?;
    let expected: Vec<_> =
        ["last", "one"].into_iter().chain(others.iter().rev().map(String::as_str)).collect();
    t.store().touch(&one, T + 2000).await?;
    lists(t, &of("u"), &expected).await?;
    let title = Op::SetLabels(Labels::owner("u").title("new"));
    t.committed(&one, at(T + 3000, on(head, vec![title]))).await?;
    lists(t, &of("u"), &expected).await
}

pub(crate) async fn a_session_is_listed_only_for_its_current_owner(t: &mut Fixture) -> Checked {
    owned(t, "a", "u", 10).await?;
    let mut head = owned(t, "b", "u", 20).await?;
    owned(t, "c", "v", 30).await?;
    lists(t, &of("u"), &["b", "a"]).await?;
    let steps: [(Labels, &[&str], &[&str]); 5] = [
        (Labels::owner("v"), &["a"], &["c", "b"]),
        (Labels::NONE.title("no owner"), &["a"], &["c"]),
        (Labels::owner("u").title("back"), &["b", "a"], &["c"]),
        (Labels::owner("u"), &["b", "a"], &["c"]),
        (Labels::NONE, &["a"], &["c"]),
    ];
    for (labels, of_u, of_v) in steps {
        // Also if the same commit changes the content.
        let ops = vec![Op::SetLabels(Labels::owner("w")), Op::SetLabels(labels)];
        head = t.change(&id("b")?, head, ops).await?;
        lists(t, &of("u"), of_u).await?;
        lists(t, &of("v"), of_v).await?;
        lists(t, &of("w"), &[]).await?;
        for (owner, expected) in [("u", of_u), ("v", of_v)] {
            let mut by_id = expected.to_vec();
            by_id.sort_unstable();
            lists(t, &of(owner).by_id(), &by_id).await?;
        }
    }
    let ops = vec![append("new"), Op::SetLabels(Labels::owner("v"))];
    t.committed(&id("b")?, at(T + 40, on(head, ops))).await?;
    lists(t, &of("u"), &["a"]).await?;
    lists(t, &of("v"), &["b", "c"]).await
}

pub(crate) async fn a_deleted_session_is_listed_for_no_owner(t: &mut Fixture) -> Checked {
    for (name, later) in [("a", 10), ("b", 20), ("c", 30)] {
        owned(t, name, "u", later).await?;
    }
    t.store().delete(&id("b")?, DeleteIf::Any).await?;
    lists(t, &of("u"), &["c", "a"]).await?;
    lists(t, &of("u").by_id(), &["a", "c"]).await?;
    t.create(&id("b")?, appends(["new"])).await?;
    lists(t, &of("u"), &["c", "a"]).await?;
    owned(t, "d", "u", 25).await?;
    t.store().delete(&id("c")?, DeleteIf::Any).await?;
    owned(t, "c", "v", 5).await?;
    lists(t, &of("u"), &["d", "a"]).await?;
    lists(t, &of("v"), &["c"]).await
}

pub(crate) async fn similar_owners_are_different_owners(t: &mut Fixture) -> Checked {
    let longest = "o".repeat(Labels::MAX_OWNER_BYTES);
    let owners = [
        "u",
        "U",
        "uu",
        "u\0",
        "u\0\0",
        "\0u",
        "\0",
        "u ",
        " u",
        "u%",
        "_",
        "u/1",
        "ü",
        "u\u{308}",
        "\u{ffff}",
        &longest,
        &longest[1..],
    ];
    // An owner and an id that could be taken for another owner and id when they are joined.
    let ids = ["u", "a", "0", "~", "uu"];
    for (n, owner) in owners.iter().enumerate() {
        for (m, name) in ids.iter().enumerate() {
            let later = ((n * 7 + m * 3) % 5) as u64;
            owned(t, &format!("{name}-{n}"), owner, later).await?;
        }
    }
    for (n, owner) in owners.iter().enumerate() {
        let mut expected: Vec<_> = ids
            .iter()
            .enumerate()
            .map(|(m, name)| (Reverse((n * 7 + m * 3) % 5), format!("{name}-{n}")))
            .collect();
        expected.sort();
        let expected: Vec<_> = expected.iter().map(|(_, name)| name.as_str()).collect();
        let found = walked(t, ListQuery::owner(*owner, 2)).await?;
        ensure_eq!(names(&found), expected, "the sessions of owner {owner:?}");
        let by_id = walked(t, of(owner).by_id()).await?;
        ensure_eq!(by_id.len(), ids.len(), "the number of sessions by id of owner {owner:?}");
        let theirs =
            found.iter().chain(&by_id).all(|session| session.labels.get_owner() == Some(*owner));
        ensure!(theirs, "a session of another owner is listed for owner {owner:?}");
    }
    Ok(())
}

pub(crate) async fn an_owners_list_can_be_limited_to_changed_or_idle_sessions(
    t: &mut Fixture,
) -> Checked {
    for (name, later) in [("a", 10), ("b", 40), ("c", 20), ("d", 30), ("e", 20)] {
        owned(t, name, "u", later).await?;
    }
    owned(t, "f", "v", 25).await?;
    t.store().touch(&id("a")?, T + 100).await?;
    let expectations: [(u64, &[&str]); 6] = [
        (0, &["b", "d", "c", "e", "a"]),
        (T + 11, &["b", "d", "c", "e"]),
        (T + 20, &["b", "d", "c", "e"]),
        (T + 21, &["b", "d"]),
        (T + 40, &["b"]),
        (T + 41, &[]),
    ];
    for (time, expected) in expectations {
        lists(t, &of("u").changed_since(time), expected).await?;
        let mut by_id = expected.to_vec();
        by_id.sort_unstable();
        lists(t, &of("u").by_id().changed_since(time), &by_id).await?;
    }
    lists(t, &of("u").idle_since(T + 30), &["d", "c", "e"]).await?;
    lists(t, &of("u").idle_since(T + 30).changed_since(T + 21), &["d"]).await?;
    lists(t, &of("u").by_id().idle_since(T + 20), &["c", "e"]).await?;
    let all = ListQuery::all(10).changed_since(T + 25);
    lists(t, &all, &["b", "d", "f"]).await?;
    lists(t, &ListQuery::prefix("b", 10).changed_since(T + 25), &["b"]).await
}

/// The session of a cursor may be deleted or listed elsewhere by then.
pub(crate) async fn an_owners_list_continues_after_any_session(t: &mut Fixture) -> Checked {
    for (name, later) in [("b", 10), ("d", 10), ("f", 20), ("h", 30)] {
        owned(t, name, "u", later).await?;
    }
    let expectations: [(u64, &str, &[&str]); 8] = [
        (T + 30, "h", &["f", "b", "d"]),
        (T + 30, "a", &["h", "f", "b", "d"]),
        (T + 25, "zzz", &["f", "b", "d"]),
        (T + 20, "e", &["f", "b", "d"]),
        (T + 10, "b", &["d"]),
        (T + 10, "c", &["d"]),
        (T + 9, "a", &[]),
        (u64::MAX, "z", &["h", "f", "b", "d"]),
    ];
    for (changed_at, after, expected) in expectations {
        let query = of("u").after(ListPlace { changed_at, id: id(after)? });
        lists(t, &query, expected).await?;
    }
    let none = of("u").after(ListPlace { changed_at: 0, id: id("a")? });
    let found = walked(t, none).await?;
    if !found.is_empty() {
        return Err(Failure::new("sessions are listed after the end of the list"));
    }
    Ok(())
}
