//! Callers that go away at every point of a call, and the reads that follow (clauses C1 and C3).
#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use common::{ManualClock, Puppet, id, settle, texts};
use durable_session::{ChatSession, ChatSessions, Expiry, Message, SessionId};
use futures_util::future::poll_immediate;
use std::pin::pin;
use std::time::Duration;

fn message(text: &str) -> Message {
    Message::user(text)
}

/// Polls the call so many times, letting the store's tasks go on in between, and drops it.
async fn dropped_after(polls: usize, call: impl Future) {
    let mut call = pin!(call);
    for _ in 0..polls {
        if poll_immediate(&mut call).await.is_some() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn said(chat: &ChatSession) -> Vec<String> {
    texts(&chat.get_state().await.unwrap().messages)
}

/// Through a handle that never saw the change.
async fn stored(store: &Puppet, id: &SessionId) -> Vec<String> {
    said(&store.sessions().session(id.clone())).await
}

#[tokio::test]
async fn stored_messages_are_read_whenever_their_caller_was_dropped() {
    for loaded in [false, true] {
        for polls in 0..8 {
            let store = Puppet::new();
            let chat = store.sessions().session(id("s"));
            if loaded {
                chat.add_message(message("before")).await.unwrap();
            }
            dropped_after(polls, chat.add_messages(vec![message("a"), message("b")])).await;
            settle().await;
            let there = stored(&store, chat.id()).await;
            assert_eq!(said(&chat).await, there, "after {polls} polls, loaded: {loaded}");
            assert!(
                polls < 4 || there.ends_with(&["a".to_owned(), "b".to_owned()]),
                "{polls} polls: {there:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_read_does_not_wait_for_a_commit_that_nobody_waits_for() {
    let store = Puppet::new();
    let chat = store.sessions().session(id("s"));
    chat.add_message(message("before")).await.unwrap();
    store.hold_commits();
    dropped_after(1, chat.add_message(message("gone"))).await;
    settle().await;
    for _ in 0..3 {
        assert_eq!(chat.snapshot().await.unwrap().message_count(), 1);
    }
    store.release();
    settle().await;
    assert_eq!(chat.snapshot().await.unwrap().message_count(), 2);
}

/// Tokio answers "not yet" to a task that has done much in one turn, also for a commit that is
/// done.
#[tokio::test]
async fn a_read_of_a_busy_task_sees_what_is_durable() {
    let store = Puppet::new();
    let chat = store.sessions().session(id("s"));
    chat.add_message(message("before")).await.unwrap();
    dropped_after(1, chat.add_message(message("gone"))).await;
    settle().await;
    let read = tokio::spawn(async move {
        // Takes all of the turn's budget, without giving the turn back.
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        (0..1000).for_each(|n| sender.send(n).unwrap());
        while poll_immediate(receiver.recv()).await.flatten().is_some() {}
        chat.snapshot().await.unwrap().message_count()
    });
    assert_eq!(read.await.unwrap(), 2);
}

#[tokio::test]
async fn a_session_that_a_dropped_caller_created_is_used_by_reading_it() {
    let (store, clock) = (Puppet::new(), ManualClock::at(1_000_000));
    let expiry = Expiry::after(Duration::from_secs(100), Duration::from_secs(10)).unwrap();
    let sessions: ChatSessions = store.builder(clock.clone()).expiry(expiry).build();
    let chat = sessions.session(id("s"));
    chat.snapshot().await.unwrap();
    dropped_after(1, chat.add_message(message("gone"))).await;
    settle().await;
    clock.advance(60_000);
    chat.snapshot().await.unwrap();
    clock.advance(60_000);
    assert_eq!(sessions.sweep(&store).await.unwrap().deleted, 0);
    assert_eq!(said(&chat).await, ["gone"]);
}
