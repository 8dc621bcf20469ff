//! What stays in memory and what has to be loaded again (C7, C9).
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod common;

use common::{ManualClock, Puppet, id, settle, spawn_add, texts};
use durable_session::{ChatSessions, Memory, Message, Watched};
use futures_util::future::poll_immediate;

fn bounded(store: &Puppet, clock: &ManualClock, bytes: u64) -> ChatSessions {
    store.builder(clock.clone()).memory(Memory { bytes, ..Memory::default() }).build()
}

#[tokio::test]
async fn c7_ids_are_looked_up_in_memory() {
    let store = Puppet::new();
    // Some 70 bytes each: the bytes bound it, not the count.
    let message = |n: u32| Message::user("x".repeat(30)).with_id(format!("{n:03}"));
    let sessions = store.with_window(100, 300);
    let chat = sessions.session(id("s"));
    for n in 0..10 {
        chat.add_message(message(n)).await.unwrap();
    }
    assert_eq!(store.loads(), 1);
    // With its end removed the window reaches further back, which only the store can tell: once.
    chat.pop().await.unwrap();
    for n in 9..20 {
        assert!(!chat.add_message(message(n)).await.unwrap().replayed);
        assert!(chat.add_message(message(n)).await.unwrap().replayed);
    }
    assert_eq!(store.loads(), 2);
}

#[tokio::test]
async fn c7_a_message_that_gets_shorter_lets_the_window_reach_further_back() {
    let store = Puppet::new();
    let message = |id: &str, bytes: usize| Message::user("x".repeat(bytes)).with_id(id);
    let sessions = store.with_window(100, 500);
    let chat = sessions.session(id("s"));
    for n in ["a", "b", "c"] {
        chat.add_message(message(n, 150)).await.unwrap();
    }
    let loads = store.loads();
    chat.replace(3, message("c", 150).with_id("d")).await.unwrap();
    assert!(chat.add_message(message("b", 150)).await.unwrap().replayed);
    assert_eq!(store.loads(), loads, "no shorter: nothing to load");
    chat.replace(3, message("c", 1)).await.unwrap();
    let again = chat.add_message(message("a", 150)).await.unwrap();
    assert_eq!((again.seq, again.replayed), (1, true));
}

#[tokio::test]
async fn c7_the_last_message_is_known_however_large_it_is() {
    let store = Puppet::new();
    let sessions = store.with_window(9, 10);
    let chat = sessions.session(id("s"));
    let large = |bytes| Message::user("x".repeat(bytes)).with_id("large");
    for message in [Message::user("before it"), large(100)] {
        chat.add_message(message).await.unwrap();
    }
    let loads = store.loads();
    assert!(chat.add_message(large(100)).await.unwrap().replayed);
    chat.replace(2, large(90)).await.unwrap();
    assert!(chat.add_message(large(90)).await.unwrap().replayed);
    assert_eq!(store.loads(), loads, "it is all of the window");
}

#[tokio::test]
async fn c7_a_window_that_is_full_of_messages_needs_no_load_whatever_was_removed() {
    let store = Puppet::new();
    let message = |n: u32| Message::user("x").with_id(format!("{n}"));
    let sessions = store.with_window(3, 10_000);
    let chat = sessions.session(id("s"));
    for n in 0..10 {
        chat.add_message(message(n)).await.unwrap();
    }
    // Before the window, at its end and then filled up by messages that have no id.
    chat.remove(2).await.unwrap();
    chat.replace(3, message(2)).await.unwrap();
    chat.pop().await.unwrap();
    chat.add_message(Message::user("x")).await.unwrap();
    chat.add_message(message(20)).await.unwrap();
    assert_eq!(store.loads(), 1);
}

#[tokio::test]
async fn c7_a_message_sent_again_after_its_session_left_memory_is_stored_once() {
    let store = Puppet::new();
    let sessions = bounded(&store, &ManualClock::at(1), 0);
    let chat = sessions.session(id("s"));
    for n in 0..3 {
        let message = || Message::user("x").with_id(format!("{n}"));
        assert!(!chat.add_message(message()).await.unwrap().replayed);
        let loads = store.loads();
        sessions.session(id("other")).snapshot().await.unwrap();
        let again = chat.add_message(message()).await.unwrap();
        assert_eq!((again.seq, again.replayed), (n + 1, true));
        assert_eq!(store.loads(), loads + 2, "both were loaded");
    }
    assert_eq!(chat.get_state().await.unwrap().messages.len(), 3);
}

#[tokio::test]
async fn c7_a_message_sent_again_after_its_caller_was_dropped_is_stored_once() {
    let message = || Message::user("x").with_id("x");
    // The first call's commit is still with the store when the message is sent again, or has just
    // been made.
    for made_meanwhile in [false, true] {
        let store = Puppet::new();
        let chat = store.sessions().session(id("s"));
        chat.add_message(Message::user("before")).await.unwrap();
        store.hold_commits();
        let mut dropped = Box::pin(chat.add_message(message()));
        assert!(poll_immediate(&mut dropped).await.is_none());
        drop(dropped);
        if made_meanwhile {
            store.release();
            settle().await;
        }
        let again = spawn_add(&chat, message());
        settle().await;
        store.release();
        let again = again.await.unwrap().unwrap();
        assert_eq!((again.seq, again.replayed), (2, true));
        assert_eq!(texts(&chat.get_state().await.unwrap().messages), ["before", "x"]);
    }
}

#[tokio::test]
async fn c9_a_session_that_is_being_written_stays_in_memory() {
    let store = Puppet::new();
    let clock = ManualClock::at(1);
    let sessions = bounded(&store, &clock, 0);
    let chat = sessions.session(id("s"));
    chat.add_message(Message::user("one")).await.unwrap();
    let mut watcher = chat.watch();
    store.hold_commits();
    let writer = spawn_add(&chat, Message::user("two"));
    settle().await;
    // Whatever is loaded now makes room, as there is too much in memory.
    sessions.session(id("other")).snapshot().await.unwrap();
    store.release();
    writer.await.unwrap().unwrap();
    assert!(
        matches!(poll_immediate(watcher.next()).await, Some(Watched::Changed(change)) if change.appended == (2..3))
    );
}

/// Those that were used since they were last looked at are passed over, and there may be many of them.
#[tokio::test]
async fn c9_one_call_makes_all_the_room_it_takes() {
    let store = Puppet::new();
    let clock = ManualClock::at(0);
    let sessions = bounded(&store, &clock, 70_000);
    let chats: Vec<_> = (0..30).map(|n| sessions.session(id(&format!("s{n}")))).collect();
    for chat in &chats {
        chat.add_message(Message::user("x".repeat(1_000))).await.unwrap();
    }
    clock.advance(1);
    for chat in &chats {
        chat.snapshot().await.unwrap();
    }
    assert_eq!(sessions.stats().evictions, 0);
    clock.advance(1);
    chats[29].add_message(Message::user("x".repeat(35_000))).await.unwrap();
    let stats = sessions.stats();
    assert!(stats.live_bytes <= 70_000 && (8..20).contains(&stats.evictions), "{stats:?}");
    // What is no longer counted is no longer there: it is loaded again, which makes others leave.
    let loads = store.loads();
    chats[0].snapshot().await.unwrap();
    assert_eq!(store.loads(), loads + 1);
}

#[tokio::test]
async fn c9_a_session_larger_than_all_the_memory_there_is_can_be_used() {
    let store = Puppet::new();
    let clock = ManualClock::at(0);
    store.sessions().session(id("s")).add_message(Message::user("one")).await.unwrap();
    let chat = bounded(&store, &clock, 0).session(id("s"));
    let loads = store.loads();
    chat.add_message(Message::user("two").with_id("two")).await.unwrap();
    assert_eq!(chat.turn(|draft| Ok(draft.message_count())).await.unwrap(), 2);
    assert_eq!(chat.get_state().await.unwrap().messages.len(), 2);
    assert!(store.loads() <= loads + 3);
}

#[tokio::test]
async fn c9_deleting_a_session_drops_no_other_from_memory() {
    let store = Puppet::new();
    let sessions = store.sessions();
    let [kept, deleted] = ["kept", "deleted"].map(|name| sessions.session(id(name)));
    for chat in [&kept, &deleted] {
        chat.add_message(Message::user("x")).await.unwrap();
    }
    deleted.delete().await.unwrap();
    let loads = store.loads();
    kept.snapshot().await.unwrap();
    assert_eq!((store.loads(), sessions.stats().evictions), (loads, 0));
}

#[tokio::test]
async fn c9_what_is_charged_is_what_is_held() {
    let store = Puppet::new();
    let sessions = store.sessions();
    let chat = sessions.session(id("s"));
    let held = || sessions.stats().live_bytes;
    chat.add_message(Message::user("x")).await.unwrap();
    let before = held();
    chat.update(|app| app.set("k", &"x".repeat(10_000))).await.unwrap().unwrap();
    assert!((before + 10_000..before + 10_100).contains(&held()), "{before} {}", held());
    let before = held();
    chat.add_message(Message::user("x".repeat(5_000))).await.unwrap();
    assert!((before + 5_000..before + 5_500).contains(&held()), "{before} {}", held());
    // Messages cost more than their bytes.
    let before = held();
    chat.add_messages(vec![Message::user(""); 50]).await.unwrap();
    assert!((before + 50 * 100..before + 50 * 200).contains(&held()), "{before} {}", held());
}

#[tokio::test]
async fn c9_a_deleted_session_leaves_nothing_in_memory() {
    let store = Puppet::new();
    let sessions = store.sessions();
    let chat = sessions.session(id("s"));
    chat.add_message(Message::user("x")).await.unwrap();
    assert_eq!(sessions.stats().live_sessions, 1);
    chat.delete().await.unwrap();
    drop(chat);
    let stats = sessions.stats();
    assert_eq!((stats.slots, stats.live_sessions, stats.live_bytes), (0, 0, 0));
}
