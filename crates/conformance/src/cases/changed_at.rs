//! The time of the last change of content, by which an owner's sessions are listed (S11).

use crate::failure::ensure_eq;
use crate::fixture::{
    Checked, Fixture, T, append, appends, at, on, remove, replace, session, set_app,
};
use crate::replying::{CLAIM, close, counts, open, open_again};
use durable_session::store::{Commit, Expect, Labels, Op};

pub(crate) async fn every_change_of_content_moves_the_time_of_change(t: &mut Fixture) -> Checked {
    let id = session()?;
    let first = Commit::new(Expect::absent(T), appends(["a", "b", "c"]), T + 5);
    let mut head = t.committed(&id, first).await?;
    ensure_eq!((head.created_at, head.changed_at), (T, T + 5), "the times of a new session");
    let changes = [
        appends(["d"]),
        vec![replace(1, "A")],
        vec![remove(2, 2)],
        vec![set_app("{}")],
        vec![open("e", CLAIM)],
        vec![close(5, CLAIM, counts(0, 0), "E")],
        vec![open_again(5, "e", CLAIM)],
        vec![Op::SetLabels(Labels::owner("u")), append("f")],
    ];
    for (n, ops) in (1..).zip(changes) {
        let time = T + 10 * n;
        head = t.committed(&id, at(time, on(head, ops.clone()))).await?;
        ensure_eq!(
            (head.changed_at, head.last_accessed_at),
            (time, time),
            "the times after {ops:?}"
        );
        ensure_eq!(t.all(&id).await?.head, head, "the stored head after {ops:?}");
    }
    Ok(())
}

pub(crate) async fn nothing_else_moves_the_time_of_change(t: &mut Fixture) -> Checked {
    let id = session()?;
    let empty = Commit::new(Expect::absent(T), Vec::new(), T + 5);
    let head = t.committed(&id, empty).await?;
    let times = (head.changed_at, head.last_accessed_at);
    ensure_eq!(times, (T, T + 5), "the times of a new session without content");
    let mut head =
        t.committed(&id, at(T + 10, on(head, vec![append("a"), open("b", CLAIM)]))).await?;
    for (n, ops) in (2..).zip([vec![Op::SetLabels(Labels::owner("u"))], Vec::new()]) {
        let time = T + 10 * n;
        head = t.committed(&id, at(time, on(head, ops.clone()))).await?;
        let times = (head.changed_at, head.last_accessed_at);
        ensure_eq!(times, (T + 10, time), "the times after {ops:?}");
    }
    t.store().touch(&id, T + 100).await?;
    t.extended(&id, 2, CLAIM, 0, &["x"]).await?;
    t.extended(&id, 2, CLAIM, 0, &[]).await?;
    let head = t.all(&id).await?.head;
    let times = (head.changed_at, head.last_accessed_at);
    ensure_eq!(times, (T + 10, T + 100), "the times after a touch and extensions");
    Ok(())
}

pub(crate) async fn the_time_of_change_never_moves_backwards(t: &mut Fixture) -> Checked {
    let id = session()?;
    let early = Commit::new(Expect::absent(T), appends(["a"]), 0);
    let head = t.committed(&id, early).await?;
    ensure_eq!(
        head.changed_at,
        T,
        "the time of change of a session created later than its content"
    );
    let mut head = t.committed(&id, at(T + 500, on(head, appends(["b"])))).await?;
    for (time, ops) in
        [(T + 20, appends(["c"])), (0, vec![set_app("{}")]), (T, vec![replace(1, "A")])]
    {
        head = t.committed(&id, at(time, on(head, ops.clone()))).await?;
        ensure_eq!(head.changed_at, T + 500, "the time of change after {ops:?} at an earlier time");
    }
    t.store().touch(&id, T + 1000).await?;
    let head = t.committed(&id, at(T + 600, on(head, appends(["d"])))).await?;
    let times = (head.changed_at, head.last_accessed_at);
    ensure_eq!(times, (T + 600, T + 1000), "the times of a change before the last touch");
    ensure_eq!(t.all(&id).await?.head, head, "the stored head");
    Ok(())
}

pub(crate) async fn the_time_of_change_survives_reopening(t: &mut Fixture) -> Checked {
    let id = session()?;
    let mut head = t.committed(&id, Commit::new(Expect::absent(T), appends(["a"]), T + 1)).await?;
    let changes = [
        (T + 20, appends(["b"])),
        (T + 30, vec![Op::SetLabels(Labels::owner("u"))]),
        (T + 40, vec![set_app("{}")]),
        (T + 15, appends(["c", "d"])),
        (T + 50, Vec::new()),
        (T + 60, vec![remove(4, 4)]),
        (T + 70, appends(["e"])),
    ];
    for (time, ops) in changes {
        head = t.committed(&id, at(time, on(head, ops.clone()))).await?;
        t.store().touch(&id, time + 5).await?;
        head.last_accessed_at = head.last_accessed_at.max(time + 5);
        t.reopen().await?;
        ensure_eq!(t.all(&id).await?.head, head, "the head after {ops:?} and reopening");
    }
    Ok(())
}
