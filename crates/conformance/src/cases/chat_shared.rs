//! Session registries of several processes over one store that says that others write to it (C1,
//! S12).
//!
//! Each registry has an opening of its own, as if another process had it. A store that is shared
//! declares so itself, and the cases hold for it unchanged.

use crate::Failure;
use crate::failure::{ensure, ensure_eq};
use crate::fixture::{Checked, Fixture, session, yield_now};
use crate::probe::Probe;
use crate::registry::{ManualClock, another_opening, registry_on, said, say, settled, waits};
use crate::writing::{next, open_with};
use durable_session::store::{Hint, StoreErrorKind, Version};
use durable_session::{ChatSession, ChatSessions, Error, Reads, ReplyEnd, Watched, Watcher};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// The sessions of another process.
fn process(t: &Fixture) -> Checked<(ChatSessions, Probe)> {
    let probe = Probe::sharing(t.store(), another_opening()?);
    // A pause is over at the next turn of the executor.
    let set_up = |builder: durable_session::ChatSessionsBuilder| builder.watch_every(yield_now);
    Ok((registry_on(probe.clone(), &ManualClock::new(), set_up), probe))
}

/// The session as two processes have it, both with its present state in memory.
async fn two(t: &Fixture) -> Checked<(ChatSession, Probe, ChatSession)> {
    let ((ours, probe), (theirs, _)) = (process(t)?, process(t)?);
    let (chat, other) = (ours.session(session()?), theirs.session(session()?));
    settled(other.add_message(say("one"))).await??;
    ensure_eq!(settled(said(&chat)).await??, ["one"], "the messages at first");
    Ok((chat, probe, other))
}

/// The result of a call that asks again and again; a failure if it asked often and does not
/// return.
async fn heard<T>(probe: &Probe, call: impl Future<Output = T>) -> Checked<T> {
    // Many more than any store needs.
    const QUESTIONS: u64 = 200;
    let begun = probe.questions();
    let mut call = Box::pin(call);
    settled(poll_fn(|cx| match call.poll_unpin(cx) {
        Poll::Ready(value) => Poll::Ready(Ok(value)),
        Poll::Pending if probe.questions() - begun > QUESTIONS => {
            Poll::Ready(Err(Failure::new("the answers of the store brought no news")))
        }
        Poll::Pending => Poll::Pending,
    }))
    .await?
}

/// The next change that a watcher is told.
async fn told(probe: &Probe, watcher: &mut Watcher) -> Checked<durable_session::SessionChange> {
    match heard(probe, watcher.next()).await? {
        Watched::Changed(change) => Ok(change),
        _ => Err(Failure::new("a watcher lags after one change")),
    }
}

pub(crate) async fn reads_on_a_shared_store_see_the_changes_of_others(t: &mut Fixture) -> Checked {
    let (chat, _, other) = two(t).await?;
    settled(other.add_message(say("two"))).await??;
    ensure_eq!(settled(said(&chat)).await??, ["one", "two"], "after an append elsewhere");
    settled(other.replace(1, say("ONE"))).await??;
    let page = settled(chat.messages(durable_session::MessageQuery::at(1))).await??;
    let text = page.messages.first().and_then(|stored| stored.message.text());
    ensure_eq!(text.as_deref(), Some("ONE"), "a message that was replaced elsewhere");
    crate::registry::set(&other, "n", "7").await?;
    ensure_eq!(
        crate::registry::get(&chat, "n").await?.as_deref(),
        Some("7"),
        "app state that was set elsewhere"
    );
    ensure_eq!(
        settled(chat.snapshot()).await??.version(),
        settled(other.snapshot()).await??.version(),
        "the version in both processes"
    );
    ensure!(settled(other.delete()).await??, "the session was not there to be deleted");
    ensure!(!settled(chat.snapshot()).await??.exists(), "a session exists that was deleted");
    settled(chat.add_message(say("anew"))).await??;
    ensure_eq!(settled(said(&other)).await??, ["anew"], "after a new creation elsewhere");
    Ok(())
}

pub(crate) async fn reads_share_a_question_that_is_not_sent_and_no_other(
    t: &mut Fixture,
) -> Checked {
    let (chat, probe, other) = two(t).await?;
    let before = probe.loads();
    probe.hold_load_answers();
    let mut first = Box::pin(said(&chat));
    let answered = probe.load_answers();
    while probe.load_answers() == answered {
        waits(&mut first)?;
        yield_now().await;
    }
    // The answer to this question does not have this change.
    settled(other.add_message(say("two"))).await??;
    let mut later: Vec<_> = (0..8).map(|_| Box::pin(said(&chat))).collect();
    for read in &mut later {
        waits(read)?;
    }
    ensure_eq!(probe.loads() - before, 1, "the questions while the first one is under way");
    probe.release();
    ensure_eq!(settled(first).await??, ["one"], "the read that began before the change");
    for read in settled(join_all(later)).await? {
        ensure_eq!(read?, ["one", "two"], "a read that began after the change");
    }
    ensure_eq!(probe.loads() - before, 2, "the questions of all reads");
    Ok(())
}

pub(crate) async fn a_question_to_a_shared_store_names_the_version(t: &mut Fixture) -> Checked {
    let (chat, probe, other) = two(t).await?;
    for n in 0..4 {
        let version = settled(chat.snapshot()).await??.version();
        ensure!(version.is_some(), "the session has no version");
        ensure_eq!(probe.last_known(), version, "the version in a question");
        settled(other.add_message(say(&n.to_string()))).await??;
        let texts = settled(said(&chat)).await??;
        ensure_eq!(probe.last_known(), version, "the version in the question after a change");
        ensure_eq!(texts.len(), n + 2, "the messages after it");
    }
    Ok(())
}

pub(crate) async fn cached_reads_are_no_older_than_their_bound(t: &mut Fixture) -> Checked {
    const SECONDS: u64 = 10;
    let clock = ManualClock::new();
    let probe = Probe::sharing(t.store(), another_opening()?);
    let reads = Reads::Cached { at_most: Duration::from_secs(SECONDS) };
    let ours: ChatSessions = registry_on(probe.clone(), &clock, |builder| builder.reads(reads));
    let (chat, other) = (ours.session(session()?), process(t)?.0.session(session()?));
    clock.advance(1000);
    settled(other.add_message(say("one"))).await??;
    ensure_eq!(settled(said(&chat)).await??, ["one"], "the first read");
    for n in 0..3 {
        let questions = probe.loads();
        settled(other.add_message(say("more"))).await??;
        clock.advance(SECONDS);
        settled(said(&chat)).await??;
        ensure_eq!(probe.loads(), questions, "the questions within the bound");
        clock.advance(1);
        ensure_eq!(settled(said(&chat)).await??.len(), n + 2, "the messages beyond the bound");
    }
    Ok(())
}

pub(crate) async fn a_call_without_a_commit_decides_on_the_stored_state(
    t: &mut Fixture,
) -> Checked {
    let (chat, _, other) = two(t).await?;
    let known = || say("hello").with_id("m-1");
    let first = settled(chat.add_message(known())).await??;
    settled(other.remove(first.seq)).await??;
    let again = settled(chat.add_message(known())).await??;
    ensure!(!again.replayed, "a message counts as stored that was removed elsewhere");
    settled(other.add_message(say("two"))).await??;
    let counted = settled(chat.turn(|draft| Ok(draft.message_count()))).await??;
    ensure_eq!(counted, 3, "the messages that a turn without changes sees");
    let version = settled(other.snapshot()).await??.version();
    settled(other.add_message(say("three"))).await??;
    let late = settled(chat.turn_if(version, |draft| draft.add_message(say("late")))).await?;
    ensure!(
        matches!(late, Err(Error::VersionChanged { .. })),
        "a turn was made on a version that is no longer stored"
    );
    let version = settled(other.snapshot()).await??.version();
    settled(chat.turn_if(version, |draft| draft.add_message(say("four")))).await??;
    ensure_eq!(settled(said(&other)).await??.len(), 5, "the messages at the end");
    Ok(())
}

pub(crate) async fn watchers_on_a_shared_store_hear_of_the_changes_of_others(
    t: &mut Fixture,
) -> Checked {
    let (chat, probe, other) = two(t).await?;
    let mut watcher = chat.watch();
    for n in 2..5 {
        settled(other.add_message(say("more"))).await??;
        let change = told(&probe, &mut watcher).await?;
        ensure_eq!(change.appended, n..n + 1, "the messages that a watcher is told of");
        let version = settled(other.snapshot()).await??.version();
        ensure_eq!(change.version, version, "the version that a watcher is told");
    }
    settled(other.remove(2)).await??;
    ensure!(told(&probe, &mut watcher).await?.rewritten, "a watcher was not told of a removal");
    settled(other.delete()).await??;
    let change = told(&probe, &mut watcher).await?;
    ensure_eq!((change.version, change.rewritten), (None, true), "the news of a delete");
    Ok(())
}

pub(crate) async fn a_failed_question_costs_a_watcher_nothing_but_time(t: &mut Fixture) -> Checked {
    let (chat, probe, other) = two(t).await?;
    let mut watcher = chat.watch();
    probe.fail_next_load(StoreErrorKind::Unavailable);
    settled(other.add_message(say("two"))).await??;
    ensure_eq!(
        told(&probe, &mut watcher).await?.appended,
        2..3,
        "the news after a failed question"
    );
    probe.fail_next_load(StoreErrorKind::Unavailable);
    let failed = settled(chat.snapshot()).await?;
    ensure!(matches!(failed, Err(Error::Store(_))), "a read hides that its question failed");
    ensure_eq!(settled(said(&chat)).await??, ["one", "two"], "the next read");
    Ok(())
}

pub(crate) async fn hints_tell_watchers_of_the_changes_of_others(t: &mut Fixture) -> Checked {
    let probe = Probe::sharing(t.store(), another_opening()?);
    // Nothing asks at intervals.
    let ours: ChatSessions = registry_on(probe.clone(), &ManualClock::new(), |builder| builder);
    let (chat, other) = (ours.session(session()?), process(t)?.0.session(session()?));
    settled(other.add_message(say("one"))).await??;
    settled(chat.snapshot()).await??;
    let mut watcher = chat.watch();
    let mut listening = pin!(ours.listen(&probe));
    for (n, hint) in [
        // A lost hint is made good by the next one, and one too many does no harm.
        vec![Hint::Session(session()?)],
        vec![Hint::Session(crate::fixture::id("another")?), Hint::Session(session()?)],
        vec![],
        vec![Hint::Session(session()?), Hint::Session(session()?), Hint::Missed],
    ]
    .into_iter()
    .enumerate()
    {
        settled(other.add_message(say("more"))).await??;
        if hint.is_empty() {
            continue;
        }
        for hint in hint {
            probe.hint(hint);
        }
        let answers = probe.load_answers();
        let mut looks = 0;
        let mut next = Box::pin(watcher.next());
        let change = settled(poll_fn(|cx| {
            if let Poll::Ready(ended) = listening.as_mut().poll(cx) {
                let ended = ended.is_ok();
                return Poll::Ready(Err(Failure::new(format_args!("no more hints: {ended}"))));
            }
            looks += u32::from(probe.load_answers() > answers);
            match next.poll_unpin(cx) {
                Poll::Ready(change) => Poll::Ready(Ok(change)),
                Poll::Pending if looks > 1000 => {
                    Poll::Ready(Err(Failure::new("the answer after a hint brought no news")))
                }
                Poll::Pending => Poll::Pending,
            }
        }))
        .await??;
        drop(next);
        let version = settled(other.snapshot()).await??.version();
        let Watched::Changed(change) = change else {
            return Err(Failure::new("a watcher lags after one change"));
        };
        ensure_eq!(change.version, version, "the version after change {n}");
    }
    ensure_eq!(settled(said(&chat)).await??.len(), 5, "the messages at the end");
    Ok(())
}

pub(crate) async fn a_reply_is_followed_from_another_process(t: &mut Fixture) -> Checked {
    let ((ours, probe), (theirs, their_probe)) = (process(t)?, process(t)?);
    let (chat, other) = (ours.session(session()?), theirs.session(session()?));
    settled(chat.snapshot()).await??;
    let mut reply = open_with(&other, &["a"]).await?;
    let mut follow = settled(chat.follow(2, 0)).await??;
    ensure!(follow.was_open(), "a reply that is written elsewhere is not open");
    ensure_eq!(
        heard(&probe, next(&mut follow)).await??.ok(),
        Some((0, "a".to_owned())),
        "the first chunk"
    );
    for (at, chunk) in [(1, "b"), (2, "c")] {
        let mut waiting = Box::pin(heard(&probe, next(&mut follow)));
        for _ in 0..3 {
            ensure!(
                (&mut waiting).now_or_never().is_none(),
                "a follower got a chunk that nobody wrote"
            );
        }
        settled(reply.push(chunk)).await??;
        ensure_eq!(waiting.await??.ok(), Some((at, chunk.to_owned())), "the next chunk");
    }
    ensure_eq!(settled(chat.stop(2)).await??.how, ReplyEnd::Stopped, "the end of a stop");
    let ended = heard(&their_probe, reply.ended()).await??;
    ensure_eq!(ended.how, ReplyEnd::Stopped, "the end for the producer");
    let told = heard(&probe, next(&mut follow)).await??;
    ensure_eq!(told.err().map(|ended| ended.how), Some(ReplyEnd::Stopped), "a follower's end");
    Ok(())
}

pub(crate) async fn a_refresh_takes_in_the_changes_of_others(t: &mut Fixture) -> Checked {
    // As the store declares itself.
    let (chat, other) = (t.registry().session(session()?), t.registry().session(session()?));
    settled(chat.add_message(say("one"))).await??;
    settled(said(&other)).await??;
    let mut watcher = chat.watch();
    settled(other.add_message(say("two"))).await??;
    let version = settled(chat.refresh()).await??;
    ensure_eq!(version, settled(other.snapshot()).await??.version(), "the refreshed version");
    ensure_eq!(settled(said(&chat)).await??, ["one", "two"], "the messages after it");
    let change = watcher.next().now_or_never();
    let told = matches!(change, Some(Watched::Changed(change)) if change.appended == (2..3));
    ensure!(told, "a watcher was not told of the refresh");
    ensure_eq!(settled(chat.refresh()).await??, version, "the version without a change");
    settled(other.delete()).await??;
    ensure_eq!(settled(chat.refresh()).await??, None, "the version after a delete");
    Ok(())
}

pub(crate) async fn a_history_that_lost_commits_is_a_new_life(t: &mut Fixture) -> Checked {
    let probe = Probe::sharing(t.store(), another_opening()?);
    let set_up = |builder: durable_session::ChatSessionsBuilder| builder.watch_every(yield_now);
    let ours: ChatSessions = registry_on(probe.clone(), &ManualClock::new(), set_up);
    let chat = ours.session(session()?);
    settled(chat.add_message(say("one"))).await??;
    t.back_up().await?;
    settled(chat.add_message(say("lost"))).await??;
    let lost = settled(chat.snapshot()).await??.version();
    let mut watcher = chat.watch();
    // Another server takes over without the last commit, and goes on.
    probe.disconnect();
    t.restore_backup().await?;
    let other = t.registry().session(session()?);
    settled(other.add_message(say("in its place"))).await??;
    let now = settled(other.snapshot()).await??.version();
    ensure_eq!(
        now.map(Version::counter),
        lost.map(Version::counter),
        "the counters of the two histories"
    );
    probe.connect(t.store());
    ensure_eq!(settled(said(&chat)).await??, ["one", "in its place"], "the messages");
    ensure!(
        told(&probe, &mut watcher).await?.rewritten,
        "a watcher was not told of the other history"
    );
    let late = settled(chat.turn_if(lost, |draft| draft.add_message(say("late")))).await?;
    ensure!(
        matches!(late, Err(Error::VersionChanged { .. })),
        "a version of the lost history is accepted"
    );
    settled(chat.add_message(say("on"))).await??;
    ensure_eq!(settled(said(&chat)).await??, ["one", "in its place", "on"], "the end");
    Ok(())
}
