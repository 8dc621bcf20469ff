//! Versions change with every commit and never repeat; a failed expectation changes nothing (S3).

use crate::failure::{ensure, ensure_eq};
use crate::fixture::{
    Checked, Fixture, T, append, appends, creation, on, remove, replace, session, set_app,
};
use crate::replying::{CLAIM, close, counts, open, open_again, opening};
use durable_session::store::{
    Commit, CommitOutcome, DeleteIf, Expect, Incarnation, Labels, Op, Version,
};
use std::collections::HashSet;

/// One commit of every kind, in an order in which each is valid.
fn every_sort() -> [Vec<Op>; 10] {
    [
        appends(["a"]),
        appends(["b", "c"]),
        vec![replace(1, "A")],
        vec![remove(2, 2)],
        vec![set_app("{}")],
        vec![append("d"), set_app("{}")],
        vec![Op::SetLabels(Labels::owner("u"))],
        vec![open("e", CLAIM)],
        vec![close(5, CLAIM, counts(0, 0), "E")],
        vec![open_again(5, "e", CLAIM)],
    ]
}

pub(crate) async fn every_commit_makes_a_new_version(t: &mut Fixture) -> Checked {
    let id = session()?;
    let mut seen = HashSet::new();
    let mut head = t.create(&id, Vec::new()).await?;
    seen.insert(head.version);
    for ops in
        every_sort().into_iter().chain([vec![set_app("{}")], vec![replace(1, "A")], Vec::new()])
    {
        head = t.change(&id, head, ops.clone()).await?;
        ensure!(seen.insert(head.version), "the version did not change with {ops:?}");
        ensure_eq!(
            t.all(&id).await?.head.version,
            head.version,
            "the stored version after {ops:?}"
        );
    }
    Ok(())
}

pub(crate) async fn versions_do_not_repeat_when_a_deleted_session_is_created_again(
    t: &mut Fixture,
) -> Checked {
    let id = session()?;
    let mut seen = HashSet::new();
    for creation in 1..=4 {
        let mut head = t.create(&id, Vec::new()).await?;
        ensure!(
            seen.insert(head.version),
            "creation {creation} of a session got a version that was used before"
        );
        for ops in every_sort() {
            head = t.change(&id, head, ops).await?;
            ensure!(
                seen.insert(head.version),
                "a commit after creation {creation} got a version that was used before"
            );
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
        ensure!(seen.insert(head.version), "a version was used twice");
        t.reopen().await?;
        ensure_eq!(t.all(&id).await?.head.version, head.version, "the version after reopening");
        let head = t.change(&id, head, appends(["b"])).await?;
        ensure!(seen.insert(head.version), "a version was used twice");
        t.store().delete(&id, DeleteIf::Any).await?;
        t.reopen().await?;
    }
    Ok(())
}

pub(crate) async fn a_commit_on_an_old_version_conflicts_and_changes_nothing(
    t: &mut Fixture,
) -> Checked {
    let id = session()?;
    let first = t.create(&id, vec![append("a"), set_app("{}")]).await?;
    let second = t.change(&id, first, appends(["b"])).await?;
    let before = t.all(&id).await?;
    let unknown = Version::new(Incarnation::from_bytes([7; 16]), second.version.counter());
    for stale in [first.version, unknown] {
        for ops in every_sort().into_iter().chain([Vec::new(), vec![replace(99, "x")]]) {
            let expect = Expect::Version { version: stale, next_seq: second.next_seq };
            let commit = Commit::new(expect, ops, T + 1_000_000);
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
    let again = Commit::new(Expect::absent(1), appends(["x"]), T + 1_000_000);
    let outcome = t.store().commit(&id, again).await?;
    let conflict = CommitOutcome::Conflict { current: Some(head.version) };
    ensure_eq!(outcome, conflict, "the creation of a session that exists");
    ensure_eq!(t.all(&id).await?, before, "the session after a conflict");
    Ok(())
}

pub(crate) async fn a_commit_on_a_version_of_an_absent_session_conflicts(
    t: &mut Fixture,
) -> Checked {
    let id = session()?;
    let never = Version::new(Incarnation::from_bytes([7; 16]), 1);
    let commit = Commit::new(Expect::Version { version: never, next_seq: 1 }, appends(["x"]), T);
    let outcome = t.store().commit(&id, commit).await?;
    ensure_eq!(
        outcome,
        CommitOutcome::Conflict { current: None },
        "a commit on a version of a session that never existed"
    );
    ensure!(t.maybe_all(&id).await?.is_none(), "a conflict created a session");

    let head = t.create(&id, appends(["a"])).await?;
    t.store().delete(&id, DeleteIf::Any).await?;
    let outcome = t.store().commit(&id, on(head, appends(["x"]))).await?;
    ensure_eq!(
        outcome,
        CommitOutcome::Conflict { current: None },
        "a commit on a deleted session's version"
    );
    ensure!(t.maybe_all(&id).await?.is_none(), "a conflict brought a deleted session back");
    Ok(())
}

pub(crate) async fn a_version_from_before_a_delete_conflicts(t: &mut Fixture) -> Checked {
    let id = session()?;
    let earlier = t.create(&id, appends(["a"])).await?;
    t.store().delete(&id, DeleteIf::Any).await?;
    let now = t.create(&id, appends(["b"])).await?;
    let outcome = t.store().commit(&id, on(earlier, appends(["x"]))).await?;
    let conflict = CommitOutcome::Conflict { current: Some(now.version) };
    ensure_eq!(outcome, conflict, "a commit on a version from before the delete");
    t.holds(&id, &[(1, "b")]).await?;
    Ok(())
}

pub(crate) async fn a_conflict_reports_the_current_version(t: &mut Fixture) -> Checked {
    let id = session()?;
    t.create(&id, appends(["a"])).await?;
    let CommitOutcome::Conflict { current: Some(current) } =
        t.store().commit(&id, creation(appends(["b"]))).await?
    else {
        return Err(crate::Failure::new(
            "the creation of a session that exists is no conflict with its version",
        ));
    };
    let expect = Expect::Version { version: current, next_seq: 2 };
    t.committed(&id, Commit::new(expect, appends(["b"]), T)).await?;
    t.holds(&id, &[(1, "a"), (2, "b")]).await?;
    Ok(())
}

pub(crate) async fn base_moves_with_every_change_except_appends(t: &mut Fixture) -> Checked {
    let id = session()?;
    let mut head = t.create(&id, appends(["a", "b", "c"])).await?;
    ensure_eq!(head.base, head.version, "the base of a new session");
    let changes: [(bool, Vec<Op>); 16] = [
        (false, appends(["d"])),
        (false, appends(["e", "f"])),
        (true, vec![replace(1, "A")]),
        (false, appends(["g"])),
        (true, vec![remove(2, 2)]),
        (true, vec![set_app("{}")]),
        (false, appends(["h"])),
        (true, vec![append("i"), set_app("{}"), append("j")]),
        (false, vec![open("k", CLAIM)]),
        (false, vec![close(11, CLAIM, counts(0, 0), "K"), append("l")]),
        (true, vec![open_again(11, "k", CLAIM)]),
        (true, vec![close_and_reopen(11)]),
        (false, vec![Op::SetLabels(Labels::owner("u"))]),
        (false, vec![append("m"), Op::SetLabels(Labels::NONE)]),
        (true, Vec::new()),
        (true, vec![remove(99, 99)]),
    ];
    for (moves, ops) in changes {
        let before = head.base;
        head = t.change(&id, head, ops.clone()).await?;
        let expected = if moves { head.version } else { before };
        ensure_eq!(head.base, expected, "the base after {ops:?}");
        ensure_eq!(t.all(&id).await?.head, head, "the stored head after {ops:?}");
    }
    Ok(())
}

/// A close of a reply without chunks that opens the next reply.
fn close_and_reopen(seq: u64) -> Op {
    Op::Close { seq, claim: CLAIM, counts: counts(0, 0), message: opening("again", CLAIM) }
}

pub(crate) async fn closed_moves_with_every_close_and_nothing_else(t: &mut Fixture) -> Checked {
    let id = session()?;
    let mut head = t.create(&id, vec![append("a"), open("b", CLAIM), open("c", CLAIM)]).await?;
    ensure_eq!(head.closed, head.version, "closed of a new session");
    let changes: [(bool, Vec<Op>); 11] = [
        (false, appends(["d"])),
        (false, vec![open("e", CLAIM)]),
        (true, vec![close(2, CLAIM, counts(0, 0), "B")]),
        (false, vec![replace(3, "C")]),
        (false, vec![remove(3, 3)]),
        (true, vec![close_and_reopen(5)]),
        (false, vec![open_again(5, "e", CLAIM)]),
        (false, vec![set_app("{}"), Op::SetLabels(Labels::owner("u"))]),
        (false, Vec::new()),
        (true, vec![append("f"), close(5, CLAIM, counts(0, 0), "E"), set_app("[]")]),
        (false, appends(["g"])),
    ];
    for (moves, ops) in changes {
        let before = head.closed;
        head = t.change(&id, head, ops.clone()).await?;
        let expected = if moves { head.version } else { before };
        ensure_eq!(head.closed, expected, "closed after {ops:?}");
        ensure_eq!(t.all(&id).await?.head, head, "the stored head after {ops:?}");
    }
    Ok(())
}

pub(crate) async fn closed_survives_reopening(t: &mut Fixture) -> Checked {
    let id = session()?;
    let head = t.create(&id, vec![open("a", CLAIM), open("b", CLAIM)]).await?;
    let head = t.change(&id, head, vec![close(1, CLAIM, counts(0, 0), "A")]).await?;
    let head = t.change(&id, head, appends(["c"])).await?;
    let closed = head.closed;
    for ops in [vec![replace(1, "A2")], appends(["d"])] {
        t.reopen().await?;
        let now = t.all(&id).await?.head;
        let after = t.change(&id, now, ops).await?;
        ensure_eq!(after.closed, closed, "closed after commits without a close");
        t.reopen().await?;
        ensure_eq!(t.all(&id).await?.head, after, "the head after reopening");
    }
    let now = t.all(&id).await?.head;
    let after = t.change(&id, now, vec![close(2, CLAIM, counts(0, 0), "B")]).await?;
    t.reopen().await?;
    ensure_eq!(t.all(&id).await?.head, after, "the head after a close and reopening");
    ensure_eq!(after.closed, after.version, "closed after a close");
    Ok(())
}

pub(crate) async fn a_commit_that_expects_another_next_seq_conflicts(t: &mut Fixture) -> Checked {
    let id = session()?;
    let head = t.create(&id, appends(["a", "b"])).await?;
    let head = t.change(&id, head, vec![remove(2, 2)]).await?;
    let before = t.all(&id).await?;
    for next_seq in [0, 1, 2, 4, u64::MAX] {
        for ops in every_sort().into_iter().chain([Vec::new(), vec![replace(99, "x")]]) {
            let expect = Expect::Version { version: head.version, next_seq };
            let outcome = t.store().commit(&id, Commit::new(expect, ops, T + 1_000_000)).await?;
            let conflict = CommitOutcome::Conflict { current: Some(head.version) };
            ensure_eq!(outcome, conflict, "a commit that expects the next message at {next_seq}");
            ensure_eq!(t.all(&id).await?, before, "the session after a conflict");
        }
    }
    t.change(&id, head, appends(["c"])).await?;
    t.holds(&id, &[(1, "a"), (3, "c")]).await?;
    Ok(())
}

/// A creation with an incarnation that the caller drew.
fn created_as(incarnation: Incarnation) -> Commit {
    Commit::new(Expect::Absent { created_at: T, incarnation: Some(incarnation) }, appends(["a"]), T)
}

pub(crate) async fn a_session_has_the_incarnation_that_its_creation_gives(
    t: &mut Fixture,
) -> Checked {
    for (n, bytes) in [*b"0123456789abcdef", [0; 16], [255; 16]].into_iter().enumerate() {
        let id = crate::fixture::id(&format!("session-{n}"))?;
        let given = Incarnation::from_bytes(bytes);
        let head = t.committed(&id, created_as(given)).await?;
        // The first half may be mixed with the salt (S12).
        ensure_eq!(
            head.version.incarnation().life(),
            given.life(),
            "the incarnation of a new session"
        );
        let head = t.change(&id, head, vec![replace(1, "A")]).await?;
        ensure_eq!(
            head.version.incarnation().life(),
            given.life(),
            "the incarnation after a change"
        );
        ensure_eq!(t.all(&id).await?.head, head, "the stored head");
    }
    let mut lives = HashSet::new();
    for name in ["one", "two", "three"] {
        let head = t.create(&crate::fixture::id(name)?, Vec::new()).await?;
        let life = head.version.incarnation().life();
        ensure!(
            lives.insert(life),
            "two sessions created without a given incarnation have the same one"
        );
    }
    Ok(())
}

pub(crate) async fn a_given_incarnation_survives_reopening(t: &mut Fixture) -> Checked {
    let id = session()?;
    let given = Incarnation::from_bytes(*b"0123456789abcdef");
    let head = t.committed(&id, created_as(given)).await?;
    t.reopen().await?;
    ensure_eq!(t.all(&id).await?.head, head, "the head after reopening");
    let head = t.change(&id, head, vec![set_app("{}")]).await?;
    ensure_eq!(
        head.version.incarnation().life(),
        given.life(),
        "the incarnation after reopening and a change"
    );
    Ok(())
}

pub(crate) async fn base_survives_reopening(t: &mut Fixture) -> Checked {
    let id = session()?;
    let head = t.create(&id, appends(["a", "b"])).await?;
    let head = t.change(&id, head, vec![replace(1, "A")]).await?;
    let head = t.change(&id, head, appends(["c"])).await?;
    t.reopen().await?;
    ensure_eq!(t.all(&id).await?.head, head, "the head after reopening");
    let grown = t.change(&id, head, appends(["d"])).await?;
    ensure_eq!(grown.base, head.base, "the base after an append");
    Ok(())
}
