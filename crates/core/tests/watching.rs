//! What watchers are told: every published change once, and what kind of change it was.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod common;

use common::{ManualClock, Puppet, id};
use durable_session::{ChatSession, ChatSessions, Memory, Message, SessionChange, Watched, Watcher};
use futures_util::future::poll_immediate;
use std::ops::Range;
use std::time::Duration;

fn open(store: &Puppet) -> ChatSession {
    store.sessions().session(id("s"))
}

fn message() -> Message {
    Message::user("x")
}

/// The next change, which must have been published: what was appended, and whether anything, and messages, were rewritten.
async fn told(watcher: &mut Watcher) -> (Range<u64>, bool, bool) {
    match poll_immediate(watcher.next()).await {
        Some(Watched::Changed(SessionChange { appended, rewritten, messages_rewritten, .. })) => {
            (appended, rewritten, messages_rewritten)
        }
        other => panic!("{other:?}"),
    }
}

async fn told_nothing(watcher: &mut Watcher) -> bool {
    poll_immediate(watcher.next()).await.is_none()
}

#[tokio::test]
async fn each_change_says_what_kind_it_was() {
    let store = Puppet::new();
    let chat = open(&store);
    let mut watcher = chat.watch();
    chat.add_messages(vec![message(), message()]).await.unwrap();
    assert_eq!(told(&mut watcher).await, (1..3, false, false));
    chat.update(|app| app.set("k", &1)).await.unwrap().unwrap();
    assert_eq!(told(&mut watcher).await, (3..3, true, false));
    chat.replace(1, Message::user("edited")).await.unwrap();
    assert_eq!(told(&mut watcher).await, (3..3, true, true));
    chat.turn(|draft| {
        draft.pop()?;
        draft.add_message(message())
    })
    .await
    .unwrap();
    assert_eq!(told(&mut watcher).await, (3..4, true, true));
    chat.delete().await.unwrap();
    assert_eq!(told(&mut watcher).await, (0..0, true, true));
    assert!(told_nothing(&mut watcher).await);
}

#[tokio::test]
async fn others_changes_are_told_once_they_are_read() {
    let store = Puppet::new();
    let (chat, others) = (open(&store), open(&store));
    chat.add_message(message()).await.unwrap();
    let mut watcher = chat.watch();
    // Our own next change meets theirs at the commit.
    others.add_messages(vec![message(), message()]).await.unwrap();
    chat.add_message(message()).await.unwrap();
    assert_eq!(told(&mut watcher).await, (2..4, false, false));
    assert_eq!(told(&mut watcher).await, (4..5, false, false));
    others.replace(1, Message::user("edited")).await.unwrap();
    chat.add_message(message()).await.unwrap();
    assert_eq!(told(&mut watcher).await, (0..0, true, true));
    assert_eq!(told(&mut watcher).await, (5..6, false, false));
    others.delete().await.unwrap();
    others.add_messages(vec![message(); 9]).await.unwrap();
    chat.add_message(message()).await.unwrap();
    assert_eq!(told(&mut watcher).await, (0..0, true, true), "another life of it");
    assert_eq!(told(&mut watcher).await, (10..11, false, false));
    assert!(told_nothing(&mut watcher).await);
}

#[tokio::test]
async fn loading_what_was_seen_before_is_no_change() {
    let store = Puppet::new();
    let chat = open(&store);
    chat.add_message(message()).await.unwrap();
    let mut watcher = chat.watch();
    store.fail_commits(&[common::Fault::Before]);
    chat.add_message(message()).await.unwrap_err();
    chat.snapshot().await.unwrap();
    assert!(told_nothing(&mut watcher).await);
    // Nor is the first load of a session that others wrote before anyone watched it.
    let chat = open(&store);
    let mut watcher = chat.watch();
    chat.snapshot().await.unwrap();
    assert!(told_nothing(&mut watcher).await);
}

#[tokio::test]
async fn what_others_did_while_nobody_watched_and_nothing_was_in_memory_is_not_told() {
    let store = Puppet::new();
    let clock = ManualClock::at(0);
    let memory = Memory { idle: Duration::from_secs(1), ..Memory::default() };
    let sessions: ChatSessions = store.builder(clock.clone()).memory(memory).build();
    let chat = sessions.session(id("s"));
    for watched_before in [false, true] {
        chat.add_message(message()).await.unwrap();
        if watched_before {
            drop((chat.watch(), chat.watch()));
        }
        clock.advance(1_000);
        sessions.sweep(&store).await.unwrap();
        assert_eq!(sessions.stats().live_sessions, 0);
        open(&store).add_message(message()).await.unwrap();
        let mut watcher = chat.watch();
        chat.snapshot().await.unwrap();
        assert!(told_nothing(&mut watcher).await);
    }
}

#[tokio::test]
async fn a_watcher_is_told_what_came_after_it_whoever_else_watches() {
    let store = Puppet::new();
    let chat = open(&store);
    let mut first = chat.watch();
    chat.add_message(message()).await.unwrap();
    let mut second = chat.watch();
    chat.add_message(message()).await.unwrap();
    assert_eq!(told(&mut second).await, (2..3, false, false));
    drop(second);
    assert_eq!(told(&mut first).await, (1..2, false, false));
    assert_eq!(told(&mut first).await, (2..3, false, false));
    drop(first);
    chat.add_message(message()).await.unwrap();
    let mut later = chat.watch();
    chat.add_message(message()).await.unwrap();
    assert_eq!(told(&mut later).await, (4..5, false, false));
    assert!(told_nothing(&mut later).await);
    // Others' changes are told by what was last seen, also if that was before anyone else watched.
    open(&store).add_message(message()).await.unwrap();
    let mut latest = chat.watch();
    chat.add_message(message()).await.unwrap();
    for watcher in [&mut later, &mut latest] {
        assert_eq!(told(watcher).await, (5..6, false, false));
        assert_eq!(told(watcher).await, (6..7, false, false));
    }
}

#[tokio::test]
async fn a_watcher_that_is_too_slow_is_told_how_much_it_missed() {
    let store = Puppet::new();
    let chat = open(&store);
    let (mut slow, mut slower) = (chat.watch(), chat.watch());
    for _ in 0..64 {
        chat.add_message(message()).await.unwrap();
    }
    assert_eq!(told(&mut slow).await, (1..2, false, false), "as many as are kept");
    for _ in 0..3 {
        chat.add_message(message()).await.unwrap();
    }
    assert_eq!(poll_immediate(slow.next()).await, Some(Watched::Lagged { missed: 2 }));
    assert_eq!(poll_immediate(slower.next()).await, Some(Watched::Lagged { missed: 3 }));
    for watcher in [&mut slow, &mut slower] {
        for seq in 4..68 {
            assert_eq!(told(watcher).await, (seq..seq + 1, false, false));
        }
        assert!(told_nothing(watcher).await);
    }
}
