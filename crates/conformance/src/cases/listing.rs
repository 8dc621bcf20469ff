//! A listing shows every session once, with its own head (S9). Its filters follow S5 and S6.

use crate::Failure;
use crate::failure::{ensure, ensure_eq};
use crate::fixture::{Checked, Fixture, T, append, appends, at, creation, id};
use durable_session::SessionId;
use durable_session::store::{DeleteIf, Labels, ListQuery, ListedSession, Op, StoreErrorKind};

/// The sessions of all pages. Checks the limit of each page, and that the listing ends.
async fn listed(t: &Fixture, mut query: ListQuery) -> Checked<Vec<ListedSession>> {
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
        all.extend(page.sessions);
        if let Some((a, b)) =
            all.iter().zip(all.iter().skip(1)).find(|(a, b)| a.id.as_str() >= b.id.as_str())
        {
            return Err(Failure::new(format_args!(
                "{} is listed before {}",
                a.id.as_str(),
                b.id.as_str()
            )));
        }
        let Some(next) = page.next else { return Ok(all) };
        let moves = query.after.as_ref().is_none_or(|after| after.id < next.id);
        ensure!(moves, "the next page after {:?} begins at {next:?}", query.after);
        query.after = Some(next);
    }
}

async fn ids(t: &Fixture, query: ListQuery) -> Checked<Vec<String>> {
    Ok(listed(t, query).await?.into_iter().map(|session| session.id.as_str().to_owned()).collect())
}

async fn create_all<'a>(t: &Fixture, names: impl IntoIterator<Item = &'a str>) -> Checked {
    for name in names {
        t.create(&id(name)?, appends([name])).await?;
    }
    Ok(())
}

pub(crate) async fn a_listing_shows_every_session_once(t: &mut Fixture) -> Checked {
    ensure_eq!(
        ids(t, ListQuery::all(10)).await?,
        Vec::<String>::new(),
        "the listing of an empty store"
    );
    let mut expected = super::isolation::look_alikes()?;
    for (n, id) in expected.iter().enumerate() {
        let texts = vec!["x"; n % 3];
        t.create(id, appends(texts)).await?;
    }
    expected.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    for limit in [1, 2, 3, 7, 1000, 0] {
        let found = listed(t, ListQuery::all(limit)).await?;
        let found_ids: Vec<&SessionId> = found.iter().map(|session| &session.id).collect();
        ensure_eq!(
            found_ids,
            expected.iter().collect::<Vec<_>>(),
            "the ids listed {limit} to a page"
        );
        for session in found {
            let head = t.all(&session.id).await?.head;
            ensure_eq!(session.head?, head, "the head listed for {}", session.id.as_str());
        }
    }
    Ok(())
}

pub(crate) async fn a_listing_follows_every_change(t: &mut Fixture) -> Checked {
    let one = id("one")?;
    let head = t.create(&one, appends(["a"])).await?;
    t.create(&id("two")?, appends(["b"])).await?;
    t.change(&one, head, appends(["c", "d"])).await?;
    t.store().touch(&one, T + 100).await?;
    let found = listed(t, ListQuery::all(10)).await?;
    let Some(first) = found.into_iter().next() else {
        return Err(Failure::new("a session is missing from the listing"));
    };
    ensure_eq!(
        (first.id.as_str(), first.head?),
        ("one", t.all(&one).await?.head),
        "the session listed first"
    );
    t.store().delete(&one, DeleteIf::Any).await?;
    ensure_eq!(ids(t, ListQuery::all(10)).await?, ["two"], "the ids listed after a delete");
    t.create(&one, Vec::new()).await?;
    ensure_eq!(
        ids(t, ListQuery::all(10)).await?,
        ["one", "two"],
        "the ids listed after a re-creation"
    );
    Ok(())
}

pub(crate) async fn a_listing_can_be_limited_to_an_id_prefix(t: &mut Fixture) -> Checked {
    create_all(
        t,
        ["a", "ab", "ab-1", "ab-2", "ab.", "abc", "ac", "b", "A", "aB", "a_b", "a*", "~", "~~"],
    )
    .await?;
    let expectations: [(&str, &[&str]); 10] = [
        ("ab", &["ab", "ab-1", "ab-2", "ab.", "abc"]),
        ("ab-", &["ab-1", "ab-2"]),
        ("abc", &["abc"]),
        ("abcd", &[]),
        ("A", &["A"]),
        ("a_", &["a_b"]),
        ("a*", &["a*"]),
        ("~", &["~", "~~"]),
        ("~~", &["~~"]),
        ("B", &[]),
    ];
    for (prefix, expected) in expectations {
        for limit in [1, 2, 100] {
            let found = ids(t, ListQuery::prefix(prefix, limit)).await?;
            ensure_eq!(found, expected, "the ids listed with prefix {prefix:?}, {limit} to a page");
        }
    }
    Ok(())
}

pub(crate) async fn a_listing_continues_after_any_id(t: &mut Fixture) -> Checked {
    create_all(t, ["b", "d", "da", "db", "f"]).await?;
    let expectations: [(&str, &str, &[&str]); 8] = [
        ("", "a", &["b", "d", "da", "db", "f"]),
        ("", "b", &["d", "da", "db", "f"]),
        ("", "c", &["d", "da", "db", "f"]),
        ("", "f", &[]),
        ("d", "a", &["d", "da", "db"]),
        ("d", "d", &["da", "db"]),
        ("d", "da0", &["db"]),
        ("d", "e", &[]),
    ];
    for (prefix, after, expected) in expectations {
        let query = ListQuery::prefix(prefix, 2).after(id(after)?);
        let found = ids(t, query).await?;
        ensure_eq!(found, expected, "the ids listed with prefix {prefix:?} after {after}");
    }
    Ok(())
}

pub(crate) async fn a_listing_can_be_limited_to_idle_sessions(t: &mut Fixture) -> Checked {
    for (name, later) in [("a", 10), ("b", 20), ("c", 30), ("d", 10), ("e", 20)] {
        t.committed(&id(name)?, at(T + later, creation(vec![append(name)]))).await?;
    }
    t.store().touch(&id("d")?, T + 40).await?;
    let expectations: [(u64, &[&str]); 7] = [
        (0, &[]),
        (T + 9, &[]),
        (T + 10, &["a"]),
        (T + 20, &["a", "b", "e"]),
        (T + 39, &["a", "b", "c", "e"]),
        (T + 40, &["a", "b", "c", "d", "e"]),
        (u64::MAX, &["a", "b", "c", "d", "e"]),
    ];
    for (time, expected) in expectations {
        for limit in [1, 2, 100] {
            let query = ListQuery::all(limit).idle_since(time);
            ensure_eq!(
                ids(t, query).await?,
                expected,
                "the ids of sessions idle since {time}, {limit} to a page"
            );
        }
    }
    Ok(())
}

pub(crate) async fn existing_sessions_are_listed_once_while_others_are_created_and_deleted(
    t: &mut Fixture,
) -> Checked {
    let stay: Vec<_> = (0..20).map(|n| format!("stay-{n:02}")).collect();
    let go: Vec<_> = (0..20).map(|n| format!("stay-{n:02}-go")).collect();
    create_all(t, stay.iter().chain(&go).map(String::as_str)).await?;
    let list = t.list()?;
    let mut query = ListQuery::all(3);
    let mut found = Vec::new();
    let mut go = go.iter().rev();
    for n in 0.. {
        let page = list.list(&query).await?;
        found.extend(page.sessions.into_iter().map(|session| session.id.as_str().to_owned()));
        let Some(next) = page.next else { break };
        // The session after which the next page begins may be deleted by then.
        t.store().delete(&next.id, DeleteIf::Any).await?;
        found.retain(|name| name != next.id.as_str());
        for name in go.by_ref().take(2) {
            t.store().delete(&id(name)?, DeleteIf::Any).await?;
        }
        create_all(
            t,
            [format!("a-{n}"), format!("z-{n}"), format!("stay-{n:02}-new")]
                .iter()
                .map(String::as_str),
        )
        .await?;
        query.after = Some(next);
    }
    let mut kept = Vec::new();
    for name in &stay {
        if t.maybe_all(&id(name)?).await?.is_some() {
            kept.push(name.as_str());
        }
    }
    let found: Vec<_> =
        found.iter().map(String::as_str).filter(|name| name.len() == "stay-00".len()).collect();
    ensure_eq!(found, kept, "the sessions that were there throughout");
    Ok(())
}

pub(crate) async fn a_listing_survives_reopening(t: &mut Fixture) -> Checked {
    create_all(t, ["a", "b", "c"]).await?;
    t.store().delete(&id("b")?, DeleteIf::Any).await?;
    t.reopen().await?;
    ensure_eq!(ids(t, ListQuery::all(2)).await?, ["a", "c"], "the ids listed after reopening");
    Ok(())
}

pub(crate) async fn a_listing_marks_damaged_sessions(t: &mut Fixture) -> Checked {
    for name in ["a", "b", "c"] {
        let labels = Op::SetLabels(Labels::owner("u").title(name));
        t.create(&id(name)?, vec![append(name), labels]).await?;
    }
    t.corrupt_head(&id("b")?).await?;
    for query in [ListQuery::all(1), ListQuery::all(10).idle_since(T)] {
        let mut names = Vec::new();
        for session in listed(t, query).await? {
            names.push(session.id.as_str().to_owned());
            match session.head {
                Ok(_) => {
                    ensure!(
                        session.id.as_str() != "b",
                        "a damaged head is listed without its damage"
                    );
                    let title = Some(session.id.as_str());
                    ensure_eq!(
                        session.labels.get_title(),
                        title,
                        "the title of an undamaged session"
                    );
                }
                Err(error) => {
                    ensure_eq!(
                        error.kind(),
                        StoreErrorKind::Corrupt,
                        "the error of a damaged head"
                    );
                    ensure_eq!(session.id.as_str(), "b", "the session that is listed as damaged");
                    ensure!(session.labels.is_empty(), "a damaged session is listed with labels");
                }
            }
        }
        ensure_eq!(names, ["a", "b", "c"], "the ids listed");
    }
    let query = ListQuery::all(10).idle_since(T - 1);
    ensure_eq!(
        ids(t, query).await?,
        ["b"],
        "the ids listed when only the damaged session may be idle"
    );
    let query = ListQuery::all(10).changed_since(T + 1);
    ensure_eq!(
        ids(t, query).await?,
        ["b"],
        "the ids listed when only the damaged one may have changed"
    );
    Ok(())
}
