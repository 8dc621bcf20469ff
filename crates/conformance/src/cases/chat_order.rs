//! Durable, then visible (C1); one live instance (C2); one order, few commits (C3).

use crate::Failure;
use crate::failure::{ensure, ensure_eq};
use crate::fixture::{Checked, Fixture, id, session};
use crate::hub::{ManualClock, get, hub_on, said, say, set, settled};
use crate::probe::Probe;
use durable_session::{ChatSession, ChatSessions, Memory};
use futures_util::FutureExt;
use futures_util::future::join_all;
use std::time::Duration;

/// The session must be the same to a hub that has only the store to go by.
async fn same_to_a_new_hub(t: &Fixture, chat: &ChatSession, what: &str) -> Checked {
    let other = t.hub().session(chat.id().clone());
    ensure_eq!(
        other.get_state_json().await?,
        chat.get_state_json().await?,
        "the state to a new hub after {what}"
    );
    Ok(())
}

pub(crate) async fn what_a_call_did_is_there_for_a_new_hub(t: &mut Fixture) -> Checked {
    let chat = t.hub().session(session()?);
    chat.add_message(say("one")).await?;
    same_to_a_new_hub(t, &chat, "add_message").await?;
    chat.add_messages(vec![say("two"), say("three"), say("four")]).await?;
    same_to_a_new_hub(t, &chat, "add_messages").await?;
    set(&chat, "step", "{\"at\": 1}").await?;
    same_to_a_new_hub(t, &chat, "update").await?;
    chat.turn(|draft| {
        draft.add_message(say("five"))?;
        draft.app_mut()?.set_json("step", "2").map_err(durable_session::Error::rejected)
    })
    .await?;
    same_to_a_new_hub(t, &chat, "turn").await?;
    chat.replace(2, say("two, at more length")).await?;
    same_to_a_new_hub(t, &chat, "replace").await?;
    chat.pop().await?;
    same_to_a_new_hub(t, &chat, "pop").await?;
    chat.add_message(say("six")).await?;
    chat.forget_before(2).await?;
    same_to_a_new_hub(t, &chat, "forget_before").await?;
    chat.rewind_to(3).await?;
    same_to_a_new_hub(t, &chat, "rewind_to").await?;
    ensure_eq!(said(&chat).await?, ["two, at more length", "three"], "what is said in the end");
    ensure_eq!(get(&chat, "step").await?.as_deref(), Some("2"), "the app state in the end");
    chat.reset().await?;
    same_to_a_new_hub(t, &chat, "reset").await?;
    chat.add_message(say("seven")).await?;
    same_to_a_new_hub(t, &chat, "reset and add_message").await?;
    chat.delete().await?;
    ensure!(t.maybe_all(chat.id()).await?.is_none(), "a deleted session is still stored");
    Ok(())
}

pub(crate) async fn a_crash_keeps_what_calls_returned(t: &mut Fixture) -> Checked {
    let id = session()?;
    for round in 1..=4_usize {
        {
            let chat = t.hub().session(id.clone());
            chat.add_message(say("one")).await?;
            chat.add_messages(vec![say("two"), say("three")]).await?;
            set(&chat, "round", &round.to_string()).await?;
        }
        t.crash_and_reopen().await?;
        let chat = t.hub().session(id.clone());
        ensure_eq!(
            said(&chat).await?,
            ["one", "two", "three"].repeat(round),
            "what is said after crash {round}"
        );
        ensure_eq!(get(&chat, "round").await?, Some(round.to_string()), "the app state after crash {round}");
    }
    Ok(())
}

pub(crate) async fn readers_do_not_wait_behind_a_writer(t: &mut Fixture) -> Checked {
    let (hub, probe) = t.probed_hub();
    let chat = hub.session(session()?);
    chat.add_message(say("before")).await?;
    probe.hold();
    let mut writing = Box::pin(chat.add_message(say("after")));
    ensure!((&mut writing).now_or_never().is_none(), "a call returned before its change was durable");
    let seen = chat.snapshot().await?;
    ensure_eq!(seen.message_count(), 1, "the messages seen while a commit is under way");
    ensure_eq!(said(&chat).await?, ["before"], "what is said while a commit is under way");
    probe.release();
    ensure_eq!(writing.await?.seq, 2, "the seq of the message written");
    ensure_eq!(said(&chat).await?, ["before", "after"], "what is said after the commit");
    Ok(())
}

pub(crate) async fn simultaneous_first_uses_load_once(t: &mut Fixture) -> Checked {
    let id = session()?;
    t.hub().session(id.clone()).add_message(say("here")).await?;
    let (hub, probe) = t.probed_hub();
    let handles: Vec<_> = (0..8).map(|_| hub.session(id.clone())).collect();
    probe.hold_loads();
    let mut uses: Vec<_> = handles.iter().map(|handle| Box::pin(handle.snapshot())).collect();
    for first_use in &mut uses {
        ensure!(first_use.now_or_never().is_none(), "a session was used before it was loaded");
    }
    probe.release();
    for snapshot in join_all(uses).await {
        ensure_eq!(snapshot?.message_count(), 1, "the messages of a session loaded by several at once");
    }
    ensure_eq!(probe.loads(), 1, "the loads of simultaneous first uses");
    Ok(())
}

pub(crate) async fn eviction_never_splits_a_session(t: &mut Fixture) -> Checked {
    let (clock, probe) = (ManualClock::new(), Probe::new(t.store()));
    let tiny = Memory { bytes: 1, idle: Duration::ZERO };
    let hub: ChatSessions = hub_on(probe.clone(), &clock, |builder| builder.memory(tiny));
    let (one, two) = (hub.session(session()?), hub.session(session()?));
    let mut expected = Vec::new();
    for n in 0..8 {
        let chat = if n % 2 == 0 { &one } else { &two };
        let text = n.to_string();
        let seq = chat.add_message(say(&text)).await?.seq;
        expected.push(text);
        ensure_eq!(seq, n + 1, "the seq of message {n}");
        hub.session(id(&format!("another-{n}"))?).add_message(say("x")).await?;
        clock.advance(1);
        ensure_eq!(
            (said(&one).await?, said(&two).await?),
            (expected.clone(), expected.clone()),
            "both handles"
        );
    }
    ensure!(hub.stats().evictions > 0, "nothing was ever evicted from a memory of one byte");
    Ok(())
}

pub(crate) async fn calls_gather_while_a_commit_is_under_way(t: &mut Fixture) -> Checked {
    const CALLS: u64 = 20;
    let (hub, probe) = t.probed_hub();
    let chat = hub.session(session()?);
    chat.add_message(say("begin")).await?;
    let before = probe.commits();
    probe.hold();
    let texts: Vec<_> = (1..=CALLS).map(|n| n.to_string()).collect();
    let mut calls: Vec<_> = texts.iter().map(|text| Box::pin(chat.add_message(say(text)))).collect();
    for call in &mut calls {
        ensure!(call.now_or_never().is_none(), "a call returned before its change was durable");
    }
    probe.release();
    for (added, seq) in join_all(calls).await.into_iter().zip(2..) {
        ensure_eq!(added?.seq, seq, "the seq of a call, in the order of the calls");
    }
    ensure_eq!(
        probe.commits() - before,
        2,
        "the commits of {CALLS} calls, all but one made during the first"
    );
    let said = said(&t.hub().session(session()?)).await?;
    ensure_eq!(said[1..], texts, "what is said, in the order of the calls");
    Ok(())
}

pub(crate) async fn a_dropped_caller_stops_nothing(t: &mut Fixture) -> Checked {
    let (hub, probe) = t.probed_hub();
    let chat = hub.session(session()?);
    chat.add_message(say("begin")).await?;
    probe.hold();
    let mut gone = Box::pin(chat.add_messages(vec![say("gone 1"), say("gone 2")]));
    ensure!((&mut gone).now_or_never().is_none(), "a call returned before its change was durable");
    let mut queued = Box::pin(chat.add_messages(vec![say("queued 1"), say("queued 2")]));
    ensure!((&mut queued).now_or_never().is_none(), "a call returned before its change was durable");
    let mut stays = Box::pin(chat.add_message(say("stays")));
    ensure!((&mut stays).now_or_never().is_none(), "a call returned before its change was durable");
    drop(gone);
    drop(queued);
    probe.release();
    settled(stays).await??;
    let said = said(&t.hub().session(session()?)).await?;
    let mut left = said.as_slice();
    for (part, must) in [
        (&["begin"][..], true),
        (&["gone 1", "gone 2"], false),
        (&["queued 1", "queued 2"], false),
        (&["stays"], true),
    ] {
        if left.len() >= part.len() && left[..part.len()] == *part {
            left = &left[part.len()..];
        } else if must {
            return Err(Failure::new(format_args!("{part:?} is missing or out of place in {said:?}")));
        }
    }
    ensure!(left.is_empty(), "half of what a dropped caller wanted is there: {said:?}");
    Ok(())
}

pub(crate) async fn a_dropped_caller_takes_nobody_with_it(t: &mut Fixture) -> Checked {
    let (hub, probe) = t.probed_hub();
    let chat = hub.session(session()?);
    chat.add_message(say("begin")).await?;
    probe.hold();
    let mut ahead = Box::pin(chat.add_message(say("ahead")));
    ensure!((&mut ahead).now_or_never().is_none(), "a call returned before its change was durable");
    let mut gone = Box::pin(chat.add_messages(vec![say("gone 1"), say("gone 2")]));
    ensure!((&mut gone).now_or_never().is_none(), "a call returned before its change was durable");
    let mut stays = Box::pin(chat.add_message(say("stays")));
    ensure!((&mut stays).now_or_never().is_none(), "a call returned before its change was durable");
    probe.pass_one();
    settled(ahead).await??;
    // The two share the commit that is under way now, and the first of them goes.
    ensure!((&mut gone).now_or_never().is_none(), "a call returned before its change was durable");
    drop(gone);
    probe.release();
    settled(stays).await??;
    let said = said(&t.hub().session(session()?)).await?;
    let whole = said == ["begin", "ahead", "gone 1", "gone 2", "stays"];
    ensure!(whole || said == ["begin", "ahead", "stays"], "what is said after a caller went: {said:?}");
    Ok(())
}
