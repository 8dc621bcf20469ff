//! Durable, then visible (C1); one live instance (C2); one order, few commits (C3).

use crate::Failure;
use crate::failure::{ensure, ensure_eq};
use crate::fixture::{Checked, Fixture, id, session};
use crate::probe::Probe;
use crate::registry::{ManualClock, get, registry_on, said, say, set, settled, waits};
use durable_session::{ChatSession, ChatSessions, Memory};
use futures_util::FutureExt;
use futures_util::future::join_all;
use std::time::Duration;

/// Checks that a new registry, which has only the store, reads the same state.
async fn same_to_a_new_registry(t: &Fixture, chat: &ChatSession, subject: &str) -> Checked {
    let other = t.registry().session(chat.id().clone());
    ensure_eq!(
        other.get_state_json().await?,
        chat.get_state_json().await?,
        "the state that a new registry reads after {subject}"
    );
    Ok(())
}

pub(crate) async fn changes_of_a_call_are_visible_to_a_new_registry(t: &mut Fixture) -> Checked {
    let chat = t.registry().session(session()?);
    chat.add_message(say("one")).await?;
    same_to_a_new_registry(t, &chat, "add_message").await?;
    chat.add_messages(vec![say("two"), say("three"), say("four")]).await?;
    same_to_a_new_registry(t, &chat, "add_messages").await?;
    set(&chat, "step", "{\"at\": 1}").await?;
    same_to_a_new_registry(t, &chat, "update").await?;
    chat.turn(|draft| {
        draft.add_message(say("five"))?;
        draft.app_mut()?.set_json("step", "2").map_err(durable_session::Error::rejected)
    })
    .await?;
    same_to_a_new_registry(t, &chat, "turn").await?;
    chat.replace(2, say("two, at more length")).await?;
    same_to_a_new_registry(t, &chat, "replace").await?;
    chat.pop().await?;
    same_to_a_new_registry(t, &chat, "pop").await?;
    chat.add_message(say("six")).await?;
    chat.forget_before(2).await?;
    same_to_a_new_registry(t, &chat, "forget_before").await?;
    chat.rewind_to(3).await?;
    same_to_a_new_registry(t, &chat, "rewind_to").await?;
    ensure_eq!(said(&chat).await?, ["two, at more length", "three"], "the texts in the end");
    ensure_eq!(get(&chat, "step").await?.as_deref(), Some("2"), "the app state in the end");
    chat.reset().await?;
    same_to_a_new_registry(t, &chat, "reset").await?;
    chat.add_message(say("seven")).await?;
    same_to_a_new_registry(t, &chat, "reset and add_message").await?;
    chat.delete().await?;
    ensure!(t.maybe_all(chat.id()).await?.is_none(), "a deleted session is still stored");
    Ok(())
}

pub(crate) async fn a_crash_keeps_the_changes_of_calls_that_returned(t: &mut Fixture) -> Checked {
    let id = session()?;
    for round in 1..=4_usize {
        {
            let chat = t.registry().session(id.clone());
            chat.add_message(say("one")).await?;
            chat.add_messages(vec![say("two"), say("three")]).await?;
            set(&chat, "round", &round.to_string()).await?;
        }
        t.crash_and_reopen().await?;
        let chat = t.registry().session(id.clone());
        ensure_eq!(
            said(&chat).await?,
            ["one", "two", "three"].repeat(round),
            "the texts after crash {round}"
        );
        ensure_eq!(
            get(&chat, "round").await?,
            Some(round.to_string()),
            "the app state after crash {round}"
        );
    }
    Ok(())
}

pub(crate) async fn readers_do_not_wait_behind_a_writer(t: &mut Fixture) -> Checked {
    let (registry, probe) = t.probed_registry();
    let chat = registry.session(session()?);
    chat.add_message(say("before")).await?;
    probe.hold();
    let mut writing = Box::pin(chat.add_message(say("after")));
    waits(&mut writing)?;
    let seen = chat.snapshot().await?;
    ensure_eq!(seen.message_count(), 1, "the number of messages while a commit is under way");
    ensure_eq!(said(&chat).await?, ["before"], "the texts while a commit is under way");
    probe.release();
    ensure_eq!(writing.await?.seq, 2, "the seq of the message written");
    ensure_eq!(said(&chat).await?, ["before", "after"], "the texts after the commit");
    Ok(())
}

pub(crate) async fn concurrent_first_uses_load_a_session_once(t: &mut Fixture) -> Checked {
    let id = session()?;
    t.registry().session(id.clone()).add_message(say("here")).await?;
    let (registry, probe) = t.probed_registry();
    let handles: Vec<_> = (0..8).map(|_| registry.session(id.clone())).collect();
    probe.hold_loads();
    let mut uses: Vec<_> = handles.iter().map(|handle| Box::pin(handle.snapshot())).collect();
    for first_use in &mut uses {
        ensure!(first_use.now_or_never().is_none(), "a session was used before it was loaded");
    }
    probe.release();
    for snapshot in join_all(uses).await {
        ensure_eq!(
            snapshot?.message_count(),
            1,
            "the messages of a session loaded by several at once"
        );
    }
    // On a shared store, uses that begin while the load is under way ask once more.
    ensure_eq!(probe.first_loads(), 1, "the number of loads of concurrent first uses");
    Ok(())
}

pub(crate) async fn handles_share_a_session_after_it_was_evicted(t: &mut Fixture) -> Checked {
    let (clock, probe) = (ManualClock::new(), Probe::new(t.store()));
    let tiny = Memory { bytes: 1, idle: Duration::ZERO };
    let registry: ChatSessions = registry_on(probe.clone(), &clock, |builder| builder.memory(tiny));
    let (one, two) = (registry.session(session()?), registry.session(session()?));
    let mut expected = Vec::new();
    for n in 0..8 {
        let chat = if n % 2 == 0 { &one } else { &two };
        let text = n.to_string();
        let seq = chat.add_message(say(&text)).await?.seq;
        expected.push(text);
        ensure_eq!(seq, n + 1, "the seq of message {n}");
        registry.session(id(&format!("another-{n}"))?).add_message(say("x")).await?;
        clock.advance(1);
        ensure_eq!(
            (said(&one).await?, said(&two).await?),
            (expected.clone(), expected.clone()),
            "the texts through both handles"
        );
    }
    ensure!(registry.stats().evictions > 0, "no session was evicted from a memory of one byte");
    Ok(())
}

pub(crate) async fn calls_made_during_a_commit_share_the_next_one(t: &mut Fixture) -> Checked {
    const CALLS: u64 = 20;
    let (registry, probe) = t.probed_registry();
    let chat = registry.session(session()?);
    chat.add_message(say("begin")).await?;
    let before = probe.commits();
    probe.hold();
    let texts: Vec<_> = (1..=CALLS).map(|n| n.to_string()).collect();
    let mut calls: Vec<_> =
        texts.iter().map(|text| Box::pin(chat.add_message(say(text)))).collect();
    for call in &mut calls {
        waits(call)?;
    }
    probe.release();
    for (added, seq) in join_all(calls).await.into_iter().zip(2..) {
        ensure_eq!(added?.seq, seq, "the seq of a call, in the order of the calls");
    }
    ensure_eq!(
        probe.commits() - before,
        2,
        "the number of commits of {CALLS} calls, all but one made during the first commit"
    );
    let said = said(&t.registry().session(session()?)).await?;
    ensure_eq!(said[1..], texts, "the texts, in the order of the calls");
    Ok(())
}

pub(crate) async fn a_dropped_caller_stops_nothing(t: &mut Fixture) -> Checked {
    let (registry, probe) = t.probed_registry();
    let chat = registry.session(session()?);
    chat.add_message(say("begin")).await?;
    probe.hold();
    let mut gone = Box::pin(chat.add_messages(vec![say("gone 1"), say("gone 2")]));
    waits(&mut gone)?;
    let mut queued = Box::pin(chat.add_messages(vec![say("queued 1"), say("queued 2")]));
    waits(&mut queued)?;
    let mut stays = Box::pin(chat.add_message(say("stays")));
    waits(&mut stays)?;
    drop(gone);
    drop(queued);
    probe.release();
    settled(stays).await??;
    let said = said(&t.registry().session(session()?)).await?;
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
            return Err(Failure::new(format_args!(
                "{part:?} is missing or out of order in {said:?}"
            )));
        }
    }
    ensure!(left.is_empty(), "half of a dropped call was made: {said:?}");
    Ok(())
}

pub(crate) async fn a_dropped_caller_does_not_stop_others_in_its_commit(
    t: &mut Fixture,
) -> Checked {
    let (registry, probe) = t.probed_registry();
    let chat = registry.session(session()?);
    chat.add_message(say("begin")).await?;
    probe.hold();
    let mut ahead = Box::pin(chat.add_message(say("ahead")));
    waits(&mut ahead)?;
    let mut gone = Box::pin(chat.add_messages(vec![say("gone 1"), say("gone 2")]));
    waits(&mut gone)?;
    let mut stays = Box::pin(chat.add_message(say("stays")));
    waits(&mut stays)?;
    probe.pass_one();
    settled(ahead).await??;
    // The two calls share the commit that is under way now, and the first is dropped.
    waits(&mut gone)?;
    drop(gone);
    probe.release();
    settled(stays).await??;
    let said = said(&t.registry().session(session()?)).await?;
    let whole = said == ["begin", "ahead", "gone 1", "gone 2", "stays"];
    ensure!(
        whole || said == ["begin", "ahead", "stays"],
        "the texts after a caller was dropped: {said:?}"
    );
    Ok(())
}
