//! No session shows in another, changes it or affects its calls (S9).

use crate::failure::{ensure, ensure_eq};
use crate::fixture::{
    Checked, Fixture, T, append, appends, body, creation, id, on, range, remove, replace, set_app,
};
use durable_session::SessionId;
use durable_session::store::{CommitOutcome, DeleteIf, Head};
use futures_util::future::join_all;

/// Ids that a wrong key, pattern, path or comparison would mix up.
pub(crate) fn look_alikes() -> Checked<Vec<SessionId>> {
    let long = "x".repeat(255);
    let mut ids: Vec<String> =
        ["a", "aa", "aaa", "a.", "a-", "a_", "a:", "a0", "a1", "a10", "A", "aA", "b", "_", "*"]
            .map(str::to_owned)
            .to_vec();
    ids.extend(
        [
            "a.b", "...", "~", "!", "'", "\"", "a'b", "a;b", "[a]", "{a}", "a&b", "0", "00", "1",
            "-1", "null",
        ]
        .map(str::to_owned),
    );
    ids.extend([long.clone(), format!("{long}x"), format!("{long}y"), format!("{long}.")]);
    ids.iter().map(|text| id(text)).collect()
}

pub(crate) async fn similar_ids_are_different_sessions(t: &mut Fixture) -> Checked {
    let ids = look_alikes()?;
    let mut heads = Vec::new();
    for id in &ids {
        heads.push(
            t.create(id, vec![append(id.as_str()), append("second"), set_app(id.as_str())]).await?,
        );
    }
    for (id, head) in ids.iter().zip(&heads) {
        let loaded = t.holds(id, &[(1, id.as_str()), (2, "second")]).await?;
        ensure_eq!(loaded.head, *head, "the head of {}", id.as_str());
        ensure_eq!(loaded.app, body(id.as_str()), "the app state of {}", id.as_str());
        let Some(salvaged) = t.store().salvage(id, range(0, u64::MAX)).await? else {
            return Err(crate::Failure::new(format_args!("salvage did not find {}", id.as_str())));
        };
        ensure_eq!(
            salvaged.rows,
            loaded.tail,
            "the messages that salvage returns for {}",
            id.as_str()
        );
    }
    Ok(())
}

pub(crate) async fn changing_one_session_changes_no_other(t: &mut Fixture) -> Checked {
    let ids = look_alikes()?;
    for id in &ids {
        t.create(id, vec![append("a"), append("b"), set_app("{}")]).await?;
    }
    for (n, id) in ids.iter().enumerate() {
        let mut before = Vec::new();
        for other in ids.iter().filter(|other| *other != id) {
            before.push((other, t.maybe_all(other).await?));
        }
        let head = t.all(id).await?.head;
        match n % 4 {
            0 => drop(t.store().delete(id, DeleteIf::Any).await?),
            1 => drop(t.change(id, head, vec![remove(1, u64::MAX), set_app("x")]).await?),
            2 => t.store().touch(id, T + 100).await?,
            _ => drop(t.change(id, head, vec![replace(1, "A"), append("c")]).await?),
        }
        for (other, before) in before {
            let names = (id.as_str(), other.as_str());
            ensure!(
                t.maybe_all(other).await? == before,
                "a change of {} changed {}",
                names.0,
                names.1
            );
        }
    }
    Ok(())
}

pub(crate) async fn concurrent_commits_to_different_sessions_all_succeed(
    t: &mut Fixture,
) -> Checked {
    let ids = ["one", "two", "three"].map(id).into_iter().collect::<Checked<Vec<_>>>()?;
    let store = t.store();
    let mut heads: Vec<Option<Head>> = vec![None; ids.len()];
    for round in 0..20 {
        let text = round.to_string();
        let commits = ids.iter().zip(&heads).map(|(id, head)| {
            let ops = vec![append(&format!("{} {text}", id.as_str()))];
            store.commit(
                id,
                head.map_or_else(|| creation(ops.clone()), |head| on(head, ops.clone())),
            )
        });
        let outcomes = join_all(commits).await;
        for (head, outcome) in heads.iter_mut().zip(outcomes) {
            let CommitOutcome::Committed(committed) = outcome? else {
                return Err(crate::Failure::new("a valid commit was refused"));
            };
            *head = Some(committed);
        }
    }
    for id in &ids {
        let texts: Vec<_> = (0..20).map(|round| format!("{} {round}", id.as_str())).collect();
        let expected: Vec<_> = (1..).zip(texts.iter().map(String::as_str)).collect();
        t.holds(id, &expected).await?;
    }
    Ok(())
}

pub(crate) async fn a_refused_request_affects_no_other_session(t: &mut Fixture) -> Checked {
    let store = t.store();
    let (stale, missing, exists) = (id("stale")?, id("missing")?, id("exists")?);
    let old = t.create(&stale, appends(["a"])).await?;
    t.change(&stale, old, appends(["b"])).await?;
    let here = t.create(&missing, appends(["a"])).await?;
    t.create(&exists, appends(["a"])).await?;
    for round in 0..8 {
        let (one, two) = (id(&format!("one-{round}"))?, id(&format!("two-{round}"))?);
        let (first, a, b, c, last) = futures_util::future::join5(
            store.commit(&one, creation(appends(["1"]))),
            store.commit(&stale, on(old, vec![append("x"), set_app("x")])),
            store.commit(&missing, on(here, vec![append("x"), replace(9, "x")])),
            store.commit(&exists, creation(appends(["x"]))),
            store.commit(&two, creation(appends(["2"]))),
        )
        .await;
        ensure!(
            matches!(first?, CommitOutcome::Committed(_)),
            "a valid commit before refused ones was refused"
        );
        ensure!(
            matches!(a?, CommitOutcome::Conflict { .. }),
            "a commit on an old version was not refused"
        );
        ensure!(
            matches!(b?, CommitOutcome::NoSuchSeq { .. }),
            "replacing an absent message was not refused"
        );
        ensure!(
            matches!(c?, CommitOutcome::Conflict { .. }),
            "creating an existing session was not refused"
        );
        ensure!(
            matches!(last?, CommitOutcome::Committed(_)),
            "a valid commit after refused ones was refused"
        );
        t.holds(&one, &[(1, "1")]).await?;
        t.holds(&two, &[(1, "2")]).await?;
    }
    t.holds(&stale, &[(1, "a"), (2, "b")]).await?;
    t.holds(&missing, &[(1, "a")]).await?;
    t.holds(&exists, &[(1, "a")]).await?;
    Ok(())
}
