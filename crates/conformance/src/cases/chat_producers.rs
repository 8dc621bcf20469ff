//! Producers that are gone, and producers that are not (C12).

use crate::failure::{ensure, ensure_eq};
use crate::fixture::{Checked, Fixture, id, session, yield_now};
use crate::probe::{Fault, Probe};
use crate::registry::{
    ManualClock, another_opening, claim_of, expiring_registry, registry_on, settled,
};
use crate::replying::{extension, open};
use crate::writing::{ended, open_with, rest, told, written};
use durable_session::SessionId;
use durable_session::store::{Claim, Sharing, StoreErrorKind};
use durable_session::{ChatSessions, Replies, ReplyEnd};
use std::time::Duration;

const QUESTION: &str = r#"{"role":"user","content":"a question"}"#;
const OPENED: &str = r#"{"role":"assistant","content":"","status":"in_progress"}"#;

/// Stores a reply at seq 2 whose claim nobody holds, as a process leaves it that was killed.
async fn leave_open(t: &Fixture, id: &SessionId, chunks: &[&str]) -> Checked<Claim> {
    let claim = claim_of(&t.store().opening()?)?;
    t.create(id, vec![crate::fixture::append(QUESTION), open(OPENED, claim)]).await?;
    for (offset, chunk) in (0..).zip(chunks) {
        let json = format!("\"{chunk}\"");
        t.store().extend(id, extension(2, claim, offset, &[&json])).await?;
    }
    Ok(claim)
}

pub(crate) async fn a_dropped_reply_is_interrupted(t: &mut Fixture) -> Checked {
    let chat = t.registry().session(session()?);
    let reply = open_with(&chat, &["a", "b"]).await?;
    let mut follow = chat.follow(2, 0).await?;
    drop(reply);
    let interrupted = ("ab".to_owned(), ReplyEnd::Interrupted);
    ensure_eq!(rest(&mut follow).await?, interrupted, "the chunks and the end of a follower");
    let other = t.registry().session(session()?);
    ensure_eq!(ended(&other).await?, "ab", "the text of the message");
    ensure_eq!(settled(other.stop(2)).await??.how, ReplyEnd::Interrupted, "how it ended");
    Ok(())
}

pub(crate) async fn a_live_producer_is_not_called_dead(t: &mut Fixture) -> Checked {
    let chat = t.registry().session(session()?);
    let mut reply = open_with(&chat, &["a"]).await?;
    for _ in 0..3 {
        // Each of them loads the session.
        let other = t.registry().session(session()?);
        for _ in 0..10 {
            ensure_eq!(other.snapshot().await?.open_replies().count(), 1, "the open replies");
            yield_now().await;
        }
        ensure_eq!(written(&other).await?, "", "the text of the open message");
    }
    settled(reply.push("b")).await??;
    settled(reply.finish()).await??;
    ensure_eq!(written(&chat).await?, "ab", "the text of the message");
    Ok(())
}

pub(crate) async fn the_first_load_interrupts_a_reply_that_nobody_holds(
    t: &mut Fixture,
) -> Checked {
    let id = session()?;
    leave_open(t, &id, &["was ", "shown"]).await?;
    let chat = t.registry().session(id.clone());
    ensure_eq!(ended(&chat).await?, "was shown", "the text of the interrupted message");
    let other = t.registry().session(id.clone());
    ensure_eq!(settled(other.stop(2)).await??.how, ReplyEnd::Interrupted, "how it ended");
    ensure_eq!(t.all(&id).await?.replies.len(), 0, "the number of stored open replies");
    Ok(())
}

pub(crate) async fn after_reopening_the_first_load_interrupts_the_reply(
    t: &mut Fixture,
) -> Checked {
    let id = session()?;
    let texts: Vec<String> = (0..30).map(|n| format!("{n}, ")).collect();
    let chunks: Vec<&str> = texts.iter().map(String::as_str).collect();
    leave_open(t, &id, &chunks).await?;
    t.reopen().await?;
    let clock = ManualClock::new();
    let registry: ChatSessions = registry_on(t.store(), &clock, |builder| builder);
    let chat = registry.session(id.clone());
    if t.store().sharing() == Sharing::Shared {
        // The earlier opening may be that of another process which lives. So only time tells.
        let Some(list) = t.list().ok() else { return Ok(()) };
        for (seconds, interrupted) in [(0, 0), (59, 0), (1, 1)] {
            clock.advance(seconds);
            let report = settled(registry.sweep(&*list)).await??;
            ensure_eq!(
                report.interrupted,
                interrupted,
                "the interrupted replies after {seconds} s"
            );
        }
    }
    ensure_eq!(ended(&chat).await?, texts.concat(), "the text of the interrupted message");
    ensure_eq!(settled(chat.stop(2)).await??.how, ReplyEnd::Interrupted, "how it ended");
    drop((chat, registry));
    t.reopen().await?;
    let chat = t.registry().session(id);
    ensure_eq!(written(&chat).await?, texts.concat(), "the text after another reopening");
    Ok(())
}

pub(crate) async fn after_a_crash_every_chunk_that_was_shown_is_in_the_message(
    t: &mut Fixture,
) -> Checked {
    let id = session()?;
    let mut shown = String::new();
    {
        let chat = t.registry().session(id.clone());
        let mut reply = open_with(&chat, &["a", "b"]).await?;
        settled(reply.push("c")).await??;
        let mut follow = chat.follow(2, 0).await?;
        for _ in 0..3 {
            if let Ok((_, text)) = crate::writing::next(&mut follow).await? {
                shown.push_str(&text);
            }
        }
        // A drop may stage the interruption, and the crash may lose that.
    }
    t.crash_and_reopen().await?;
    let chat = t.registry().session(id);
    ensure_eq!(ended(&chat).await?, shown, "the text, compared with the chunks that were shown");
    ensure_eq!(shown, "abc", "the chunks that were shown");
    Ok(())
}

pub(crate) async fn an_interruption_that_fails_fails_no_read(t: &mut Fixture) -> Checked {
    let id = session()?;
    leave_open(t, &id, &["a"]).await?;
    let (registry, probe) = t.probed_registry();
    let chat = registry.session(id);
    probe.inject(Fault::Fails(StoreErrorKind::Unavailable));
    for _ in 0..10 {
        chat.snapshot().await?;
        yield_now().await;
    }
    ensure_eq!(ended(&chat).await?, "a", "the text after the second try");
    Ok(())
}

pub(crate) async fn on_a_shared_store_time_without_a_sign_of_life_decides(
    t: &mut Fixture,
) -> Checked {
    const SECONDS: u64 = 60;
    let chat = t.registry().session(session()?);
    let mut reply = open_with(&chat, &["a"]).await?;
    let clock = ManualClock::new();
    let replies = Replies::default().abandoned_after(Duration::from_secs(SECONDS));
    let probe = Probe::sharing(t.store(), another_opening()?);
    let other: ChatSessions = registry_on(probe, &clock, |builder| builder.replies(replies));
    let list = t.list()?;
    let sweep = async || -> Checked<u64> {
        let report = settled(other.sweep(&*list)).await??;
        ensure!(report.failed.is_empty(), "a sweep failed: {:?}", report.failed);
        Ok(report.interrupted)
    };
    ensure_eq!(sweep().await?, 0, "the interrupted replies at first");
    clock.advance(SECONDS - 1);
    ensure_eq!(sweep().await?, 0, "the interrupted replies before the time");
    settled(reply.beat()).await??;
    clock.advance(SECONDS - 1);
    ensure_eq!(sweep().await?, 0, "the interrupted replies after a beat");
    settled(reply.push("b")).await??;
    clock.advance(SECONDS - 1);
    ensure_eq!(sweep().await?, 0, "the interrupted replies after a chunk");
    clock.jump(1000 * SECONDS);
    ensure_eq!(sweep().await?, 0, "the interrupted replies after a jump of the wall clock");
    clock.advance(SECONDS);
    ensure_eq!(sweep().await?, 1, "the interrupted replies after the time");
    ensure_eq!(ended(&other.session(session()?)).await?, "ab", "the interrupted text");
    ensure_eq!(
        told(settled(reply.push("c")).await?)?,
        ReplyEnd::Interrupted,
        "the answer to a push"
    );
    Ok(())
}

pub(crate) async fn a_sweep_interrupts_replies_that_nobody_holds(t: &mut Fixture) -> Checked {
    for n in 0..3 {
        leave_open(t, &id(&format!("open-{n}"))?, &["a"]).await?;
        t.create(&id(&format!("plain-{n}"))?, vec![crate::fixture::append(QUESTION)]).await?;
    }
    let (live, probe) = t.probed_registry();
    let mut reply = open_with(&live.session(id("live")?), &["a"]).await?;
    let sweeping = t.registry();
    let report = settled(sweeping.sweep(&*t.list()?)).await??;
    ensure!(report.failed.is_empty(), "a sweep failed: {:?}", report.failed);
    ensure_eq!(report.interrupted, 3, "the number of interrupted replies");
    for n in 0..3 {
        let chat = sweeping.session(id(&format!("open-{n}"))?);
        ensure_eq!(written(&chat).await?, "a", "the text of an interrupted message");
    }
    settled(reply.push("b")).await??;
    ensure_eq!(probe.commits(), 1, "the number of commits of the live producer");
    Ok(())
}

pub(crate) async fn expiry_takes_no_session_with_a_live_producer(t: &mut Fixture) -> Checked {
    const TTL: u64 = 1000;
    let clock = ManualClock::new();
    let writing = expiring_registry(t.store(), &clock, TTL, 100)?;
    let sweeping = expiring_registry(t.store(), &clock, TTL, 100)?;
    let chat = writing.session(session()?);
    let mut reply = open_with(&chat, &["a"]).await?;
    for _ in 0..3 {
        clock.advance(10 * TTL);
        for registry in [&sweeping, &writing] {
            let report = settled(registry.sweep(&*t.list()?)).await??;
            ensure!(report.failed.is_empty(), "a sweep failed: {:?}", report.failed);
            ensure_eq!(report.deleted, 0, "the number of expired sessions");
        }
    }
    settled(reply.push("b")).await??;
    settled(reply.finish()).await??;
    ensure_eq!(written(&chat).await?, "ab", "the text of the message");
    clock.advance(10 * TTL);
    let report = settled(sweeping.sweep(&*t.list()?)).await??;
    ensure_eq!(report.deleted, 1, "the number of expired sessions after the end of the reply");
    Ok(())
}
