//! Sessions that stay in memory and sessions that are loaded again (C7, C9).
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod common;

use common::{ManualClock, Puppet, id, settle, spawn_add, texts};
use durable_session::store::{Commit, Expect, IdTag, NewMessage, Op, SessionStore};
use durable_session::{ChatSessions, Error, Memory, Message, Watched};
use futures_util::future::poll_immediate;

fn bounded(store: &Puppet, clock: &ManualClock, bytes: u64) -> ChatSessions {
    store.builder(clock.clone()).memory(Memory { bytes, ..Memory::default() }).build()
}

/// Clause C7.
#[tokio::test]
async fn new_ids_are_looked_up_in_memory() {
    let store = Puppet::new();
    // Some 70 bytes each: few of them are in memory, and the tags of all others.
    let message = |n: u32| Message::user("x".repeat(30)).with_id(format!("{n:03}"));
    let sessions = store.with_window(100, 300);
    let chat = sessions.session(id("s"));
    for n in 0..100 {
        assert!(!chat.add_message(message(n)).await.unwrap().replayed);
        assert!(chat.add_message(message(n)).await.unwrap().replayed);
    }
    assert_eq!((store.loads(), store.reads()), (1, 0));
    // With a message gone, an older one is among the last 64, which only the store can tell: once.
    chat.pop().await.unwrap();
    for n in 99..120 {
        assert!(!chat.add_message(message(n)).await.unwrap().replayed);
        assert!(chat.add_message(message(n)).await.unwrap().replayed);
    }
    assert_eq!((store.loads(), store.reads()), (2, 0));
}

/// A retry of a large message, and of a small one that large ones pushed out of memory.
/// Clause C7.
#[tokio::test]
async fn an_id_is_found_among_the_last_64_messages_whatever_their_size() {
    let store = Puppet::new();
    let clock = ManualClock::at(1);
    let large = |n: u32| Message::user("x".repeat(270_000)).with_id(format!("large-{n}"));
    let small = || Message::user("x").with_id("small");
    let other_registry = || store.builder(clock.clone()).build();
    let sessions: ChatSessions = other_registry();
    let chat = sessions.session(id("s"));
    chat.add_message(small()).await.unwrap();
    for n in 2..=64 {
        chat.add_message(if n % 8 == 0 { large(n) } else { Message::assistant("ok") })
            .await
            .unwrap();
    }
    let restarted: ChatSessions = other_registry();
    for chat in [chat, restarted.session(id("s"))] {
        let reads = store.reads();
        for n in (8..=64).step_by(8) {
            let again = chat.add_message(large(n)).await.unwrap();
            assert_eq!((again.seq, again.replayed), (u64::from(n), true));
        }
        let again = chat.add_message(small()).await.unwrap();
        assert_eq!((again.seq, again.replayed, again.message), (1, true, small()));
        assert!(store.reads() > reads, "they were compared with what is stored");
        let other = Message::user("y".repeat(270_000)).with_id("large-8");
        assert!(matches!(chat.add_message(other).await, Err(Error::IdReused { seq: 8, .. })));
        let batch = vec![large(16), small()];
        let seqs: Vec<_> =
            chat.add_messages(batch).await.unwrap().iter().map(|added| added.seq).collect();
        assert_eq!(seqs, [16, 1]);
        assert!(matches!(
            chat.add_messages(vec![Message::user("new").with_id("new"), small()]).await,
            Err(Error::PartlyKnown { seq: 1, known: 1, given: 2, .. })
        ));
        let turn = chat.turn(|draft| draft.add_message(small())).await.unwrap();
        assert_eq!((turn.seq, turn.replayed), (1, true));
    }
    let chat = restarted.session(id("s"));
    chat.add_message(Message::assistant("one more")).await.unwrap();
    assert_eq!(chat.add_message(small()).await.unwrap().seq, 66, "it is not among the last 64");
}

/// A tag only says where to look.
/// Clause C7.
#[tokio::test]
async fn a_tag_without_its_message_decides_nothing() {
    let store = Puppet::new();
    let text = |n: u32| Message::user("x".repeat(200)).with_id(format!("{n}"));
    // Stored under the tag of another id, as a collision of hashes would have it.
    let collides = NewMessage { tag: IdTag::of("7"), ..NewMessage::from(&text(1)) };
    let older = (2..6).map(|n| Op::Append((&text(n)).into()));
    let ops =
        [Op::Append(collides.clone()), Op::Append(collides)].into_iter().chain(older).collect();
    store.inner.commit(&id("s"), Commit::new(Expect::absent(1), ops, 1)).await.unwrap();
    let chat = store.with_window(1, 10).session(id("s"));
    let added = chat.add_message(text(7)).await.unwrap();
    assert_eq!((added.seq, added.replayed), (7, false));
    assert_eq!(store.reads(), 2, "both were looked at");
}

/// A change staged before it may change the message that a retry is compared with.
/// Clause C7.
#[tokio::test]
async fn a_retry_is_compared_with_what_is_staged_before_it() {
    let store = Puppet::new();
    let chat = store.with_window(1, 10).session(id("s"));
    let text = |text: &str| Message::user(text.repeat(50)).with_id("one");
    chat.add_message(text("a")).await.unwrap();
    chat.add_message(Message::user("two")).await.unwrap();
    store.hold_commits();
    let (changed, again) = (chat.replace(1, text("b")), chat.add_message(text("b")));
    let (changed, again, ()) = tokio::join!(changed, again, async {
        settle().await;
        store.release();
    });
    changed.unwrap();
    let again = again.unwrap();
    assert_eq!((again.seq, again.replayed), (1, true));
    assert!(matches!(chat.add_message(text("a")).await, Err(Error::IdReused { seq: 1, .. })));
}

/// Clause C7.
#[tokio::test]
async fn a_session_with_all_its_tags_in_memory_needs_no_load_after_removals() {
    let store = Puppet::new();
    let message = |n: u32| Message::user("x").with_id(format!("{n}"));
    let sessions = store.with_window(3, 10_000);
    let chat = sessions.session(id("s"));
    for n in 0..10 {
        chat.add_message(message(n)).await.unwrap();
    }
    // All tags are known. Before the window, at its end and then filled up by messages that have no
    // id.
    chat.remove(2).await.unwrap();
    chat.replace(3, message(2)).await.unwrap();
    chat.pop().await.unwrap();
    chat.add_message(Message::user("x")).await.unwrap();
    chat.add_message(message(20)).await.unwrap();
    assert_eq!(store.loads(), 1);
}

/// Clause C7.
#[tokio::test]
async fn a_message_sent_again_after_its_session_left_memory_is_stored_once() {
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

/// Clause C7.
#[tokio::test]
async fn a_message_sent_again_after_its_caller_was_dropped_is_stored_once() {
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

/// Clause C9.
#[tokio::test]
async fn a_session_that_is_being_written_stays_in_memory() {
    let store = Puppet::new();
    let clock = ManualClock::at(1);
    let sessions = bounded(&store, &clock, 0);
    let chat = sessions.session(id("s"));
    chat.add_message(Message::user("one")).await.unwrap();
    let mut watcher = chat.watch();
    store.hold_commits();
    let writer = spawn_add(&chat, Message::user("two"));
    settle().await;
    // A load makes room now, as there is too much in memory.
    sessions.session(id("other")).snapshot().await.unwrap();
    store.release();
    writer.await.unwrap().unwrap();
    assert!(matches!(
        poll_immediate(watcher.next()).await,
        Some(Watched::Changed(change)) if change.appended == (2..3)
    ));
}

/// Those that were used since they were last looked at are passed over, and there may be many of
/// them.
/// Clause C9.
#[tokio::test]
async fn one_call_makes_all_the_room_it_takes() {
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
    // A session that is no longer counted has left: it is loaded again, and others leave.
    let loads = store.loads();
    chats[0].snapshot().await.unwrap();
    assert_eq!(store.loads(), loads + 1);
}

/// Clause C9.
#[tokio::test]
async fn a_session_larger_than_all_the_memory_there_is_can_be_used() {
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

/// Clause C9.
#[tokio::test]
async fn deleting_a_session_drops_no_other_from_memory() {
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

/// Clause C9.
#[tokio::test]
async fn a_session_is_charged_the_memory_that_it_holds() {
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

/// Clause C9.
#[tokio::test]
async fn a_deleted_session_leaves_nothing_in_memory() {
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

/// A message that is not durable yet is compared in memory: the store does not have it.
/// Clause C7.
#[tokio::test]
async fn an_id_is_found_among_large_messages_that_are_not_durable_yet() {
    let store = Puppet::new();
    let chat = store.with_window(1, 10).session(id("s"));
    let large = |id: &str| Message::user("x".repeat(100)).with_id(id);
    let seqs = chat
        .turn(|draft| {
            let ids = ["a", "b", "c", "a", "b"];
            ids.into_iter()
                .map(|id| Ok(draft.add_message(large(id))?.seq))
                .collect::<Result<Vec<_>, _>>()
        })
        .await;
    assert_eq!(seqs.unwrap(), [1, 2, 3, 1, 2]);
    store.hold_commits();
    let calls = ["d", "e", "f", "d", "a"].map(|id| spawn_add(&chat, large(id)));
    settle().await;
    store.release();
    let mut seqs = Vec::new();
    for call in calls {
        seqs.push(call.await.unwrap().unwrap().seq);
    }
    assert_eq!(seqs, [4, 5, 6, 4, 1]);
    assert_eq!(chat.get_state().await.unwrap().messages.len(), 6);
}

/// A turn sees its own changes, also in messages that are not in memory.
/// Clause C7.
#[tokio::test]
async fn a_turn_that_edits_older_messages_finds_ids_as_it_left_them() {
    let store = Puppet::new();
    let chat = store.with_window(1, 10).session(id("s"));
    let text = |id: &str, text: &str| Message::user(text).with_id(id);
    for id in ["a", "b", "c"] {
        chat.add_message(text(id, "old")).await.unwrap();
    }
    let added = chat
        .turn(|draft| {
            draft.replace(1, &text("a", "new"))?;
            draft.replace(2, &text("z", "old"))?;
            let known =
                [draft.add_message(text("a", "new"))?, draft.add_message(text("z", "old"))?];
            assert!(matches!(
                draft.add_message(text("a", "old")),
                Err(Error::IdReused { seq: 1, .. })
            ));
            let new = draft.add_message(text("b", "old"))?;
            Ok((known.map(|known| known.seq), new.seq))
        })
        .await;
    assert_eq!(added.unwrap(), ([1, 2], 4));
    let again = chat.add_message(text("z", "old")).await.unwrap();
    assert_eq!((again.seq, again.replayed), (2, true));
    // And one that it did not change, beside an edit.
    let turn = chat.turn(|draft| {
        draft.replace(2, &text("y", "old"))?;
        draft.add_message(text("a", "new"))
    });
    assert_eq!(turn.await.unwrap().seq, 1);
}
