//! Futures that are dropped at each of their waits (clauses C3 and C11).

use crate::common::{Puppet, id, settle};
use crate::{all, chat, open, stored_chunks, text};
use durable_session::{ChatSession, Message, Opened, Reply, ReplyEnd};
use futures_util::future::poll_immediate;
use std::pin::pin;

/// Polls the call so many times, letting the store's tasks go on in between, and drops it. Returns
/// its output if it was done.
async fn dropped_after<T>(polls: usize, call: impl Future<Output = T>) -> Option<T> {
    let mut call = pin!(call);
    for _ in 0..polls {
        if let Some(output) = poll_immediate(&mut call).await {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}

/// Lets what was staged go on.
async fn rest(chat: &ChatSession) {
    for _ in 0..10 {
        chat.snapshot().await.unwrap();
        settle().await;
    }
}

/// Clause C11.
#[tokio::test]
async fn a_dropped_push_is_whole_or_nothing_and_the_next_one_follows_it() {
    for polls in 0..6 {
        let store = Puppet::new();
        let chat = chat(&store);
        let mut reply = open(&chat).await;
        reply.push("a").await.unwrap();
        drop(dropped_after(polls, reply.push("b")).await);
        reply.push("c").await.unwrap();
        let chunks = stored_chunks(&store, 2).await.unwrap().concat();
        assert!(["\"a\"\"c\"", "\"a\"\"b\"\"c\""].contains(&&*chunks), "{polls}: {chunks}");
        let mut follow = chat.follow(2, 0).await.unwrap();
        let stored = reply.finish().await.unwrap();
        let shown: String = all(&mut follow).await.0.iter().map(|(_, json)| json.clone()).collect();
        assert_eq!(shown, chunks);
        assert_eq!(stored.message.text().unwrap(), chunks.replace('"', ""));
    }
}

#[tokio::test]
async fn a_dropped_pump_leaves_a_beginning_of_its_stream() {
    for polls in 0..6 {
        let store = Puppet::new();
        let chat = chat(&store);
        let mut reply = open(&chat).await;
        let words = futures_util::stream::iter(["a", "b", "c"]);
        drop(dropped_after(polls, reply.pump(words)).await);
        reply.push("z").await.unwrap();
        let message = reply.finish().await.unwrap().message;
        let text = message.text().unwrap().into_owned();
        assert!("abc".starts_with(text.strip_suffix('z').unwrap()), "{polls}: {text}");
    }
}

/// The ways to end a reply that a caller may drop.
#[derive(Debug, Clone, Copy)]
enum Way {
    Finish,
    FinishWith,
    Fail,
    Stop,
    StopElsewhere,
}

async fn end(
    way: Way,
    store: &Puppet,
    chat: &ChatSession,
    reply: &mut Reply,
    polls: usize,
) -> bool {
    match way {
        Way::Finish => dropped_after(polls, reply.finish()).await.is_some(),
        Way::FinishWith => {
            let with = reply.finish_with(|draft| draft.add_message(Message::system("more")));
            dropped_after(polls, with).await.is_some()
        }
        Way::Fail => dropped_after(polls, reply.fail("why")).await.is_some(),
        Way::Stop => dropped_after(polls, chat.stop(2)).await.is_some(),
        Way::StopElsewhere => {
            let other = store.sessions().session(id("s"));
            dropped_after(polls, other.stop(2)).await.is_some()
        }
    }
}

/// Clause C11.
#[tokio::test]
async fn a_dropped_end_is_whole_or_nothing_and_the_reply_can_go_on_or_be_ended() {
    let ways = [Way::Finish, Way::FinishWith, Way::Fail, Way::Stop, Way::StopElsewhere];
    for way in ways {
        for polls in 0..14 {
            for sending in [false, true] {
                let store = Puppet::new();
                let chat = chat(&store);
                let mut reply = open(&chat).await;
                let mut follow = chat.follow(2, 0).await.unwrap();
                reply.push("a").await.unwrap();
                if sending {
                    drop(dropped_after(1, reply.push("b")).await);
                }
                end(way, &store, &chat, &mut reply, polls).await;
                settle().await;
                // Either it has ended, or it goes on.
                let goes_on = reply.push("c").await.is_ok();
                let finished = reply.finish().await;
                drop(reply);
                rest(&chat).await;
                let (chunks, ended) = all(&mut follow).await;
                let shown: String = chunks.iter().map(|(_, json)| json.replace('"', "")).collect();
                let text = text(&chat, 2).await.unwrap();
                let case = format!("{way:?} {polls} {sending} {ended} {text}");
                assert_eq!(text, shown, "{case}");
                assert_eq!(goes_on, text.ends_with('c'), "{case}");
                assert!(!goes_on || finished.is_ok(), "{case}");
                assert_eq!(stored_chunks(&store, 2).await, None, "{case}");
                let with = chat.snapshot().await.unwrap().message_count();
                let both = matches!(way, Way::FinishWith) && !goes_on;
                assert!(with == 2 || both && with == 3, "{case}: {with}");
            }
        }
    }
}

/// Clause C12.
#[tokio::test]
async fn a_dropped_call_of_reply_leaves_the_question_with_an_ended_reply_or_nothing() {
    for loaded in [false, true] {
        for polls in 0..12 {
            let store = Puppet::new();
            let chat = chat(&store);
            if loaded {
                chat.add_message(Message::user("before")).await.unwrap();
            }
            let opened = dropped_after(polls, crate::ask(&chat)).await;
            let was_opened = matches!(opened, Some(Ok(Opened::New(_))));
            drop(opened);
            settle().await;
            rest(&chat).await;
            let snapshot = chat.snapshot().await.unwrap();
            let before = u64::from(loaded);
            let count = snapshot.message_count();
            assert!(count == before || count == before + 2, "{polls}: {count}");
            assert!(!was_opened || count == before + 2);
            assert_eq!(snapshot.open_replies().count(), 0, "{polls}");
        }
    }
}

/// Clause C11.
#[tokio::test]
async fn a_dropped_follow_and_a_dropped_wait_for_the_end_change_nothing() {
    for polls in 0..6 {
        let store = Puppet::new();
        let chat = chat(&store);
        let mut reply = open(&chat).await;
        reply.push("a").await.unwrap();
        let other = store.sessions().session(id("s"));
        for chat in [&chat, &other] {
            drop(dropped_after(polls, chat.follow(2, 0)).await);
            let mut follow = chat.follow(2, 0).await.unwrap();
            let mut got = Vec::new();
            // The wait for what does not come is dropped each time.
            for _ in 0..3 {
                got.extend(dropped_after(polls, follow.next()).await);
            }
            assert!(got.len() <= 1, "{got:?}");
        }
        drop(dropped_after(polls, reply.ended()).await);
        drop(dropped_after(polls, reply.beat()).await);
        reply.push("b").await.unwrap();
        let mut follow = chat.follow(2, 0).await.unwrap();
        reply.finish().await.unwrap();
        let (chunks, ended) = all(&mut follow).await;
        assert_eq!((chunks.len(), ended), (2, ReplyEnd::Finished));
    }
}
