//! Calls that meet each other: calls that gather, wait, or are made again (C3–C5), and what a
//! draft says of itself.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod common;

use common::{Fault, ManualClock, Puppet, id, settle, spawn_add, texts};
use durable_session::store::{
    LoadQuery, ReadQuery, SessionStore, StoreErrorKind, StoreLimits, TailBounds,
};
use durable_session::{ChatSession, ChatSessions, Error, Memory, Message};
use futures_util::future::join_all;
use std::time::Duration;

/// How many operations each commit had that was sent after `first`, which is in flight while all of
/// `messages` are added.
async fn gathered(messages: impl Iterator<Item = Vec<Message>>) -> Vec<usize> {
    let store = Puppet::new();
    let chat = store.sessions().session(id("s"));
    chat.add_message(Message::user("created")).await.unwrap();
    store.hold_commits();
    let first = spawn_add(&chat, Message::user("first"));
    settle().await;
    let calls = tokio::spawn(join_all(messages.map(|messages| {
        let chat = chat.clone();
        async move { chat.add_messages(messages).await.unwrap() }
    })));
    settle().await;
    store.release();
    first.await.unwrap().unwrap();
    calls.await.unwrap();
    store.commits()[2..].iter().map(|commit| commit.ops.len()).collect()
}

/// Clause C3.
#[tokio::test]
async fn a_commit_gathers_no_more_than_its_bounds() {
    let tiny = |n| vec![Message::user("x"); n];
    assert_eq!(gathered((0..1500).map(|_| tiny(1))).await, [1024, 476]);
    assert_eq!(gathered([600, 424, 1, 600].into_iter().map(tiny)).await, [1024, 601]);
    let large = || vec![Message::user("x".repeat(300 * 1024))];
    assert_eq!(gathered((0..5).map(|_| large())).await, [3, 2], "one MiB");
    assert_eq!(gathered([vec![Message::user("x".repeat(1000))], large()].into_iter()).await, [2]);
}

/// Clause C3.
#[tokio::test]
async fn edits_of_known_messages_gather_too() {
    let store = Puppet::new();
    let chat = store.sessions().session(id("s"));
    chat.add_messages(vec![Message::user("x"); 5]).await.unwrap();
    store.hold_commits();
    let first = spawn_add(&chat, Message::user("first"));
    settle().await;
    let edits = tokio::spawn(join_all((1..=4).map(|seq| {
        let chat = chat.clone();
        async move { chat.replace(seq, Message::user("edited")).await.unwrap() }
    })));
    settle().await;
    store.release();
    first.await.unwrap().unwrap();
    edits.await.unwrap();
    assert_eq!(store.commits().len(), 3);
}

/// Clause C4.
#[tokio::test]
async fn a_call_that_gathered_with_a_refused_one_is_made_all_the_same() {
    let store = Puppet::new();
    let sessions = store.with_window(1, 10_000);
    let chat = sessions.session(id("s"));
    for n in 0..4 {
        chat.add_message(Message::user(format!("{n}"))).await.unwrap();
    }
    chat.remove(2).await.unwrap();
    store.hold_commits();
    let flying = spawn_add(&chat, Message::user("in flight"));
    settle().await;
    let other = spawn_add(&chat, Message::user("other"));
    settle().await;
    // Older than the window: only the store can tell that it is not there.
    let refused = tokio::spawn({
        let chat = chat.clone();
        async move { chat.replace(2, Message::user("x")).await }
    });
    settle().await;
    store.release();
    flying.await.unwrap().unwrap();
    assert!(matches!(refused.await.unwrap(), Err(Error::NoSuchMessage { seq: 2, .. })));
    assert_eq!(other.await.unwrap().unwrap().seq, 6);
    assert_eq!(
        texts(&chat.get_state().await.unwrap().messages),
        ["0", "2", "3", "in flight", "other"]
    );
}

/// Clause C4.
#[tokio::test]
async fn a_call_succeeds_although_the_commit_it_waited_for_failed() {
    let store = Puppet::new();
    let sessions = store.with_window(1, 10_000);
    let chat = sessions.session(id("s"));
    for n in 0..4 {
        chat.add_message(Message::user(format!("{n}"))).await.unwrap();
    }
    store.hold_commits();
    store.fail_commits(&[Fault::Before]);
    let doomed = spawn_add(&chat, Message::user("doomed"));
    settle().await;
    // This needs more than the window, which can be loaded once nothing is pending.
    let pops = tokio::spawn({
        let chat = chat.clone();
        async move {
            chat.turn(|draft| Ok([draft.pop()?, draft.pop()?].map(|popped| popped.unwrap().seq)))
                .await
        }
    });
    settle().await;
    store.release();
    assert_eq!(doomed.await.unwrap().unwrap_err().store_kind(), Some(StoreErrorKind::Unavailable));
    assert_eq!(pops.await.unwrap().unwrap(), [4, 3]);
    assert_eq!(texts(&chat.get_state().await.unwrap().messages), ["0", "1"]);
}

/// Clause C5.
#[tokio::test]
async fn a_draft_reads_the_state_after_its_own_changes() {
    let store = Puppet::new();
    let chat: ChatSession = store.sessions().session(id("s"));
    chat.turn(|draft| {
        assert!(!draft.exists());
        assert_eq!((draft.version(), draft.message_count(), draft.next_seq()), (None, 0, 1));
        for n in 1..=6 {
            draft.add_message(Message::user(format!("{n}")))?;
        }
        assert_eq!((draft.message_count(), draft.next_seq()), (6, 7));
        draft.app_mut()?.set("k", &1).unwrap();
        assert_eq!(draft.app_json()?.get::<u64>("k").unwrap(), Some(1));
        Ok(())
    })
    .await
    .unwrap();
    let version = chat.snapshot().await.unwrap().version();
    assert!(version.is_some());
    let tail = chat
        .turn(|draft| {
            assert!(draft.exists());
            assert_eq!(draft.version(), version);
            assert_eq!(draft.app()?.get::<u64>("k").unwrap(), Some(1));
            draft.replace(3, &Message::user("three"))?;
            draft.remove(4)?;
            draft.rewind_to(5)?;
            draft.forget_before(2)?;
            assert_eq!((draft.message_count(), draft.next_seq()), (3, 7));
            Ok(draft
                .tail()
                .map(|(_, message)| message.text().unwrap().into_owned())
                .collect::<Vec<_>>())
        })
        .await
        .unwrap();
    assert_eq!(tail, ["2", "three", "5"]);
    assert_eq!(texts(&chat.get_state().await.unwrap().messages), tail);
    chat.turn(|draft| {
        draft.reset()?;
        assert_eq!(draft.message_count(), 0);
        assert_eq!(draft.app()?.get::<u64>("k").unwrap(), None);
        Ok(())
    })
    .await
    .unwrap();
    let state = chat.get_state().await.unwrap();
    assert!(state.messages.is_empty() && state.app.get::<u64>("k").unwrap().is_none());
}

/// Clause C5.
#[tokio::test]
async fn a_draft_counts_the_messages_it_removes_also_before_the_window() {
    let store = Puppet::new();
    let sessions = store.with_window(3, 10_000);
    let chat = sessions.session(id("s"));
    chat.add_messages(vec![Message::user("x"); 8]).await.unwrap();
    chat.turn(|draft| {
        draft.pop()?;
        assert_eq!(draft.message_count(), 7);
        // All that is not in the window.
        draft.forget_before(6)?;
        assert_eq!(draft.message_count(), 2);
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(chat.snapshot().await.unwrap().message_count(), 2);
}

/// The greeting and the app state that the first change writes count against the store's limits.
/// Clause S7.
#[tokio::test]
async fn the_first_change_of_a_session_has_room_for_the_greeting() {
    let store = Puppet::new();
    let greeting = Message::assistant("g".repeat(200));
    let with = |limits: StoreLimits| -> ChatSession {
        store.set_limits(limits);
        let sessions: ChatSessions = store
            .builder(ManualClock::at(1))
            .greeting(greeting.clone())
            .greeting(greeting.clone())
            .build();
        sessions.session(id("s"))
    };
    let messages = |n| vec![Message::user("x".repeat(50)); n];
    let greetings = with(store.inner.limits()).get_state().await.unwrap().messages.len();
    let mut ops = store.inner.limits();
    ops.max_commit_ops = greetings + 3;
    assert!(matches!(with(ops).add_messages(messages(3)).await, Err(Error::TooLarge { .. })));
    let bytes = |max_commit_bytes| {
        let mut limits = store.inner.limits();
        limits.max_commit_bytes = max_commit_bytes;
        limits
    };
    assert!(matches!(
        with(bytes(230 * greetings as u64 + 100)).add_messages(messages(3)).await,
        Err(Error::TooLarge { .. })
    ));
    assert!(store.commits().is_empty());
    // To the byte: the greeting, an empty app state and the message.
    let fits = greetings as u64 * greeting.as_json().len() as u64
        + 2
        + messages(1)[0].as_json().len() as u64;
    assert!(matches!(
        with(bytes(fits - 1)).add_messages(messages(1)).await,
        Err(Error::TooLarge { .. })
    ));
    assert_eq!(with(bytes(fits)).add_messages(messages(1)).await.unwrap().len(), 1);
    let other = with(ops);
    other.delete().await.unwrap();
    assert_eq!(other.add_messages(messages(2)).await.unwrap().len(), 2);
}

#[tokio::test]
async fn stats_count_what_happened() {
    let store = Puppet::new();
    let clock = ManualClock::at(1_000);
    let memory = Memory { bytes: 1 << 20, idle: Duration::from_secs(1) };
    let sessions: ChatSessions = store.builder(clock.clone()).memory(memory).build();
    let chat = sessions.session(id("s"));
    chat.add_message(Message::user("created")).await.unwrap();
    store.hold_commits();
    let first = spawn_add(&chat, Message::user("first"));
    settle().await;
    let calls: Vec<_> = (0..3).map(|n| spawn_add(&chat, Message::user(format!("{n}")))).collect();
    settle().await;
    assert_eq!(sessions.stats().queue_depth, 4);
    store.release();
    first.await.unwrap().unwrap();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let stats = sessions.stats();
    assert_eq!((stats.commits, stats.calls, stats.largest_batch, stats.loads), (3, 5, 3, 1));
    assert_eq!((stats.conflicts, stats.failures, stats.evictions, stats.touches), (0, 0, 0, 0));
    assert_eq!((stats.live_sessions, stats.slots, stats.queue_depth), (1, 1, 0));

    // Five short messages and an empty app state.
    assert!((700..2_000).contains(&stats.live_bytes), "{}", stats.live_bytes);

    store.fail_commits(&[Fault::Before]);
    chat.add_message(Message::user("lost")).await.unwrap_err();
    assert_eq!(sessions.stats().failures, 1);
    chat.touch().await.unwrap();
    assert_eq!(sessions.stats().touches, 1);
    chat.add_message(Message::user("known")).await.unwrap();
    store.sessions().session(id("s")).add_message(Message::user("elsewhere")).await.unwrap();
    chat.add_message(Message::user("after it")).await.unwrap();
    assert_eq!(sessions.stats().conflicts, 1);
    clock.advance(10_000);
    sessions.session(id("t")).snapshot().await.unwrap();
    assert_eq!((sessions.stats().evictions, sessions.stats().live_sessions), (1, 0));
}

/// Clause C10.
#[tokio::test]
async fn a_touch_is_written_at_once_and_salvage_asks_the_store() {
    let store = Puppet::new();
    let clock = ManualClock::at(1_000);
    let sessions: ChatSessions = store.builder(clock.clone()).build();
    let chat = sessions.session(id("s"));
    let everything = ReadQuery::forward(1, u64::MAX);
    assert!(chat.salvage(everything).await.unwrap().is_none());
    chat.add_message(Message::user("x")).await.unwrap();
    clock.advance(5);
    chat.touch().await.unwrap();
    let query = LoadQuery::new(TailBounds::new(1, 1));
    let stored = store.inner.load(&id("s"), query).await.unwrap().loaded().unwrap();
    assert_eq!((store.touches(), stored.head.last_accessed_at), (1, 1_005));
    assert_eq!(sessions.now_ms(), 1_005);
    assert_eq!(chat.salvage(everything).await.unwrap().unwrap().rows.len(), 1);
}
