//! A delete removes everything, under a condition that is checked atomically (S6).

use crate::failure::{ensure, ensure_eq};
use crate::fixture::{
    Checked, Fixture, T, WHOLE, append, appends, id, range, remove, session, set_app,
};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{
    Commit, DeleteIf, DeleteOutcome, Expect, Incarnation, LoadOutcome, Version,
};

async fn is_gone(t: &Fixture, id: &SessionId) -> Checked {
    let store = t.store();
    ensure_eq!(store.load(id, WHOLE).await?, LoadOutcome::Absent, "a load of a deleted session");
    ensure!(store.read(id, range(0, u64::MAX)).await?.is_none(), "read found a deleted session");
    ensure!(
        store.salvage(id, range(0, u64::MAX)).await?.is_none(),
        "salvage found a deleted session"
    );
    Ok(())
}

pub(crate) async fn a_delete_removes_everything(t: &mut Fixture) -> Checked {
    let id = session()?;
    t.create(&id, vec![append("a"), append("b"), append("c"), set_app("{}")]).await?;
    ensure_eq!(t.store().delete(&id, DeleteIf::Any).await?, DeleteOutcome::Deleted, "a delete");
    is_gone(t, &id).await
}

pub(crate) async fn deleting_an_absent_session_succeeds(t: &mut Fixture) -> Checked {
    let id = session()?;
    let never = Version::new(Incarnation::from_bytes([7; 16]), 1);
    for condition in [DeleteIf::Any, DeleteIf::Version(never), DeleteIf::IdleSince(T)] {
        let outcome = t.store().delete(&id, condition).await?;
        ensure_eq!(outcome, DeleteOutcome::Absent, "deleting an absent session");
    }
    t.create(&id, appends(["a"])).await?;
    t.store().delete(&id, DeleteIf::Any).await?;
    let outcome = t.store().delete(&id, DeleteIf::Any).await?;
    ensure_eq!(outcome, DeleteOutcome::Absent, "deleting a deleted session");
    Ok(())
}

pub(crate) async fn a_deleted_session_can_be_created_again_empty(t: &mut Fixture) -> Checked {
    let id = session()?;
    let texts: Vec<_> = (0..50).map(|n| n.to_string()).collect();
    let mut ops = appends(texts.iter().map(String::as_str));
    ops.push(set_app("{\"old\":true}"));
    t.create(&id, ops).await?;
    t.store().touch(&id, T + 100).await?;
    t.store().delete(&id, DeleteIf::Any).await?;

    let again = Commit::new(Expect::absent(T + 5), appends(["new"]), T + 6);
    let head = t.committed(&id, again).await?;
    ensure_eq!(
        (head.created_at, head.last_accessed_at),
        (T + 5, T + 6),
        "the times of the session created again"
    );
    let loaded = t.holds(&id, &[(1, "new")]).await?;
    ensure_eq!(loaded.head, head, "the head of the session created again");
    ensure_eq!(loaded.app, Bytes::new(), "the app state of the session created again");
    ensure_eq!(head.next_seq, 2, "the next seq of the session created again");
    t.change(&id, head, appends(["newer"])).await?;
    t.holds(&id, &[(1, "new"), (2, "newer")]).await?;
    Ok(())
}

pub(crate) async fn a_delete_may_require_a_version(t: &mut Fixture) -> Checked {
    let id = session()?;
    let old = t.create(&id, appends(["a"])).await?;
    let now = t.change(&id, old, appends(["b"])).await?;
    let before = t.all(&id).await?;
    let outcome = t.store().delete(&id, DeleteIf::Version(old.version)).await?;
    let conflict = DeleteOutcome::Conflict { current: now.version };
    ensure_eq!(outcome, conflict, "a delete of an old version");
    ensure_eq!(t.all(&id).await?, before, "the session after a conflict");
    let outcome = t.store().delete(&id, DeleteIf::Version(now.version)).await?;
    ensure_eq!(outcome, DeleteOutcome::Deleted, "a delete of the current version");
    is_gone(t, &id).await?;

    let again = t.create(&id, appends(["c"])).await?;
    let outcome = t.store().delete(&id, DeleteIf::Version(now.version)).await?;
    let conflict = DeleteOutcome::Conflict { current: again.version };
    ensure_eq!(outcome, conflict, "a delete of a version from before the delete");
    t.holds(&id, &[(1, "c")]).await?;
    Ok(())
}

pub(crate) async fn a_delete_may_require_that_a_session_is_idle(t: &mut Fixture) -> Checked {
    let id = session()?;
    let head = t.create(&id, appends(["a"])).await?;
    let used = Commit::new(head.expect(), vec![remove(1, 1), append("b")], T + 100);
    let head = t.committed(&id, used).await?;
    for too_early in [0, T, T + 99] {
        let outcome = t.store().delete(&id, DeleteIf::IdleSince(too_early)).await?;
        let conflict = DeleteOutcome::Conflict { current: head.version };
        ensure_eq!(outcome, conflict, "a delete of a session used since");
    }
    t.holds(&id, &[(2, "b")]).await?;
    let outcome = t.store().delete(&id, DeleteIf::IdleSince(T + 100)).await?;
    ensure_eq!(outcome, DeleteOutcome::Deleted, "a delete of a session not used since");
    is_gone(t, &id).await
}

pub(crate) async fn a_touch_keeps_a_session_from_being_idle(t: &mut Fixture) -> Checked {
    let id = session()?;
    let head = t.create(&id, appends(["a"])).await?;
    t.store().touch(&id, T + 100).await?;
    let outcome = t.store().delete(&id, DeleteIf::IdleSince(T + 99)).await?;
    let conflict = DeleteOutcome::Conflict { current: head.version };
    ensure_eq!(outcome, conflict, "a delete of a session touched since");
    t.holds(&id, &[(1, "a")]).await?;
    let outcome = t.store().delete(&id, DeleteIf::IdleSince(T + 100)).await?;
    ensure_eq!(outcome, DeleteOutcome::Deleted, "a delete of a session not touched since");
    is_gone(t, &id).await
}

pub(crate) async fn a_delete_survives_reopening(t: &mut Fixture) -> Checked {
    let (gone, kept) = (id("gone")?, id("kept")?);
    t.create(&gone, vec![append("a"), set_app("{}")]).await?;
    t.create(&kept, appends(["b"])).await?;
    t.store().delete(&gone, DeleteIf::Any).await?;
    t.reopen().await?;
    is_gone(t, &gone).await?;
    t.holds(&kept, &[(1, "b")]).await?;
    t.create(&gone, appends(["c"])).await?;
    t.reopen().await?;
    t.holds(&gone, &[(1, "c")]).await?;
    Ok(())
}

pub(crate) async fn a_crash_does_not_undo_an_acknowledged_delete(t: &mut Fixture) -> Checked {
    let id = session()?;
    t.create(&id, vec![append("a"), set_app("{}")]).await?;
    t.store().delete(&id, DeleteIf::Any).await?;
    t.crash_and_reopen().await?;
    is_gone(t, &id).await
}
