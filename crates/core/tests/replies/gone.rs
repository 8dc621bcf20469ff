//! Producers that are gone (clause C12).

use crate::common::{ManualClock, Puppet, id, settle, texts};
use crate::{all, chat, how, open, shared, text};
use durable_session::store::{ChunkQuery, SessionStore};
use durable_session::{
    ChatSession, ChatSessions, Error, Expiry, FormatError, Message, Opened, Replies, ReplyEnd,
    ReplyFormat, TextReply,
};
use std::time::Duration;

const ABANDONED: u64 = 10_000;

fn sessions(store: &Puppet, clock: &ManualClock) -> ChatSessions {
    let replies = Replies::default().abandoned_after(Duration::from_millis(ABANDONED));
    store.builder(clock.clone()).replies(replies).build()
}

/// Reads until what the read staged is done.
async fn read(chat: &ChatSession) -> Vec<String> {
    for _ in 0..10 {
        chat.snapshot().await.unwrap();
        settle().await;
    }
    texts(&chat.get_state().await.unwrap().messages)
}

/// Clause C12.
#[tokio::test]
async fn after_a_restart_the_first_read_ends_the_reply_with_what_was_shown() {
    let store = Puppet::new();
    let mut reply = open(&chat(&store)).await;
    for word in ["was ", "shown"] {
        reply.push(word).await.unwrap();
    }
    store.open_again();
    let chat = chat(&store);
    assert_eq!(read(&chat).await, ["Explain lifetimes", "was shown"]);
    assert_eq!(chat.stop(2).await.unwrap().how, ReplyEnd::Interrupted);
    assert_eq!(how(&reply.push("more").await.unwrap_err()), ReplyEnd::Interrupted);
}

#[tokio::test]
async fn a_live_producer_of_another_registry_is_not_called_dead() {
    let store = Puppet::new();
    let mut reply = open(&chat(&store)).await;
    reply.push("a").await.unwrap();
    let clock = ManualClock::at(1_000);
    let other = sessions(&store, &clock).session(id("s"));
    for _ in 0..5 {
        clock.advance(10 * ABANDONED);
        assert_eq!(read(&other).await[1], "");
    }
    reply.push("b").await.unwrap();
    drop(reply);
    settle().await;
    let third = chat(&store);
    assert_eq!(read(&third).await[1], "ab");
}

/// Clause C12.
#[tokio::test]
async fn a_call_that_was_dropped_while_it_opened_a_reply_leaves_none_open() {
    for polls in 0..12 {
        let store = Puppet::new();
        let chat = chat(&store);
        chat.snapshot().await.unwrap();
        {
            let mut call = std::pin::pin!(crate::ask(&chat));
            for _ in 0..polls {
                if futures_util::future::poll_immediate(&mut call).await.is_some() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        settle().await;
        read(&chat).await;
        let loaded = chat.snapshot().await.unwrap();
        assert_eq!(loaded.open_replies().count(), 0, "after {polls} polls");
        if loaded.message_count() == 2 {
            let Opened::Ended(stored) = crate::ask(&chat).await.unwrap() else {
                panic!("it was interrupted")
            };
            assert!(stored.message.as_json().contains("interrupted"));
        }
    }
}

#[tokio::test]
async fn on_a_shared_store_only_a_time_without_any_sign_of_life_calls_a_producer_dead() {
    let (store, clock) = shared();
    let mut reply = open(&sessions(&store, &clock).session(id("s"))).await;
    assert_eq!(reply.beat_every(), Some(Duration::from_millis(ABANDONED / 4)));
    reply.push("a").await.unwrap();
    let observer = store.of_another_process();
    // Each time a registry of its own, which has to load the session.
    let here = ManualClock::at(1_000);
    let observing = sessions(&observer, &here);
    let sweep = async || observing.sweep(&observer).await.unwrap().interrupted;
    assert_eq!(sweep().await, 0);
    here.advance(ABANDONED - 1);
    assert_eq!(sweep().await, 0);
    reply.beat().await.unwrap();
    here.advance(ABANDONED - 1);
    assert_eq!(sweep().await, 0, "it has shown a beat");
    reply.push("b").await.unwrap();
    here.advance(ABANDONED - 1);
    assert_eq!(sweep().await, 0, "it has shown a chunk");
    // The wall clock decides nothing.
    here.set(here.now() + 1_000 * ABANDONED);
    assert_eq!(sweep().await, 0);
    here.advance(1);
    assert_eq!(sweep().await, 0, "the chunk was seen a moment ago");
    here.advance(ABANDONED - 2);
    assert_eq!(sweep().await, 0);
    here.advance(1);
    assert_eq!(sweep().await, 1);
    assert_eq!(read(&observing.session(id("s"))).await[1], "ab");
    assert_eq!(how(&reply.push("c").await.unwrap_err()), ReplyEnd::Interrupted);
}

/// Clause C12.
#[tokio::test]
async fn an_observer_loses_against_a_producer_that_shows_a_sign_of_life_in_time() {
    let (store, clock) = shared();
    let chat = sessions(&store, &clock).session(id("s"));
    let mut reply = open(&chat).await;
    reply.push("a").await.unwrap();
    let observer = store.of_another_process();
    let observing = sessions(&observer, &clock);
    observing.sweep(&observer).await.unwrap();
    clock.advance(2 * ABANDONED);
    observer.hold_commits();
    let sweep = observing.sweep(&observer);
    let beat = async {
        observer.commit_begun().await;
        reply.beat().await.unwrap();
        observer.release();
    };
    let (report, ()) = futures_util::future::join(sweep, beat).await;
    // The close met another count, and what it was made again from is the newest.
    assert!(report.unwrap().interrupted <= 1);
    let open = store.inner.read_chunks(&id("s"), ChunkQuery::from(2, 0)).await.unwrap();
    match open {
        Some(_) => reply.push("b").await.unwrap(),
        None => assert_eq!(how(&reply.push("b").await.unwrap_err()), ReplyEnd::Interrupted),
    }
    assert!(open_or_whole(&store, &chat).await);
}

/// Whether the reply is open, or its message has what was shown.
async fn open_or_whole(store: &Puppet, chat: &ChatSession) -> bool {
    let open = store.inner.read_chunks(&id("s"), ChunkQuery::from(2, 0)).await.unwrap();
    open.is_some() || text(chat, 2).await.unwrap().starts_with('a')
}

/// Clause C12.
#[tokio::test]
async fn a_follower_in_another_process_sees_the_interruption() {
    let (store, clock) = shared();
    let mut reply = open(&sessions(&store, &clock).session(id("s"))).await;
    reply.push("a").await.unwrap();
    let observer = store.of_another_process();
    let chat = sessions(&observer, &clock).session(id("s"));
    let mut follow = chat.follow(2, 0).await.unwrap();
    let look = async |follow: &mut durable_session::Follow| {
        futures_util::future::poll_immediate(follow.next()).await
    };
    assert!(look(&mut follow).await.is_some(), "the stored chunk");
    assert!(look(&mut follow).await.is_none());
    clock.advance(ABANDONED);
    assert!(look(&mut follow).await.is_none());
    settle().await;
    let (chunks, ended) = all(&mut follow).await;
    assert_eq!((chunks.len(), ended), (0, ReplyEnd::Interrupted));
    drop(reply);
    settle().await;
    assert_eq!(text(&chat, 2).await.unwrap(), "a");
}

/// Text by another name.
struct Loud;

impl ReplyFormat for Loud {
    fn name(&self) -> &'static str {
        "loud"
    }

    fn open(&self, message: Message) -> Result<Message, FormatError> {
        TextReply.open(message)
    }

    fn check(&self, chunk: &str) -> Result<(), FormatError> {
        TextReply.check(chunk)
    }

    fn close(
        &self,
        opened: &Message,
        chunks: &mut dyn Iterator<Item = &str>,
        how: ReplyEnd,
        reason: Option<&str>,
    ) -> Result<Message, FormatError> {
        let loud: Vec<_> = chunks.map(str::to_uppercase).collect();
        TextReply.close(opened, &mut loud.iter().map(String::as_str), how, reason)
    }

    fn ended(&self, message: &Message) -> Option<ReplyEnd> {
        TextReply.ended(message)
    }

    fn rest(&self, message: &Message, at: u64) -> Option<Vec<String>> {
        TextReply.rest(message, at)
    }
}

/// Clause C12.
#[tokio::test]
async fn a_reply_in_a_format_that_is_not_at_hand_stays_open_for_a_service_that_has_it() {
    let store = Puppet::new();
    let loud = || -> ChatSession {
        let replies = Replies::default().format(Loud);
        store.builder(ManualClock::at(1)).replies(replies).build().session(id("s"))
    };
    let mut reply = open(&loud()).await;
    reply.push("a").await.unwrap();
    store.open_again();
    let without = chat(&store);
    read(&without).await;
    assert_eq!(without.snapshot().await.unwrap().open_replies().count(), 1);
    let stopped = without.stop(2).await;
    assert!(matches!(stopped, Err(Error::UnknownFormat { .. })), "{stopped:?}");
    assert_eq!(read(&without).await[1], "", "it reads as it was opened");
    assert_eq!(read(&loud()).await[1], "A");
    assert_eq!(how(&reply.push("b").await.unwrap_err()), ReplyEnd::Interrupted);
}

#[tokio::test]
async fn expiry_takes_no_session_with_a_live_producer() {
    let store = Puppet::new();
    let clock = ManualClock::at(1_000_000);
    let expiry = Expiry::after(Duration::from_secs(100), Duration::from_secs(10)).unwrap();
    let build = || -> ChatSessions { store.builder(clock.clone()).expiry(expiry).build() };
    let (writing, sweeping) = (build(), build());
    let chat = writing.session(id("s"));
    let mut reply = open(&chat).await;
    for _ in 0..5 {
        clock.advance(1_000_000);
        for sessions in [&writing, &sweeping] {
            let report = sessions.sweep(&store).await.unwrap();
            assert_eq!((report.deleted, report.interrupted, report.failed.len()), (0, 0, 0));
        }
        reply.push("thinking ").await.unwrap();
    }
    drop(reply);
    clock.advance(1_000_000);
    assert_eq!(sweeping.sweep(&store).await.unwrap().deleted, 1);
}

/// Clause C12.
#[tokio::test]
async fn a_sweep_interrupts_what_a_restart_left_without_reading_other_sessions() {
    let store = Puppet::new();
    let before = store.sessions();
    for n in 0..20 {
        let chat = before.session(id(&format!("plain-{n}")));
        chat.add_message(Message::user("hi")).await.unwrap();
    }
    for n in 0..3 {
        let mut reply = open(&before.session(id(&format!("open-{n}")))).await;
        reply.push("a").await.unwrap();
        std::mem::forget(reply);
    }
    store.open_again();
    let loads = store.loads();
    let after = store.sessions();
    assert_eq!(after.sweep(&store).await.unwrap().interrupted, 3);
    assert_eq!(store.loads() - loads, 3);
    assert_eq!(after.sweep(&store).await.unwrap().interrupted, 0);
}
