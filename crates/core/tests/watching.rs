//! Watchers are told every published change once, and its kind.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod common;

use common::{ManualClock, Puppet, id};
use durable_session::{
    ChatSession, ChatSessions, Memory, Message, SessionChange, Watched, Watcher,
};
use futures_util::future::poll_immediate;
use std::ops::Range;
use std::time::Duration;

fn open(store: &Puppet) -> ChatSession {
    store.sessions().session(id("s"))
}

fn message() -> Message {
    Message::user("x")
}

/// The next change, which must have been published: what was appended, whether the app state was
/// set, and whether more happened. Nothing was replaced in place.
async fn told(watcher: &mut Watcher) -> (Range<u64>, bool, bool) {
    match poll_immediate(watcher.next()).await {
        Some(Watched::Changed(SessionChange {
            appended,
            app_changed,
            rewritten,
            replaced,
            ..
        })) => {
            assert_eq!(replaced, [0_u64; 0]);
            (appended, app_changed, rewritten)
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
    chat.remove(1).await.unwrap();
    assert_eq!(told(&mut watcher).await, (3..3, false, true));
    chat.turn(|draft| {
        draft.pop()?;
        draft.add_message(message())
    })
    .await
    .unwrap();
    assert_eq!(told(&mut watcher).await, (3..4, false, true));
    chat.delete().await.unwrap();
    assert_eq!(told(&mut watcher).await, (0..0, false, true));
    assert!(told_nothing(&mut watcher).await);
}

#[tokio::test]
async fn messages_that_were_replaced_in_place_are_named() {
    let store = Puppet::new();
    let sessions = store.with_window(2, 10_000);
    let chat = sessions.session(id("s"));
    chat.add_messages(vec![message(); 100]).await.unwrap();
    let mut watcher = chat.watch();
    let mut told = async || match poll_immediate(watcher.next()).await {
        Some(Watched::Changed(change)) => change,
        other => panic!("{other:?}"),
    };
    // In memory, before the window, and both with an appended message that is replaced in the same
    // commit.
    for seq in [100, 1] {
        chat.replace(seq, Message::user("edited")).await.unwrap();
        let change = told().await;
        assert_eq!(
            (&*change.replaced, change.app_changed, change.rewritten),
            (&[seq][..], false, false)
        );
    }
    chat.turn(|draft| {
        draft.replace(7, &Message::user("7"))?;
        draft.replace(3, &Message::user("3"))?;
        draft.replace(7, &Message::user("7 again"))?;
        let added = draft.add_message(message())?;
        draft.replace(added.seq, &Message::user("edited"))?;
        draft.app_mut()?.set("k", &1).map_err(durable_session::Error::rejected)
    })
    .await
    .unwrap();
    let change = told().await;
    assert_eq!((change.replaced, change.appended), (vec![3, 7], 101..102));
    assert_eq!((change.app_changed, change.rewritten), (true, false));
    // Together with a removal, or too many to name, one has to read again.
    chat.turn(|draft| {
        draft.replace(9, &Message::user("9"))?;
        draft.remove(8)
    })
    .await
    .unwrap();
    let change = told().await;
    assert_eq!((change.replaced.len(), change.rewritten), (0, true));
    for (last, named) in [(74, 64), (75, 0)] {
        chat.turn(|draft| {
            (11..=last).try_for_each(|seq| draft.replace(seq, &Message::user(last.to_string())))
        })
        .await
        .unwrap();
        let change = told().await;
        assert_eq!((change.replaced.len(), change.rewritten), (named, named == 0));
    }
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
    assert_eq!(told(&mut watcher).await, (0..0, false, true));
    assert_eq!(told(&mut watcher).await, (5..6, false, false));
    others.delete().await.unwrap();
    others.add_messages(vec![message(); 9]).await.unwrap();
    chat.add_message(message()).await.unwrap();
    assert_eq!(told(&mut watcher).await, (0..0, false, true), "another life of it");
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
async fn changes_by_others_before_the_first_watch_are_not_told() {
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
    // Others' changes are told against the state last seen, also if that was before anyone else
    // watched.
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
