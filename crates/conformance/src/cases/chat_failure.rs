//! After a failure the stored state is the truth (C4); changes are made again on a conflict (C5).

use crate::Failure;
use crate::failure::{ensure, ensure_eq};
use crate::fixture::{Checked, Fixture, session};
use crate::hub::{ManualClock, get, hub_on, said, say, set};
use crate::probe::{Probe, Trouble};
use durable_session::store::StoreErrorKind;
use durable_session::{ChatSession, ChatSessions, Error, JsonObject, Message, Window};
use futures_executor::block_on;
use futures_util::FutureExt;
use futures_util::future::join;
use std::thread;

/// A session with one message, whose next commit meets trouble.
async fn troubled(t: &Fixture, trouble: Trouble) -> Checked<(ChatSession, Probe)> {
    let (hub, probe) = t.probed_hub();
    let chat = hub.session(session()?);
    chat.add_message(say("begin")).await?;
    probe.trouble(trouble);
    Ok((chat, probe))
}

fn is_kind<T>(result: Result<T, Error>, kind: StoreErrorKind, what: &str) -> Checked {
    match result {
        Err(error) => ensure_eq!(error.store_kind(), Some(kind), "how {what} failed"),
        Ok(_) => return Err(Failure::new(format_args!("{what} succeeded although its commit failed"))),
    }
    Ok(())
}

pub(crate) async fn a_failed_commit_leaves_no_ghost(t: &mut Fixture) -> Checked {
    let (chat, probe) = troubled(t, Trouble::Fails(StoreErrorKind::Unavailable)).await?;
    is_kind(chat.add_message(say("ghost")).await, StoreErrorKind::Unavailable, "a call")?;
    ensure_eq!(said(&chat).await?, ["begin"], "what is said after a failed commit");
    ensure_eq!(chat.snapshot().await?.message_count(), 1, "the messages after a failed commit");
    probe.trouble(Trouble::Fails(StoreErrorKind::Unavailable));
    let turn = chat.turn(|draft| {
        draft.add_message(say("ghost"))?;
        draft.app_mut()?.set_json("ghost", "true").map_err(Error::rejected)
    });
    is_kind(turn.await, StoreErrorKind::Unavailable, "a turn")?;
    ensure_eq!(get(&chat, "ghost").await?, None, "the app state after a failed turn");
    ensure_eq!(chat.add_message(say("after")).await?.seq, 2, "the seq after failed commits");
    ensure_eq!(said(&t.hub().session(session()?)).await?, ["begin", "after"], "what is stored");
    Ok(())
}

pub(crate) async fn an_unknown_outcome_is_said_and_the_truth_is_read(t: &mut Fixture) -> Checked {
    let unknown = StoreErrorKind::OutcomeUnknown;
    let sent = || say("perhaps").with_id("m-1");
    for (trouble, there) in [(Trouble::FailsAfterWriting(unknown), true), (Trouble::Fails(unknown), false)] {
        let (chat, _probe) = troubled(t, trouble).await?;
        let result = chat.add_message(sent()).await;
        ensure!(result.as_ref().is_err_and(Error::outcome_unknown), "an unknown outcome ended as {result:?}");
        let expected = if there { vec!["begin", "perhaps"] } else { vec!["begin"] };
        ensure_eq!(said(&chat).await?, expected, "what is said after an unknown outcome");
        let again = chat.add_message(sent()).await?;
        ensure_eq!(
            (again.seq, again.replayed),
            (2, there),
            "the message sent again after an unknown outcome"
        );
        ensure_eq!(said(&t.hub().session(session()?)).await?, ["begin", "perhaps"], "what is stored");
        chat.delete().await?;
    }
    Ok(())
}

pub(crate) async fn a_failed_commit_fails_every_call_in_it_alike(t: &mut Fixture) -> Checked {
    let (hub, probe) = t.probed_hub();
    let chat = hub.session(session()?);
    chat.add_message(say("begin")).await?;
    probe.hold();
    let mut first = Box::pin(chat.add_message(say("first")));
    ensure!((&mut first).now_or_never().is_none(), "a call returned before its change was durable");
    let mut second = Box::pin(chat.add_message(say("second")));
    ensure!((&mut second).now_or_never().is_none(), "a call returned before its change was durable");
    let mut third = Box::pin(set(&chat, "third", "3"));
    ensure!((&mut third).now_or_never().is_none(), "a call returned before its change was durable");
    probe.trouble(Trouble::Fails(StoreErrorKind::Unavailable));
    probe.release();
    let (first, (second, third)) = join(first, join(second, third)).await;
    is_kind(first, StoreErrorKind::Unavailable, "the call whose commit failed")?;
    // They were gathered behind it, and are made on what is stored.
    ensure_eq!(second?.seq, 2, "the seq of a call that waited behind a failed commit");
    third?;
    ensure_eq!(said(&chat).await?, ["begin", "second"], "what is said");
    ensure_eq!(get(&chat, "third").await?.as_deref(), Some("3"), "the app state");
    probe.hold();
    let mut ahead = Box::pin(chat.add_message(say("ahead")));
    ensure!((&mut ahead).now_or_never().is_none(), "a call returned before its change was durable");
    let mut calls = Vec::new();
    for text in ["one", "two", "three"] {
        let mut call = Box::pin(chat.add_message(say(text)));
        ensure!((&mut call).now_or_never().is_none(), "a call returned before its change was durable");
        calls.push(call);
    }
    probe.release();
    ahead.await?;
    let mut results = Vec::new();
    probe.trouble(Trouble::Fails(StoreErrorKind::OutcomeUnknown));
    for call in calls {
        results.push(call.await.map(|added| added.seq).map_err(|error| error.store_kind()));
    }
    let all_failed = vec![Err(Some(StoreErrorKind::OutcomeUnknown)); 3];
    let all_done = vec![Ok(4), Ok(5), Ok(6)];
    // Whether the next commit began before the trouble came is the engine's business; that it is one commit is not.
    ensure!(
        results == all_failed || results == all_done,
        "calls of one commit ended differently: {results:?}"
    );
    Ok(())
}

pub(crate) async fn a_refused_call_fails_alone(t: &mut Fixture) -> Checked {
    let (hub, probe) = t.probed_hub();
    let chat = hub.session(session()?);
    chat.add_message(say("begin").with_id("m-1")).await?;
    probe.hold();
    let mut ahead = Box::pin(chat.add_message(say("ahead")));
    ensure!((&mut ahead).now_or_never().is_none(), "a call returned before its change was durable");
    let before = Box::pin(chat.add_message(say("before")));
    let reused = Box::pin(chat.add_message(say("something else").with_id("m-1")));
    let missing = Box::pin(chat.replace(99, say("nothing there")));
    let rejected = Box::pin(chat.turn(|draft| {
        draft.add_message(say("half"))?;
        Err::<(), _>(Error::rejected("no"))
    }));
    let after = Box::pin(chat.add_message(say("after")));
    let all = join(join(ahead, before), join(join(reused, missing), join(rejected, after)));
    let mut all = Box::pin(all);
    ensure!((&mut all).now_or_never().is_none(), "calls returned before their changes were durable");
    probe.release();
    let ((ahead, before), ((reused, missing), (rejected, after))) = all.await;
    ensure_eq!(
        (ahead?.seq, before?.seq, after?.seq),
        (2, 3, 4),
        "the seqs of the calls that were not refused"
    );
    ensure!(matches!(reused, Err(Error::IdReused { seq: 1, .. })), "a reused id ended as {reused:?}");
    ensure!(matches!(missing, Err(Error::NoSuchMessage { seq: 99, .. })), "a missing message: {missing:?}");
    ensure!(matches!(rejected, Err(Error::Rejected(_))), "a refused turn ended as {rejected:?}");
    let said = said(&t.hub().session(session()?)).await?;
    ensure_eq!(said, ["begin", "ahead", "before", "after"], "what is stored");
    Ok(())
}

pub(crate) async fn what_only_the_store_can_refuse_fails_alone_too(t: &mut Fixture) -> Checked {
    let id = session()?;
    let writer = t.hub().session(id.clone());
    writer.add_messages((1..=6).map(|n| say(&n.to_string())).collect()).await?;
    writer.remove(2).await?;
    let probe = Probe::new(t.store());
    // Seq 2 is before what this hub has in memory: it cannot know that there is no message.
    let window = Window { messages: 2, bytes: u64::MAX };
    let hub: ChatSessions = hub_on(probe.clone(), &ManualClock::new(), |builder| builder.window(window));
    let chat = hub.session(id);
    chat.snapshot().await?;
    probe.hold();
    let mut ahead = Box::pin(chat.add_message(say("ahead")));
    ensure!((&mut ahead).now_or_never().is_none(), "a call returned before its change was durable");
    let mut before = Box::pin(chat.add_message(say("before")));
    ensure!((&mut before).now_or_never().is_none(), "a call returned before its change was durable");
    let mut missing = Box::pin(chat.replace(2, say("nothing there")));
    ensure!((&mut missing).now_or_never().is_none(), "a call returned before its change was durable");
    let mut there = Box::pin(chat.add_message(say("there")));
    ensure!((&mut there).now_or_never().is_none(), "a call returned before its change was durable");
    probe.release();
    let ((ahead, before), (missing, there)) = join(join(ahead, before), join(missing, there)).await;
    ensure!(matches!(missing, Err(Error::NoSuchMessage { seq: 2, .. })), "a missing message: {missing:?}");
    // The two that shared its commit are made again, in either order.
    let (ahead, before, there) = (ahead?.seq, before?.seq, there?.seq);
    ensure_eq!((ahead, before.min(there), before.max(there)), (7, 8, 9), "the seqs of the other calls");
    let again = if before < there { ["before", "there"] } else { ["there", "before"] };
    let mut expected = vec!["1", "3", "4", "5", "6", "ahead"];
    expected.extend(again);
    ensure_eq!(said(&t.hub().session(session()?)).await?, expected, "what is said");
    Ok(())
}

pub(crate) async fn a_failed_load_is_an_error_and_not_an_empty_session(t: &mut Fixture) -> Checked {
    let id = session()?;
    t.hub().session(id.clone()).add_messages(vec![say("one"), say("two")]).await?;
    let (hub, probe) = t.probed_hub();
    let chat = hub.session(id.clone());
    probe.fail_next_load(StoreErrorKind::Unavailable);
    is_kind(chat.snapshot().await, StoreErrorKind::Unavailable, "a snapshot")?;
    probe.fail_next_load(StoreErrorKind::Corrupt);
    is_kind(chat.get_state().await, StoreErrorKind::Corrupt, "get_state")?;
    probe.fail_next_load(StoreErrorKind::Unavailable);
    is_kind(chat.add_message(say("lost")).await, StoreErrorKind::Unavailable, "add_message")?;
    ensure_eq!(probe.commits(), 0, "the commits on a session that could not be loaded");
    chat.add_message(say("three")).await?;
    ensure_eq!(said(&chat).await?, ["one", "two", "three"], "what is said when loads work again");
    Ok(())
}

pub(crate) async fn two_hubs_lose_nothing(t: &mut Fixture) -> Checked {
    const EACH: usize = 20;
    let id = session()?;
    let hubs = [t.hub(), t.hub()];
    let work = |who: usize| {
        let chat = hubs[who].session(id.clone());
        async move {
            for n in 0..EACH {
                uncontended(async || chat.add_message(say(&format!("{who} {n}"))).await).await?;
                uncontended(async || chat.update(increment).await).await?.map_err(Failure::new)?;
                crate::fixture::yield_now().await;
            }
            Ok::<_, Failure>(())
        }
    };
    let (one, two) = join(work(0), work(1)).await;
    one?;
    two?;
    nothing_is_lost(&t.hub().session(id), 2, EACH).await
}

/// Calls again, as a caller should, while the other hub is always first: nothing was changed then.
async fn uncontended<T>(mut call: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
    let mut tries = 20;
    loop {
        tries -= 1;
        match call().await {
            Err(Error::Contended { .. }) if tries > 0 => {}
            other => return other,
        }
    }
}

fn increment(app: &mut JsonObject) -> Result<(), durable_session::json::JsonError> {
    let count: u64 = app.get("count")?.unwrap_or(0);
    app.set("count", &(count + 1))
}

/// Every writer's messages are there once and in its order, and every increment counted.
async fn nothing_is_lost(chat: &ChatSession, writers: usize, each: usize) -> Checked {
    let all = said(chat).await?;
    ensure_eq!(all.len(), writers * each, "the number of messages");
    for who in 0..writers {
        let prefix = format!("{who} ");
        let own: Vec<_> = all.iter().filter(|text| text.starts_with(&prefix)).collect();
        let expected: Vec<_> = (0..each).map(|n| format!("{who} {n}")).collect();
        ensure_eq!(own, expected.iter().collect::<Vec<_>>(), "the messages of writer {who}");
    }
    ensure_eq!(get(chat, "count").await?, Some((writers * each).to_string()), "the increments counted");
    Ok(())
}

pub(crate) async fn hubs_in_threads_lose_nothing(t: &mut Fixture) -> Checked {
    const WRITERS: usize = 3;
    const EACH: usize = 12;
    let id = session()?;
    let threads: Vec<_> = (0..WRITERS)
        .map(|who| {
            let hub: ChatSessions =
                hub_on(t.store(), &ManualClock::new(), |builder| builder.attempts(u32::MAX));
            let chat = hub.session(id.clone());
            thread::spawn(move || {
                block_on(async {
                    for n in 0..EACH {
                        chat.add_message(say(&format!("{who} {n}"))).await?;
                        chat.update(increment).await?.map_err(Failure::new)?;
                    }
                    Ok::<_, Failure>(())
                })
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap_or_else(|payload| Err(Failure::from_panic(&*payload)))?;
    }
    nothing_is_lost(&t.hub().session(id), WRITERS, EACH).await
}

pub(crate) async fn a_turn_is_made_again_on_what_another_hub_left(t: &mut Fixture) -> Checked {
    let id = session()?;
    let (one, two) = (t.hub().session(id.clone()), t.hub().session(id));
    one.add_message(say("begin")).await?;
    ensure_eq!(two.snapshot().await?.message_count(), 1, "the messages to the other hub");
    one.add_message(say("one")).await?;
    set(&one, "owner", "\"one\"").await?;
    let mut seen = Vec::new();
    two.turn(|draft| {
        seen.push(draft.message_count());
        draft.add_message(say("two"))?;
        let owner = draft.app()?.get_json("owner").map(str::to_owned);
        draft.app_mut()?.set("before", &owner).map_err(Error::rejected)
    })
    .await?;
    ensure_eq!(seen.last(), Some(&2), "the messages that the turn saw in the end");
    ensure_eq!(said(&two).await?, ["begin", "one", "two"], "what is said");
    ensure_eq!(
        get(&two, "before").await?.as_deref(),
        Some("\"\\\"one\\\"\""),
        "what the turn saw of the app state"
    );
    ensure_eq!(get(&two, "owner").await?.as_deref(), Some("\"one\""), "what the other hub left");
    Ok(())
}

pub(crate) async fn a_change_that_always_meets_a_conflict_is_contended(t: &mut Fixture) -> Checked {
    let probe = Probe::new(t.store());
    let hub: ChatSessions = hub_on(probe.clone(), &ManualClock::new(), |builder| builder.attempts(4));
    let chat = hub.session(session()?);
    chat.add_message(say("begin")).await?;
    probe.trouble(Trouble::Conflicts(3));
    ensure_eq!(chat.add_message(say("at last")).await?.seq, 2, "the seq of a message after three conflicts");
    probe.trouble(Trouble::Conflicts(u32::MAX));
    let message = chat.add_message(say("never")).await;
    ensure!(matches!(message, Err(Error::Contended { .. })), "endless conflicts ended as {message:?}");
    let update = chat.update(|app: &mut JsonObject| app.set_json("never", "1").is_ok()).await;
    ensure!(matches!(update, Err(Error::Contended { .. })), "endless conflicts ended as {update:?}");
    probe.trouble(Trouble::Conflicts(0));
    ensure_eq!(said(&chat).await?, ["begin", "at last"], "what is said");
    ensure_eq!(get(&chat, "never").await?, None, "the app state");
    Ok(())
}

pub(crate) async fn a_turn_may_require_a_version(t: &mut Fixture) -> Checked {
    let id = session()?;
    let (one, two) = (t.hub().session(id.clone()), t.hub().session(id));
    let add = |text: &'static str| {
        move |draft: &mut durable_session::Draft<'_, JsonObject>| {
            draft.add_message(Message::user(text)).map(|_| ())
        }
    };
    one.turn_if(None, add("first")).await?;
    let version = one.snapshot().await?.version();
    two.add_message(say("between")).await?;
    // The other hub may not know yet; the store does.
    let late = one.turn_if(version, add("late")).await;
    ensure!(matches!(late, Err(Error::VersionChanged { .. })), "a turn on an old version ended as {late:?}");
    let never = two.turn_if(None, add("again")).await;
    ensure!(matches!(never, Err(Error::VersionChanged { .. })), "a turn on absence ended as {never:?}");
    let version = one.snapshot().await?.version();
    one.turn_if(version, add("last")).await?;
    ensure_eq!(said(&one).await?, ["first", "between", "last"], "what is said");
    Ok(())
}
