//! Versions change with every commit and never repeat; a failed expectation changes nothing (S3).

use crate::failure::{ensure, ensure_eq};
use crate::fixture::{Checked, Fixture, T, append, appends, creation, on, remove, replace, session, set_app};
use durable_session::store::{Commit, CommitOutcome, DeleteIf, Expect, Incarnation, Op, Version};
use std::collections::HashSet;

/// One commit of every sort, in an order in which each is possible.
fn every_sort() -> [Vec<Op>; 6] {
    [
        appends(["a"]),
        appends(["b", "c"]),
        vec![replace(1, "A")],
        vec![remove(2, 2)],
        vec![set_app("{}")],
        vec![append("d"), set_app("{}")],
    ]
}

pub(crate) async fn every_commit_makes_a_new_version(t: &mut Fixture) -> Checked {
    let id = session()?;
    let mut seen = HashSet::new();
    let mut version = t.create(&id, Vec::new()).await?.version;
    seen.insert(version);
    for ops in every_sort().into_iter().chain([vec![set_app("{}")], vec![replace(1, "A")], Vec::new()]) {
        version = t.change(&id, version, ops.clone()).await?.version;
        ensure!(seen.insert(version), "the version did not change with {ops:?}");
        ensure_eq!(t.all(&id).await?.head.version, version, "the stored version after {ops:?}");
    }
    Ok(())
}

pub(crate) async fn versions_do_not_repeat_after_delete_and_re_creation(t: &mut Fixture) -> Checked {
    let id = session()?;
    let mut seen = HashSet::new();
    for life in 1..=4 {
        let mut version = t.create(&id, Vec::new()).await?.version;
        ensure!(seen.insert(version), "life {life} of a session began with a version of an earlier one");
        for ops in every_sort() {
            version = t.change(&id, version, ops).await?.version;
            ensure!(seen.insert(version), "life {life} of a session got a version of an earlier one");
        }
        t.store().delete(&id, DeleteIf::Any).await?;
    }
    Ok(())
}

pub(crate) async fn versions_do_not_repeat_across_reopening(t: &mut Fixture) -> Checked {
    let id = session()?;
    let mut seen = HashSet::new();
    for _ in 0..3 {
        let head = t.create(&id, appends(["a"])).await?;
        ensure!(seen.insert(head.version), "a version came again");
        t.reopen().await?;
        ensure_eq!(t.all(&id).await?.head.version, head.version, "the version after reopening");
        let head = t.change(&id, head.version, appends(["b"])).await?;
        ensure!(seen.insert(head.version), "a version came again");
        t.store().delete(&id, DeleteIf::Any).await?;
        t.reopen().await?;
    }
    Ok(())
}

pub(crate) async fn a_commit_on_an_old_version_conflicts_and_changes_nothing(t: &mut Fixture) -> Checked {
    let id = session()?;
    let first = t.create(&id, vec![append("a"), set_app("{}")]).await?;
    let second = t.change(&id, first.version, appends(["b"])).await?;
    let before = t.all(&id).await?;
    let unknown = Version::new(Incarnation::from_bytes([7; 16]), second.version.counter());
    for stale in [first.version, unknown] {
        for ops in every_sort().into_iter().chain([Vec::new(), vec![replace(99, "x")]]) {
            let commit = Commit { at: T + 1_000_000, ..on(stale, ops) };
            let outcome = t.store().commit(&id, commit).await?;
            let conflict = CommitOutcome::Conflict { current: Some(second.version) };
            ensure_eq!(outcome, conflict, "a commit on a version that is not the current one");
            ensure_eq!(t.all(&id).await?, before, "the session after a conflict");
        }
    }
    Ok(())
}

pub(crate) async fn creating_a_session_that_exists_conflicts(t: &mut Fixture) -> Checked {
    let id = session()?;
    let head = t.create(&id, appends(["a"])).await?;
    let before = t.all(&id).await?;
    let again = Commit { expect: Expect::Absent { created_at: 1 }, ops: appends(["x"]), at: T + 1_000_000 };
    let outcome = t.store().commit(&id, again).await?;
    let conflict = CommitOutcome::Conflict { current: Some(head.version) };
    ensure_eq!(outcome, conflict, "the creation of a session that exists");
    ensure_eq!(t.all(&id).await?, before, "the session after a conflict");
    Ok(())
}

pub(crate) async fn a_commit_on_a_version_of_an_absent_session_conflicts(t: &mut Fixture) -> Checked {
    let id = session()?;
    let never = Version::new(Incarnation::from_bytes([7; 16]), 1);
    let outcome = t.store().commit(&id, on(never, appends(["x"]))).await?;
    ensure_eq!(outcome, CommitOutcome::Conflict { current: None }, "a commit on a version of nothing");
    ensure!(t.maybe_all(&id).await?.is_none(), "a conflict created a session");

    let head = t.create(&id, appends(["a"])).await?;
    t.store().delete(&id, DeleteIf::Any).await?;
    let outcome = t.store().commit(&id, on(head.version, appends(["x"]))).await?;
    ensure_eq!(outcome, CommitOutcome::Conflict { current: None }, "a commit on a deleted session's version");
    ensure!(t.maybe_all(&id).await?.is_none(), "a conflict brought a deleted session back");
    Ok(())
}

pub(crate) async fn a_version_of_an_earlier_life_conflicts(t: &mut Fixture) -> Checked {
    let id = session()?;
    let earlier = t.create(&id, appends(["a"])).await?;
    t.store().delete(&id, DeleteIf::Any).await?;
    let now = t.create(&id, appends(["b"])).await?;
    let outcome = t.store().commit(&id, on(earlier.version, appends(["x"]))).await?;
    let conflict = CommitOutcome::Conflict { current: Some(now.version) };
    ensure_eq!(outcome, conflict, "a commit on a version of an earlier life");
    t.holds(&id, &[(1, "b")]).await?;
    Ok(())
}

pub(crate) async fn a_conflict_tells_the_version_to_go_on_with(t: &mut Fixture) -> Checked {
    let id = session()?;
    t.create(&id, appends(["a"])).await?;
    let CommitOutcome::Conflict { current: Some(current) } =
        t.store().commit(&id, creation(appends(["b"]))).await?
    else {
        return Err(crate::Failure::new(
            "the creation of a session that exists is no conflict with its version",
        ));
    };
    t.change(&id, current, appends(["b"])).await?;
    t.holds(&id, &[(1, "a"), (2, "b")]).await?;
    Ok(())
}

pub(crate) async fn base_moves_with_every_change_but_appends(t: &mut Fixture) -> Checked {
    let id = session()?;
    let mut head = t.create(&id, appends(["a", "b", "c"])).await?;
    ensure_eq!(head.base, head.version, "the base of a new session");
    let changes: [(bool, Vec<Op>); 8] = [
        (false, appends(["d"])),
        (false, appends(["e", "f"])),
        (true, vec![replace(1, "A")]),
        (false, appends(["g"])),
        (true, vec![remove(2, 2)]),
        (true, vec![set_app("{}")]),
        (false, appends(["h"])),
        (true, vec![append("i"), set_app("{}"), append("j")]),
    ];
    for (moves, ops) in changes {
        let before = head.base;
        head = t.change(&id, head.version, ops.clone()).await?;
        let expected = if moves { head.version } else { before };
        ensure_eq!(head.base, expected, "the base after {ops:?}");
        ensure_eq!(t.all(&id).await?.head, head, "the stored head after {ops:?}");
    }
    Ok(())
}

pub(crate) async fn base_survives_reopening(t: &mut Fixture) -> Checked {
    let id = session()?;
    let head = t.create(&id, appends(["a", "b"])).await?;
    let head = t.change(&id, head.version, vec![replace(1, "A")]).await?;
    let head = t.change(&id, head.version, appends(["c"])).await?;
    t.reopen().await?;
    ensure_eq!(t.all(&id).await?.head, head, "the head after reopening");
    let grown = t.change(&id, head.version, appends(["d"])).await?;
    ensure_eq!(grown.base, head.base, "the base after an append");
    Ok(())
}
