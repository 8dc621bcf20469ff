//! Loads with a known version, openings, and versions after a restored backup (S12).

use crate::Failure;
use crate::failure::{ensure, ensure_eq};
use crate::fixture::{
    Checked, EVERYTHING, Fixture, append, appends, id, on, remove, replace, rows, session, set_app,
};
use crate::replying::{CLAIM, close, counts, open};
use durable_session::SessionId;
use durable_session::store::{
    CommitOutcome, DeleteIf, DeleteOutcome, Expect, Head, Incarnation, Labels, LoadOutcome,
    LoadQuery, Loaded, Op, Version,
};
use std::collections::HashSet;

/// Checks the answer of a load that knows the version `known`: `Unchanged` only if `now` has this
/// version, and the whole session otherwise.
async fn ask(t: &Fixture, id: &SessionId, known: Version, now: Option<&Loaded>) -> Checked {
    let outcome = t.store().load(id, LoadQuery::new(EVERYTHING).unless(known)).await?;
    match (outcome, now) {
        (LoadOutcome::Absent, None) => Ok(()),
        (LoadOutcome::Unchanged, Some(now)) => {
            ensure_eq!(known, now.head.version, "the version that a load called unchanged");
            Ok(())
        }
        (LoadOutcome::Loaded(loaded), Some(now)) => {
            ensure!(loaded == *now, "a load with a known version returned another session");
            Ok(())
        }
        (outcome, now) => {
            Err(Failure::new(format_args!("a load answered {outcome:?}; stored is {now:?}")))
        }
    }
}

pub(crate) async fn a_load_with_a_known_version_is_unchanged_or_complete(
    t: &mut Fixture,
) -> Checked {
    let id = session()?;
    let mut head = t.create(&id, vec![append("a"), append("b")]).await?;
    let mut known =
        vec![Version::new(Incarnation::from_bytes([7; 16]), head.version.counter()), head.version];
    let changes = [
        appends(["c"]),
        vec![replace(1, "A")],
        vec![set_app("{}")],
        vec![Op::SetLabels(Labels::owner("u").title("t"))],
        vec![open("d", CLAIM)],
        vec![close(4, CLAIM, counts(0, 0), "D")],
        vec![remove(2, 2)],
        Vec::new(),
    ];
    for ops in changes {
        head = t.change(&id, head, ops).await?;
        known.push(head.version);
        let now = t.all(&id).await?;
        for &version in &known {
            ask(t, &id, version, Some(&now)).await?;
        }
    }
    t.store().delete(&id, DeleteIf::Any).await?;
    for &version in &known {
        ask(t, &id, version, None).await?;
    }
    t.create(&id, appends(["created again"])).await?;
    let now = t.all(&id).await?;
    for version in known {
        ask(t, &id, version, Some(&now)).await?;
    }
    Ok(())
}

pub(crate) async fn all_handles_of_a_store_have_the_same_opening(t: &mut Fixture) -> Checked {
    let opening = t.store().opening()?;
    t.create(&session()?, appends(["a"])).await?;
    for store in [t.store(), t.store()] {
        ensure_eq!(store.opening()?.id(), opening.id(), "the opening of another handle");
        ensure_eq!(store.opening()?.id(), opening.id(), "the opening when it is asked for again");
    }
    Ok(())
}

pub(crate) async fn reopening_a_store_makes_a_new_opening(t: &mut Fixture) -> Checked {
    let mut seen = HashSet::new();
    ensure!(seen.insert(t.store().opening()?.id()), "the first opening");
    for _ in 0..3 {
        t.reopen().await?;
        let opening = t.store().opening()?.id();
        ensure!(seen.insert(opening), "a store that was opened again has an earlier opening");
        ensure_eq!(t.store().opening()?.id(), opening, "the opening when it is asked for again");
    }
    Ok(())
}

pub(crate) async fn the_declared_sharing_of_a_store_stays_the_same(t: &mut Fixture) -> Checked {
    let store = t.store();
    let declared = store.sharing();
    let mut head = t.create(&session()?, appends(["a"])).await?;
    for _ in 0..5 {
        head = t.change(&session()?, head, appends(["b"])).await?;
        ensure_eq!(
            (store.sharing(), t.store().sharing()),
            (declared, declared),
            "the declaration of the store"
        );
    }
    Ok(())
}

/// A session without its versions, which a restore changes, and the distances between them.
fn but_versions(mut loaded: Loaded) -> (Loaded, [u64; 2]) {
    let Head { version, base, closed, .. } = loaded.head;
    let steps = [base, closed].map(|earlier| version.counter() - earlier.counter());
    let unknown = Version::new(Incarnation::from_bytes([0; 16]), 0);
    loaded.head = Head { version: unknown, base: unknown, closed: unknown, ..loaded.head };
    (loaded, steps)
}

pub(crate) async fn a_restored_backup_has_the_sessions_of_the_backup(t: &mut Fixture) -> Checked {
    let (one, two, gone) = (id("one")?, id("two")?, id("gone")?);
    let head =
        t.create(&one, vec![append("a"), append("b"), open("c", CLAIM), set_app("{}")]).await?;
    t.extended(&one, 3, CLAIM, 0, &["x", "y"]).await?;
    let labels = Op::SetLabels(Labels::owner("u").title("t"));
    let head = t.change(&one, head, vec![remove(1, 1), labels]).await?;
    let head = t.change(&one, head, appends(["d"])).await?;
    t.create(&two, Vec::new()).await?;
    t.create(&gone, appends(["a"])).await?;
    t.store().delete(&gone, DeleteIf::Any).await?;
    let (first, second) = (t.everything(&one).await?, t.all(&two).await?);
    t.back_up().await?;
    ensure!(t.everything(&one).await? == first, "a backup changed the session that it copied");

    let lost = t.change(&one, head, vec![replace(2, "B"), append("lost"), remove(3, 3)]).await?;
    t.change(&one, lost, vec![Op::SetLabels(Labels::owner("lost"))]).await?;
    t.store().delete(&two, DeleteIf::Any).await?;
    t.create(&gone, appends(["lost"])).await?;
    t.restore_backup().await?;

    let restored = t.everything(&one).await?;
    let (Some((before, chunks)), Some((after, restored_chunks))) = (first, restored) else {
        return Err(Failure::new("a restored backup lost a session"));
    };
    ensure_eq!(restored_chunks, chunks, "the replies after the backup was restored");
    let life = before.head.version.incarnation().life();
    ensure_eq!(
        after.head.version.incarnation().life(),
        life,
        "the incarnation of a restored session"
    );
    ensure_eq!(
        but_versions(after),
        but_versions(before),
        "a session after the backup was restored"
    );
    let empty = t.all(&two).await?;
    ensure_eq!(but_versions(empty), but_versions(second), "a session deleted after the backup");
    ensure!(t.maybe_all(&gone).await?.is_none(), "a session created after the backup is there");

    let head = t.all(&one).await?.head;
    t.change(&one, head, appends(["e"])).await?;
    t.extended(&one, 3, CLAIM, 2, &["z"]).await?;
    t.replies(&one, &[(3, CLAIM, &["x", "y", "z"], 0)]).await?;
    t.holds(&one, &[(2, "b"), (3, "c"), (4, "d"), (5, "e")]).await?;
    Ok(())
}

/// Backs a session up at its first version, changes it and restores the backup. Returns the
/// versions that the restore lost, and the last lost head.
async fn restored(t: &mut Fixture, id: &SessionId) -> Checked<(HashSet<Version>, Head)> {
    let mut head = t.create(id, appends(["a"])).await?;
    t.back_up().await?;
    let mut lost = HashSet::new();
    for n in 0..5 {
        head = t.change(id, head, appends([["lost", "and", "gone"][n % 3]])).await?;
        ensure!(lost.insert(head.version), "a version was used twice");
    }
    t.restore_backup().await?;
    ensure_eq!(
        t.holds(id, &[(1, "a")]).await?.head.next_seq,
        2,
        "next_seq of the restored session"
    );
    Ok((lost, head))
}

pub(crate) async fn versions_that_a_restore_lost_are_never_reused(t: &mut Fixture) -> Checked {
    let id = session()?;
    let (lost, newest) = restored(t, &id).await?;
    let mut head = t.all(&id).await?.head;
    for n in 0..8 {
        head = t.change(&id, head, appends([["made", "since"][n % 2]])).await?;
        for version in [head.version, head.base, head.closed] {
            ensure!(!lost.contains(&version), "a version that the restore lost was used again");
        }
        if head.version.counter() == newest.version.counter() {
            ensure!(head.version != newest.version, "another history has the same version");
        }
    }
    ensure!(
        head.version.counter() > newest.version.counter(),
        "the counter of the restored session did not reach that of the lost one"
    );
    let loaded = t.all(&id).await?;
    ensure_eq!(loaded.head, head, "the stored head");
    ensure_eq!(loaded.tail[0], rows(&[(1, "a")])[0], "the first message");
    Ok(())
}

pub(crate) async fn a_version_that_a_restore_lost_conflicts(t: &mut Fixture) -> Checked {
    let id = session()?;
    let (lost, newest) = restored(t, &id).await?;
    let mut head = t.all(&id).await?.head;
    // One round more than needed.
    for _ in 0..7 {
        let now = t.all(&id).await?;
        for &version in &lost {
            ask(t, &id, version, Some(&now)).await?;
        }
        if head.version.counter() > newest.version.counter() {
            return Ok(());
        }
        let conflict = CommitOutcome::Conflict { current: Some(head.version) };
        for &version in &lost {
            let expect = Expect::Version { version, next_seq: head.next_seq };
            let commit =
                durable_session::store::Commit::new(expect, appends(["x"]), crate::fixture::T);
            ensure_eq!(
                t.store().commit(&id, commit).await?,
                conflict,
                "a commit on a lost version"
            );
            let outcome = t.store().delete(&id, DeleteIf::Version(version)).await?;
            let conflict = DeleteOutcome::Conflict { current: head.version };
            ensure_eq!(outcome, conflict, "a delete of a lost version");
        }
        let outcome = t.store().commit(&id, on(head, appends(["more"]))).await?;
        let CommitOutcome::Committed(after) = outcome else {
            return Err(Failure::new("a commit on the restored session was refused"));
        };
        head = after;
    }
    Err(Failure::new("the counter of the restored session did not reach that of the lost one"))
}
