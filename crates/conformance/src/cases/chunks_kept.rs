//! An extension is durable when it returns, and whole or not at all (S10, S1).

use crate::Failure;
use crate::dropped::{finishes, never_half, polled_once};
use crate::failure::{ensure, ensure_eq};
use crate::fixture::{Checked, Fixture, append, appends, id, session, set_app, yield_now};
use crate::replying::{CLAIM, OTHER, close, counts, extension, open, open_again};
use durable_session::SessionId;
use durable_session::store::{ChunkQuery, ExtendOutcome};

const SEVERAL: [&str; 3] = ["b", "", "c"];

/// Opens a reply at seq 1, and extends it by `SEVERAL` with a future that is dropped after one
/// poll.
async fn drop_after_a_poll(t: &Fixture, id: &SessionId) -> Checked {
    t.create(id, vec![open("open", CLAIM)]).await?;
    t.extended(id, 1, CLAIM, 0, &["a"]).await?;
    if let Some(outcome) = polled_once(t.store().extend(id, extension(1, CLAIM, 1, &SEVERAL))) {
        ensure_eq!(outcome?, ExtendOutcome::Extended(counts(4, 0)), "a valid extension");
    }
    Ok(())
}

/// Whether that extension was made; a failure if half of it was.
async fn is_whole(t: &Fixture, id: &SessionId) -> Checked<bool> {
    let page = t.chunks(id, ChunkQuery::from(1, 0)).await?;
    let after = ["a", "b", "", "c"];
    let expected = match page.chunks.len() {
        1 => &after[..1],
        4 => &after[..],
        n => return Err(Failure::new(format_args!("half an extension was made: {n} chunks of 4"))),
    };
    ensure!(page.chunks.iter().eq(expected.iter()), "the reply has other chunks than were added");
    ensure_eq!(page.reply.counts, counts(expected.len() as u64, 0), "the counts beside the chunks");
    Ok(expected.len() == 4)
}

pub(crate) async fn an_extension_dropped_after_a_poll_is_whole_or_nothing(
    t: &mut Fixture,
) -> Checked {
    for round in 0..20 {
        let id = id(&format!("session-{round}"))?;
        drop_after_a_poll(t, &id).await?;
        never_half(async || is_whole(t, &id).await).await?;
    }
    Ok(())
}

pub(crate) async fn an_accepted_extension_finishes_after_its_future_is_dropped(
    t: &mut Fixture,
) -> Checked {
    let id = session()?;
    drop_after_a_poll(t, &id).await?;
    finishes("an accepted extension", async || is_whole(t, &id).await).await
}

pub(crate) async fn replies_survive_reopening(t: &mut Fixture) -> Checked {
    let id = session()?;
    let head = t.create(&id, vec![append("a"), open("b", CLAIM), append("c")]).await?;
    t.extended_one_by_one(&id, 2, CLAIM, 0, &["x", ""]).await?;
    t.extended(&id, 2, CLAIM, 0, &[]).await?;
    let head = t.change(&id, head, vec![open_again(3, "C", OTHER), set_app("{}")]).await?;
    t.extended(&id, 2, CLAIM, 2, &["y", "z"]).await?;
    let before = t.everything(&id).await?;
    for _ in 0..2 {
        t.reopen().await?;
        ensure_eq!(t.everything(&id).await?, before, "a session with open replies after reopening");
    }
    t.extended(&id, 2, CLAIM, 4, &["more"]).await?;
    t.extended(&id, 2, CLAIM, 0, &[]).await?;
    t.extended(&id, 3, OTHER, 0, &["new"]).await?;
    t.reopen().await?;
    t.replies(&id, &[(2, CLAIM, &["x", "", "y", "z", "more"], 2), (3, OTHER, &["new"], 0)]).await?;
    t.change(&id, head, vec![close(2, CLAIM, counts(5, 2), "B")]).await?;
    t.replies(&id, &[(3, OTHER, &["new"], 0)]).await?;
    Ok(())
}

pub(crate) async fn a_crash_keeps_every_acknowledged_extension(t: &mut Fixture) -> Checked {
    let id = session()?;
    let mut head = t.create(&id, vec![append("a"), open("b", CLAIM)]).await?;
    t.crash_and_reopen().await?;
    t.replies(&id, &[(2, CLAIM, &[], 0)]).await?;
    let mut texts: Vec<&str> = Vec::new();
    for (n, some) in
        [&["x"][..], &["y", "", "z"], &[], &["u"], &[], &["v", "w"]].into_iter().enumerate()
    {
        t.extended(&id, 2, CLAIM, texts.len() as u64, some).await?;
        texts.extend_from_slice(some);
        if n % 2 == 1 {
            head = t.change(&id, head, appends(["more"])).await?;
        }
        let before = t.everything(&id).await?;
        t.crash_and_reopen().await?;
        ensure_eq!(t.everything(&id).await?, before, "acknowledged extensions after a crash");
    }
    t.replies(&id, &[(2, CLAIM, &texts, 2)]).await?;
    Ok(())
}

pub(crate) async fn a_crash_leaves_no_half_extension(t: &mut Fixture) -> Checked {
    for round in 0..8 {
        let id = id(&format!("session-{round}"))?;
        drop_after_a_poll(t, &id).await?;
        for _ in 0..round {
            yield_now().await;
        }
        t.crash_and_reopen().await?;
        let offset = if is_whole(t, &id).await? { 4 } else { 1 };
        t.extended(&id, 1, CLAIM, offset, &["next"]).await?;
    }
    Ok(())
}
