//! A touch raises the time of last access and nothing else (S5).

use crate::failure::{ensure, ensure_eq};
use crate::fixture::{Checked, Fixture, T, append, appends, at, on, session, set_app};
use durable_session::store::{Head, Loaded};

pub(crate) async fn a_touch_raises_the_time_and_nothing_else(t: &mut Fixture) -> Checked {
    let id = session()?;
    let head = t.create(&id, vec![append("a"), set_app("{}")]).await?;
    t.change(&id, head, appends(["b"])).await?;
    let before = t.all(&id).await?;
    for later in [1, 2, 5_000] {
        t.store().touch(&id, T + later).await?;
        let expected =
            Loaded { head: Head { last_accessed_at: T + later, ..before.head }, ..before.clone() };
        ensure_eq!(t.all(&id).await?, expected, "the session after a touch");
    }
    Ok(())
}

pub(crate) async fn a_touch_never_lowers_the_time(t: &mut Fixture) -> Checked {
    let id = session()?;
    t.create(&id, appends(["a"])).await?;
    t.store().touch(&id, T + 100).await?;
    for earlier in [T + 99, T, 0] {
        t.store().touch(&id, earlier).await?;
        ensure_eq!(
            t.all(&id).await?.head.last_accessed_at,
            T + 100,
            "the time after a touch in the past"
        );
    }
    Ok(())
}

pub(crate) async fn touching_an_absent_session_does_nothing(t: &mut Fixture) -> Checked {
    let id = session()?;
    t.store().touch(&id, T).await?;
    ensure!(t.maybe_all(&id).await?.is_none(), "a touch created a session");
    Ok(())
}

pub(crate) async fn a_touch_makes_no_commit_conflict(t: &mut Fixture) -> Checked {
    let id = session()?;
    let head = t.create(&id, appends(["a"])).await?;
    t.store().touch(&id, T + 100).await?;
    let later = at(T + 50, on(head, appends(["b"])));
    let head = t.committed(&id, later).await?;
    ensure_eq!(head.last_accessed_at, T + 100, "the time after a touch and an earlier commit");
    t.store().touch(&id, T + 200).await?;
    let head = t.change(&id, head, vec![set_app("{}")]).await?;
    ensure_eq!(head.last_accessed_at, T + 200, "the time after a touch and an earlier commit");
    ensure_eq!(t.holds(&id, &[(1, "a"), (2, "b")]).await?.head, head, "the stored head");
    Ok(())
}

pub(crate) async fn a_touch_survives_reopening(t: &mut Fixture) -> Checked {
    let id = session()?;
    t.create(&id, appends(["a"])).await?;
    t.store().touch(&id, T + 100).await?;
    let touched = t.all(&id).await?;
    t.reopen().await?;
    ensure_eq!(t.all(&id).await?, touched, "a touched session after reopening");
    Ok(())
}
