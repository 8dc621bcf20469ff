//! A commit is whole, happens once, and is reported truthfully (S1).

use crate::Failure;
use crate::dropped::{finishes, never_half, polled_once};
use crate::failure::{ensure, ensure_eq};
use crate::fixture::{
    Checked, Fixture, T, WHOLE, append, appends, body, creation, id, on, range, remove, replace,
    rows, session, set_app, yield_now,
};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{CommitOutcome, DeleteIf, LoadOutcome, Loaded, Op};

pub(crate) async fn all_operations_of_a_commit_land(t: &mut Fixture) -> Checked {
    let id = session()?;
    let head = t.create(&id, appends(["a", "b", "c"])).await?;
    let ops = vec![append("d"), replace(2, "B"), set_app("{}"), remove(1, 1), append("e")];
    t.change(&id, head, ops).await?;
    let loaded = t.holds(&id, &[(2, "B"), (3, "c"), (4, "d"), (5, "e")]).await?;
    ensure_eq!(loaded.app, body("{}"), "the app state");
    Ok(())
}

pub(crate) async fn operations_of_a_commit_apply_in_order(t: &mut Fixture) -> Checked {
    let id = session()?;
    let ops = vec![
        append("a"),
        replace(1, "A"),
        append("b"),
        remove(2, 2),
        append("c"),
        replace(3, "C1"),
        replace(3, "C2"),
        set_app("1"),
        set_app("2"),
    ];
    t.create(&id, ops).await?;
    let loaded = t.holds(&id, &[(1, "A"), (3, "C2")]).await?;
    ensure_eq!(loaded.app, body("2"), "the app state");
    Ok(())
}

pub(crate) async fn a_refused_operation_undoes_the_whole_commit(t: &mut Fixture) -> Checked {
    let id = session()?;
    let head = t.create(&id, vec![append("a"), append("b"), set_app("{}")]).await?;
    let before = t.all(&id).await?;
    let harmless = [append("c"), set_app("changed"), remove(1, 1), replace(2, "B")];
    for refused in [replace(99, "x"), replace(1, "x")] {
        let Op::Replace { seq, .. } = refused else { continue };
        let mut ops = harmless.to_vec();
        ops.push(refused);
        ops.push(append("d"));
        let outcome = t.store().commit(&id, on(head, ops)).await?;
        ensure_eq!(outcome, CommitOutcome::NoSuchSeq { seq }, "replacing an absent message");
        ensure_eq!(t.all(&id).await?, before, "the session after a refused commit");
    }
    Ok(())
}

pub(crate) async fn a_refused_operation_creates_no_session(t: &mut Fixture) -> Checked {
    let id = session()?;
    let outcome = t.store().commit(&id, creation(vec![append("a"), replace(7, "x")])).await?;
    ensure_eq!(outcome, CommitOutcome::NoSuchSeq { seq: 7 }, "replacing an absent message");
    ensure!(t.maybe_all(&id).await?.is_none(), "a refused commit left a session behind");
    Ok(())
}

pub(crate) async fn replacing_a_message_that_is_not_there_is_refused(t: &mut Fixture) -> Checked {
    let id = session()?;
    let head = t.create(&id, appends(["a", "b", "c"])).await?;
    let head = t.change(&id, head, vec![remove(2, 2)]).await?;
    let before = t.all(&id).await?;
    for seq in [0, 2, 4, u64::MAX] {
        let outcome = t.store().commit(&id, on(head, vec![replace(seq, "x")])).await?;
        ensure_eq!(outcome, CommitOutcome::NoSuchSeq { seq }, "replacing seq {seq}");
    }
    ensure_eq!(t.all(&id).await?, before, "the session after refused replacements");
    Ok(())
}

pub(crate) async fn success_reports_the_head_that_is_stored(t: &mut Fixture) -> Checked {
    let id = session()?;
    let mut head = t.create(&id, vec![append("a"), set_app("{}")]).await?;
    let changes: [Vec<Op>; 4] = [
        appends(["bb", "ccc"]),
        vec![replace(1, "longer than before")],
        vec![remove(2, 2)],
        vec![set_app("{\"a\":1}"), append("d")],
    ];
    for ops in changes {
        head = t.change(&id, head, ops.clone()).await?;
        let loaded = t.all(&id).await?;
        ensure_eq!(loaded.head, head, "the head that load returns after {ops:?}");
        ensure_eq!(
            t.page(&id, range(1, 1)).await?.head,
            head,
            "the head that read returns after {ops:?}"
        );
        let salvaged = t.store().salvage(&id, range(1, 1)).await?;
        ensure_eq!(
            salvaged.and_then(|s| s.head),
            Some(head),
            "the head that salvage returns after {ops:?}"
        );
        let bytes: u64 = loaded.tail.iter().map(|row| row.body.len() as u64).sum();
        ensure_eq!(
            (head.messages, head.bytes),
            (loaded.tail.len() as u64, bytes),
            "the totals after {ops:?}"
        );
    }
    Ok(())
}

pub(crate) async fn bodies_and_app_state_keep_any_bytes(t: &mut Fixture) -> Checked {
    let id = session()?;
    let limits = t.store().limits();
    let size = limits.max_body_bytes.min(limits.max_commit_bytes).min(1 << 20);
    let large: Vec<u8> =
        (0..size).map(|i| (i.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
    let mut bodies = vec![
        Bytes::new(),
        Bytes::from_static(b"\0"),
        Bytes::from_static(b"a\0b\n\r\n"),
        Bytes::from_static(b"\xff\xfe\xc3\x28"),
        (0..=255_u8).collect(),
        Bytes::from_static(b" {\"b\": 1, \"a\": null} "),
    ];
    bodies.push(Bytes::from(large));
    let mut head = t.create(&id, Vec::new()).await?;
    for content in &bodies {
        let app = content.slice(..content.len().min(256));
        head =
            t.change(&id, head, vec![Op::append(content.clone()), Op::SetApp(app.clone())]).await?;
        ensure!(t.all(&id).await?.app == app, "app state of {} bytes came back changed", app.len());
    }
    let loaded = t.all(&id).await?;
    let page = t.page(&id, range(1, u64::MAX)).await?;
    ensure_eq!(
        (loaded.tail.len(), page.rows.len()),
        (bodies.len(), bodies.len()),
        "the number of messages"
    );
    for ((sent, loaded), read) in bodies.iter().zip(&loaded.tail).zip(&page.rows) {
        ensure!(loaded.body == sent, "load changed a body of {} bytes", sent.len());
        ensure!(read.body == sent, "read changed a body of {} bytes", sent.len());
    }
    Ok(())
}

pub(crate) async fn app_state_stays_until_it_is_set(t: &mut Fixture) -> Checked {
    let id = session()?;
    let head = t.create(&id, appends(["a"])).await?;
    ensure_eq!(t.all(&id).await?.app, Bytes::new(), "app state that was never set");
    let head = t.change(&id, head, vec![set_app("one")]).await?;
    let head = t.change(&id, head, vec![append("b"), replace(1, "A")]).await?;
    let head = t.change(&id, head, vec![remove(1, 2)]).await?;
    ensure_eq!(t.all(&id).await?.app, body("one"), "app state after changes of messages");
    t.change(&id, head, vec![set_app("")]).await?;
    ensure_eq!(t.all(&id).await?.app, Bytes::new(), "app state after it was set to no bytes");
    Ok(())
}

pub(crate) async fn loads_and_reads_of_an_absent_session_find_nothing(t: &mut Fixture) -> Checked {
    let id = session()?;
    t.create(&crate::fixture::id("another")?, appends(["a"])).await?;
    let store = t.store();
    ensure_eq!(
        store.load(&id, WHOLE).await?,
        LoadOutcome::Absent,
        "a load of a session that was never created"
    );
    ensure!(
        store.read(&id, range(1, 9)).await?.is_none(),
        "read found a session that was never created"
    );
    ensure!(
        store.salvage(&id, range(1, 9)).await?.is_none(),
        "salvage found a session that was never created"
    );
    Ok(())
}

pub(crate) async fn a_future_that_was_never_polled_changes_nothing(t: &mut Fixture) -> Checked {
    let id = session()?;
    let store = t.store();
    drop(store.commit(&id, creation(vec![append("a")])));
    ensure!(t.maybe_all(&id).await?.is_none(), "a commit whose future was never polled was made");
    let head = t.create(&id, appends(["a"])).await?;
    drop(store.commit(&id, on(head, vec![append("b")])));
    drop(store.touch(&id, T + 1));
    drop(store.delete(&id, DeleteIf::Any));
    ensure_eq!(
        t.holds(&id, &[(1, "a")]).await?.head,
        head,
        "the head after futures that were never polled"
    );
    Ok(())
}

/// Several operations, so that a half commit is recognized.
fn several() -> Vec<Op> {
    vec![append("b"), replace(1, "A"), append("c"), set_app("after"), append("d")]
}

/// Whether `several` was committed; a failure if half of it was.
fn is_whole(loaded: &Loaded) -> Checked<bool> {
    let after = rows(&[(1, "A"), (2, "b"), (3, "c"), (4, "d")]);
    let state = (&loaded.tail, &loaded.app, loaded.head.next_seq, loaded.head.messages);
    if state == (&after, &body("after"), 5, 4) {
        Ok(true)
    } else if state == (&rows(&[(1, "a")]), &body("before"), 2, 1) {
        Ok(false)
    } else {
        Err(Failure::new(format_args!("half a commit was made: {loaded:?}")))
    }
}

/// Creates a session, and commits `several` to it with a future that is dropped after one poll.
async fn drop_after_a_poll(t: &Fixture, id: &SessionId) -> Checked {
    let head = t.create(id, vec![append("a"), set_app("before")]).await?;
    if let Some(outcome) = polled_once(t.store().commit(id, on(head, several()))) {
        ensure!(matches!(outcome?, CommitOutcome::Committed(_)), "a valid commit was refused");
    }
    Ok(())
}

pub(crate) async fn a_commit_dropped_after_a_poll_is_whole_or_nothing(t: &mut Fixture) -> Checked {
    for round in 0..20 {
        let id = id(&format!("session-{round}"))?;
        drop_after_a_poll(t, &id).await?;
        never_half(async || is_whole(&t.all(&id).await?)).await?;
    }
    Ok(())
}

pub(crate) async fn an_accepted_commit_finishes_after_its_future_is_dropped(
    t: &mut Fixture,
) -> Checked {
    let id = session()?;
    drop_after_a_poll(t, &id).await?;
    finishes("an accepted commit", async || is_whole(&t.all(&id).await?)).await
}

pub(crate) async fn reopening_keeps_everything(t: &mut Fixture) -> Checked {
    let one = id("one")?;
    let two = id("two")?;
    let head = t.create(&one, vec![append("a"), append("b"), set_app("{\"k\":1}")]).await?;
    let head = t.change(&one, head, vec![replace(1, "A"), append("c"), remove(2, 2)]).await?;
    t.change(&one, head, appends(["d"])).await?;
    t.create(&two, Vec::new()).await?;
    let (before_one, before_two) = (t.all(&one).await?, t.all(&two).await?);
    for _ in 0..2 {
        t.reopen().await?;
        ensure_eq!(t.all(&one).await?, before_one, "a session after reopening");
        ensure_eq!(t.all(&two).await?, before_two, "an empty session after reopening");
    }
    ensure_eq!(
        t.page(&one, range(1, 9)).await?.rows,
        before_one.tail,
        "the messages read after reopening"
    );
    Ok(())
}

pub(crate) async fn a_crash_keeps_every_acknowledged_commit(t: &mut Fixture) -> Checked {
    let (one, two) = (id("one")?, id("two")?);
    let mut head = t.create(&one, appends(["a"])).await?;
    t.crash_and_reopen().await?;
    t.holds(&one, &[(1, "a")]).await?;
    for ops in [
        appends(["b", "c"]),
        vec![replace(1, "A"), set_app("{}")],
        vec![remove(2, 2)],
        appends(["d"]),
    ] {
        head = t.change(&one, head, ops).await?;
        t.create(&two, appends(["x"])).await?;
        let before = (t.all(&one).await?, t.all(&two).await?);
        t.crash_and_reopen().await?;
        ensure_eq!(
            (t.all(&one).await?, t.all(&two).await?),
            before,
            "acknowledged commits after a crash"
        );
        t.store().delete(&two, DeleteIf::Any).await?;
    }
    t.holds(&one, &[(1, "A"), (3, "c"), (4, "d")]).await?;
    Ok(())
}

pub(crate) async fn a_crash_leaves_no_half_commit(t: &mut Fixture) -> Checked {
    for round in 0..8 {
        let id = id(&format!("session-{round}"))?;
        drop_after_a_poll(t, &id).await?;
        for _ in 0..round {
            yield_now().await;
        }
        t.crash_and_reopen().await?;
        is_whole(&t.all(&id).await?)?;
    }
    Ok(())
}

pub(crate) async fn commits_go_on_after_a_crash_and_reuse_no_seq(t: &mut Fixture) -> Checked {
    let id = session()?;
    let head = t.create(&id, appends(["a", "b"])).await?;
    let head = t.change(&id, head, vec![remove(2, 2)]).await?;
    t.crash_and_reopen().await?;
    let head = t.change(&id, head, appends(["c"])).await?;
    t.crash_and_reopen().await?;
    t.change(&id, head, appends(["d"])).await?;
    t.holds(&id, &[(1, "a"), (3, "c"), (4, "d")]).await?;
    Ok(())
}
