//! After a failure the stored state is read again (C4); changes are repeated on a conflict (C5).

use crate::Failure;
use crate::failure::{ensure, ensure_eq};
use crate::fixture::{Checked, Fixture, session};
use crate::probe::{Fault, Probe};
use crate::registry::{ManualClock, get, registry_on, said, say, set, waits};
use durable_session::store::StoreErrorKind;
use durable_session::{ChatSession, ChatSessions, Error, JsonObject, Message, Window};
use futures_executor::block_on;
use futures_util::future::join;
use std::thread;

/// A session with one message, whose next commit meets the fault.
async fn with_fault(t: &Fixture, fault: Fault) -> Checked<(ChatSession, Probe)> {
    let (registry, probe) = t.probed_registry();
    let chat = registry.session(session()?);
    chat.add_message(say("begin")).await?;
    probe.inject(fault);
    Ok((chat, probe))
}

fn is_kind<T>(result: Result<T, Error>, kind: StoreErrorKind, subject: &str) -> Checked {
    match result {
        Err(error) => {
            ensure_eq!(error.store_kind(), Some(kind), "the kind of the error of {subject}");
        }
        Ok(_) => {
            return Err(Failure::new(format_args!(
                "{subject} succeeded although its commit failed"
            )));
        }
    }
    Ok(())
}

pub(crate) async fn a_failed_commit_leaves_no_change_in_memory(t: &mut Fixture) -> Checked {
    let (chat, probe) = with_fault(t, Fault::Fails(StoreErrorKind::Unavailable)).await?;
    is_kind(chat.add_message(say("ghost")).await, StoreErrorKind::Unavailable, "a call")?;
    ensure_eq!(said(&chat).await?, ["begin"], "the texts after a failed commit");
    ensure_eq!(chat.snapshot().await?.message_count(), 1, "the messages after a failed commit");
    probe.inject(Fault::Fails(StoreErrorKind::Unavailable));
    let turn = chat.turn(|draft| {
        draft.add_message(say("ghost"))?;
        draft.app_mut()?.set_json("ghost", "true").map_err(Error::rejected)
    });
    is_kind(turn.await, StoreErrorKind::Unavailable, "a turn")?;
    ensure_eq!(get(&chat, "ghost").await?, None, "the app state after a failed turn");
    ensure_eq!(chat.add_message(say("after")).await?.seq, 2, "the seq after failed commits");
    ensure_eq!(
        said(&t.registry().session(session()?)).await?,
        ["begin", "after"],
        "the stored texts"
    );
    Ok(())
}

pub(crate) async fn after_an_unknown_outcome_the_stored_state_is_read(t: &mut Fixture) -> Checked {
    let unknown = StoreErrorKind::OutcomeUnknown;
    let sent = || say("perhaps").with_id("m-1");
    for (fault, there) in
        [(Fault::FailsAfterWriting(unknown), true), (Fault::Fails(unknown), false)]
    {
        let (chat, _probe) = with_fault(t, fault).await?;
        let result = chat.add_message(sent()).await;
        ensure!(
            result.as_ref().is_err_and(Error::outcome_unknown),
            "an unknown outcome ended as {result:?}"
        );
        let expected = if there { vec!["begin", "perhaps"] } else { vec!["begin"] };
        ensure_eq!(said(&chat).await?, expected, "the texts after an unknown outcome");
        let again = chat.add_message(sent()).await?;
        ensure_eq!(
            (again.seq, again.replayed),
            (2, there),
            "the message sent again after an unknown outcome"
        );
        ensure_eq!(
            said(&t.registry().session(session()?)).await?,
            ["begin", "perhaps"],
            "the stored texts"
        );
        chat.delete().await?;
    }
    Ok(())
}

pub(crate) async fn a_failed_commit_fails_every_call_in_it(t: &mut Fixture) -> Checked {
    let (registry, probe) = t.probed_registry();
    let chat = registry.session(session()?);
    chat.add_message(say("begin")).await?;
    probe.hold();
    let mut first = Box::pin(chat.add_message(say("first")));
    waits(&mut first)?;
    let mut second = Box::pin(chat.add_message(say("second")));
    waits(&mut second)?;
    let mut third = Box::pin(set(&chat, "third", "3"));
    waits(&mut third)?;
    probe.inject(Fault::Fails(StoreErrorKind::Unavailable));
    probe.release();
    let (first, (second, third)) = join(first, join(second, third)).await;
    is_kind(first, StoreErrorKind::Unavailable, "the call whose commit failed")?;
    // The other two were in the next commit, and are made on the stored state.
    ensure_eq!(second?.seq, 2, "the seq of a call that waited behind a failed commit");
    third?;
    ensure_eq!(said(&chat).await?, ["begin", "second"], "the texts of the session");
    ensure_eq!(get(&chat, "third").await?.as_deref(), Some("3"), "the app state");
    probe.hold();
    let mut ahead = Box::pin(chat.add_message(say("ahead")));
    waits(&mut ahead)?;
    let mut calls = Vec::new();
    for text in ["one", "two", "three"] {
        let mut call = Box::pin(chat.add_message(say(text)));
        waits(&mut call)?;
        calls.push(call);
    }
    probe.release();
    ahead.await?;
    let mut results = Vec::new();
    probe.inject(Fault::Fails(StoreErrorKind::OutcomeUnknown));
    for call in calls {
        results.push(call.await.map(|added| added.seq).map_err(|error| error.store_kind()));
    }
    let all_failed = vec![Err(Some(StoreErrorKind::OutcomeUnknown)); 3];
    let all_done = vec![Ok(4), Ok(5), Ok(6)];
    // The next commit may have begun before the fault was injected, but it must be one commit.
    ensure!(
        results == all_failed || results == all_done,
        "the calls of one commit have different results: {results:?}"
    );
    Ok(())
}

pub(crate) async fn a_refused_call_fails_alone(t: &mut Fixture) -> Checked {
    let (registry, probe) = t.probed_registry();
    let chat = registry.session(session()?);
    chat.add_message(say("begin").with_id("m-1")).await?;
    probe.hold();
    let mut ahead = Box::pin(chat.add_message(say("ahead")));
    waits(&mut ahead)?;
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
    waits(&mut all)?;
    probe.release();
    let ((ahead, before), ((reused, missing), (rejected, after))) = all.await;
    ensure_eq!(
        (ahead?.seq, before?.seq, after?.seq),
        (2, 3, 4),
        "the seqs of the calls that were not refused"
    );
    ensure!(
        matches!(reused, Err(Error::IdReused { seq: 1, .. })),
        "a reused id ended as {reused:?}"
    );
    ensure!(
        matches!(missing, Err(Error::NoSuchMessage { seq: 99, .. })),
        "a missing message: {missing:?}"
    );
    ensure!(matches!(rejected, Err(Error::Rejected(_))), "a refused turn ended as {rejected:?}");
    let said = said(&t.registry().session(session()?)).await?;
    ensure_eq!(said, ["begin", "ahead", "before", "after"], "the stored texts");
    Ok(())
}

pub(crate) async fn a_call_that_only_the_store_can_refuse_fails_alone(t: &mut Fixture) -> Checked {
    let id = session()?;
    let writer = t.registry().session(id.clone());
    writer.add_messages((1..=6).map(|n| say(&n.to_string())).collect()).await?;
    writer.remove(2).await?;
    let probe = Probe::new(t.store());
    // Seq 2 is before the window in memory: the registry cannot know that it has no message.
    let window = Window { messages: 2, bytes: u64::MAX };
    let registry: ChatSessions =
        registry_on(probe.clone(), &ManualClock::new(), |builder| builder.window(window));
    let chat = registry.session(id);
    chat.snapshot().await?;
    probe.hold();
    let mut ahead = Box::pin(chat.add_message(say("ahead")));
    waits(&mut ahead)?;
    let mut before = Box::pin(chat.add_message(say("before")));
    waits(&mut before)?;
    let mut missing = Box::pin(chat.replace(2, say("nothing there")));
    waits(&mut missing)?;
    let mut there = Box::pin(chat.add_message(say("there")));
    waits(&mut there)?;
    probe.release();
    let ((ahead, before), (missing, there)) = join(join(ahead, before), join(missing, there)).await;
    ensure!(
        matches!(missing, Err(Error::NoSuchMessage { seq: 2, .. })),
        "a missing message: {missing:?}"
    );
    // The two calls in the same commit are repeated, in either order.
    let (ahead, before, there) = (ahead?.seq, before?.seq, there?.seq);
    ensure_eq!(
        (ahead, before.min(there), before.max(there)),
        (7, 8, 9),
        "the seqs of the other calls"
    );
    let again = if before < there { ["before", "there"] } else { ["there", "before"] };
    let mut expected = vec!["1", "3", "4", "5", "6", "ahead"];
    expected.extend(again);
    ensure_eq!(
        said(&t.registry().session(session()?)).await?,
        expected,
        "the texts of the session"
    );
    Ok(())
}

pub(crate) async fn a_failed_load_is_an_error_and_not_an_empty_session(t: &mut Fixture) -> Checked {
    let id = session()?;
    t.registry().session(id.clone()).add_messages(vec![say("one"), say("two")]).await?;
    let (registry, probe) = t.probed_registry();
    let chat = registry.session(id.clone());
    probe.fail_next_load(StoreErrorKind::Unavailable);
    is_kind(chat.snapshot().await, StoreErrorKind::Unavailable, "a snapshot")?;
    probe.fail_next_load(StoreErrorKind::Corrupt);
    is_kind(chat.get_state().await, StoreErrorKind::Corrupt, "get_state")?;
    probe.fail_next_load(StoreErrorKind::Unavailable);
    is_kind(chat.add_message(say("lost")).await, StoreErrorKind::Unavailable, "add_message")?;
    ensure_eq!(probe.commits(), 0, "the commits on a session that could not be loaded");
    chat.add_message(say("three")).await?;
    ensure_eq!(said(&chat).await?, ["one", "two", "three"], "the texts when loads work again");
    Ok(())
}

pub(crate) async fn two_registries_on_one_store_lose_no_change(t: &mut Fixture) -> Checked {
    const EACH: usize = 20;
    let id = session()?;
    let registries = [t.registry(), t.registry()];
    let work = |writer: usize| {
        let chat = registries[writer].session(id.clone());
        async move {
            for n in 0..EACH {
                uncontended(async || chat.add_message(say(&format!("{writer} {n}"))).await).await?;
                uncontended(async || chat.update(increment).await).await?.map_err(Failure::new)?;
                crate::fixture::yield_now().await;
            }
            Ok::<_, Failure>(())
        }
    };
    let (one, two) = join(work(0), work(1)).await;
    one?;
    two?;
    nothing_is_lost(&t.registry().session(id), 2, EACH).await
}

/// Repeats a call that is contended, as callers should: it changed nothing.
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

/// Checks that the messages of every writer are there once and in its order, and that every
/// increment is counted.
async fn nothing_is_lost(chat: &ChatSession, writers: usize, each: usize) -> Checked {
    let all = said(chat).await?;
    ensure_eq!(all.len(), writers * each, "the number of messages");
    for writer in 0..writers {
        let prefix = format!("{writer} ");
        let own: Vec<_> = all.iter().filter(|text| text.starts_with(&prefix)).collect();
        let expected: Vec<_> = (0..each).map(|n| format!("{writer} {n}")).collect();
        ensure_eq!(own, expected.iter().collect::<Vec<_>>(), "the messages of writer {writer}");
    }
    ensure_eq!(
        get(chat, "count").await?,
        Some((writers * each).to_string()),
        "the increments counted"
    );
    Ok(())
}

pub(crate) async fn registries_in_threads_lose_no_change(t: &mut Fixture) -> Checked {
    const WRITERS: usize = 3;
    const EACH: usize = 12;
    let id = session()?;
    let threads: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let registry: ChatSessions =
                registry_on(t.store(), &ManualClock::new(), |builder| builder.attempts(u32::MAX));
            let chat = registry.session(id.clone());
            thread::spawn(move || {
                block_on(async {
                    for n in 0..EACH {
                        chat.add_message(say(&format!("{writer} {n}"))).await?;
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
    nothing_is_lost(&t.registry().session(id), WRITERS, EACH).await
}

pub(crate) async fn a_turn_is_repeated_on_the_changes_of_another_registry(
    t: &mut Fixture,
) -> Checked {
    let id = session()?;
    let (one, two) = (t.registry().session(id.clone()), t.registry().session(id));
    one.add_message(say("begin")).await?;
    ensure_eq!(
        two.snapshot().await?.message_count(),
        1,
        "the number of messages for the other registry"
    );
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
    ensure_eq!(seen.last(), Some(&2), "the number of messages that the last run of the turn saw");
    ensure_eq!(said(&two).await?, ["begin", "one", "two"], "the texts of the session");
    ensure_eq!(
        get(&two, "before").await?.as_deref(),
        Some("\"\\\"one\\\"\""),
        "the app state that the turn saw"
    );
    ensure_eq!(
        get(&two, "owner").await?.as_deref(),
        Some("\"one\""),
        "the app state that the other registry set"
    );
    Ok(())
}

pub(crate) async fn a_change_that_always_conflicts_fails_as_contended(t: &mut Fixture) -> Checked {
    let probe = Probe::new(t.store());
    let registry: ChatSessions =
        registry_on(probe.clone(), &ManualClock::new(), |builder| builder.attempts(4));
    let chat = registry.session(session()?);
    chat.add_message(say("begin")).await?;
    probe.inject(Fault::Conflicts(3));
    ensure_eq!(
        chat.add_message(say("at last")).await?.seq,
        2,
        "the seq of a message after three conflicts"
    );
    probe.inject(Fault::Conflicts(u32::MAX));
    let message = chat.add_message(say("never")).await;
    ensure!(
        matches!(message, Err(Error::Contended { .. })),
        "endless conflicts ended as {message:?}"
    );
    let update = chat.update(|app: &mut JsonObject| app.set_json("never", "1").is_ok()).await;
    ensure!(
        matches!(update, Err(Error::Contended { .. })),
        "endless conflicts ended as {update:?}"
    );
    probe.inject(Fault::Conflicts(0));
    ensure_eq!(said(&chat).await?, ["begin", "at last"], "the texts of the session");
    ensure_eq!(get(&chat, "never").await?, None, "the app state");
    Ok(())
}

pub(crate) async fn a_turn_may_require_a_version(t: &mut Fixture) -> Checked {
    let id = session()?;
    let (one, two) = (t.registry().session(id.clone()), t.registry().session(id));
    let add = |text: &'static str| {
        move |draft: &mut durable_session::Draft<'_, JsonObject>| {
            draft.add_message(Message::user(text)).map(|_| ())
        }
    };
    one.turn_if(None, add("first")).await?;
    let version = one.snapshot().await?.version();
    two.add_message(say("between")).await?;
    // The registry may not have seen the other change yet; the store has.
    let late = one.turn_if(version, add("late")).await;
    ensure!(
        matches!(late, Err(Error::VersionChanged { .. })),
        "a turn on an old version ended as {late:?}"
    );
    let never = two.turn_if(None, add("again")).await;
    ensure!(
        matches!(never, Err(Error::VersionChanged { .. })),
        "a turn that requires an absent session ended as {never:?}"
    );
    let version = one.snapshot().await?.version();
    one.turn_if(version, add("last")).await?;
    ensure_eq!(said(&one).await?, ["first", "between", "last"], "the texts of the session");
    Ok(())
}
