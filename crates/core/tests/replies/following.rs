//! Followers (clause C11).

use crate::common::{Puppet, id, settle};
use crate::{all, chat, open, text};
use durable_session::{Error, Follow, Followed, Message, MessageQuery, ReplyEnd};
use futures_util::future::{join, join_all, poll_immediate};
use std::pin::pin;

async fn next(follow: &mut Follow) -> Option<Followed> {
    poll_immediate(follow.next()).await.map(Result::unwrap)
}

/// What a follower gets that is given this chunk.
#[allow(clippy::unnecessary_wraps)] // to be compared with `next`
fn chunk(at: u64, text: &str) -> Option<Followed> {
    Some(Followed::Chunk { at, json: format!("\"{text}\"") })
}

#[tokio::test]
async fn followers_see_each_chunk_once_in_order_from_their_offset_on() {
    let store = Puppet::new();
    let chat = chat(&store);
    let mut reply = open(&chat).await;
    let mut first = chat.follow(2, 0).await.unwrap();
    assert_eq!(first.message(), reply.message());
    assert_eq!(next(&mut first).await, None);
    for word in ["a", "b", "c"] {
        reply.push(word).await.unwrap();
    }
    let mut late = chat.follow(2, 2).await.unwrap();
    assert_eq!(next(&mut first).await, chunk(0, "a"));
    assert_eq!(next(&mut first).await, chunk(1, "b"));
    assert_eq!(next(&mut late).await, chunk(2, "c"));
    assert_eq!(next(&mut late).await, None);
    assert_eq!((first.at(), late.at()), (2, 3));
    let mut ahead = chat.follow(2, 4).await.unwrap();
    reply.push("d").await.unwrap();
    assert_eq!(next(&mut late).await, chunk(3, "d"));
    assert_eq!(next(&mut ahead).await, None, "it asked for a later one");
    reply.push("e").await.unwrap();
    assert_eq!(next(&mut ahead).await, chunk(4, "e"));
    let finished = reply.finish().await.unwrap();
    drop(reply);
    // After the end the rest comes from memory.
    for word in [(2, "c"), (3, "d"), (4, "e")] {
        assert_eq!(next(&mut first).await, chunk(word.0, word.1));
    }
    for follow in [&mut first, &mut ahead] {
        let Some(Followed::Ended(ended)) = next(follow).await else { panic!("it has ended") };
        assert_eq!((ended.how, ended.message.as_ref()), (ReplyEnd::Finished, Some(&finished)));
        assert_eq!(next(follow).await, Some(Followed::Ended(ended)), "and stays so");
    }
    // Those who come later get the message.
    let mut after = chat.follow(2, 0).await.unwrap();
    assert!(!after.was_open());
    assert_eq!(all(&mut after).await, (vec![], ReplyEnd::Finished));
    assert!(matches!(chat.follow(9, 0).await, Err(Error::NoSuchMessage { seq: 9, .. })));
}

#[tokio::test]
async fn a_chunk_is_shown_only_once_it_is_durable() {
    let store = Puppet::new();
    let chat = chat(&store);
    let mut reply = open(&chat).await;
    let mut follow = chat.follow(2, 0).await.unwrap();
    store.hold_extensions();
    let mut push = pin!(reply.push("a"));
    for _ in 0..3 {
        assert!(poll_immediate(&mut push).await.is_none());
        settle().await;
        assert_eq!(next(&mut follow).await, None);
    }
    store.release_extensions();
    settle().await;
    // The follower drives the session itself: it does not need the producer.
    assert_eq!(next(&mut follow).await, chunk(0, "a"));
    push.await.unwrap();
}

#[tokio::test]
async fn a_waiting_follower_is_woken_by_chunks_and_by_the_end() {
    let store = Puppet::new();
    let chat = chat(&store);
    let mut reply = open(&chat).await;
    let mut followers = Vec::new();
    for _ in 0..3 {
        followers.push(chat.follow(2, 0).await.unwrap());
    }
    let produce = async {
        for n in 0..20 {
            settle().await;
            reply.push(n.to_string()).await.unwrap();
        }
        reply.finish().await.unwrap();
    };
    let (all, ()) = join(join_all(followers.iter_mut().map(all)), produce).await;
    let expected: Vec<_> = (0..20).map(|n| (n, format!("\"{n}\""))).collect();
    for got in all {
        assert_eq!(got, (expected.clone(), ReplyEnd::Finished));
    }
}

#[tokio::test]
async fn a_follower_that_leaves_stops_nothing_and_a_dropped_wait_loses_nothing() {
    let store = Puppet::new();
    let chat = chat(&store);
    let mut reply = open(&chat).await;
    let gone = chat.follow(2, 0).await.unwrap();
    let mut stays = chat.follow(2, 0).await.unwrap();
    for n in 0..5 {
        assert_eq!(next(&mut stays).await, None, "a wait that is dropped");
        reply.push(n.to_string()).await.unwrap();
        assert_eq!(next(&mut stays).await, chunk(n, &n.to_string()));
    }
    drop(gone);
    reply.push("5").await.unwrap();
    reply.finish().await.unwrap();
    assert_eq!(all(&mut stays).await, (vec![(5, "\"5\"".to_owned())], ReplyEnd::Finished));
}

#[tokio::test]
async fn a_follower_of_another_registry_reads_the_store() {
    let store = Puppet::new();
    let chat = chat(&store);
    let mut reply = open(&chat).await;
    reply.push("a").await.unwrap();
    let other = store.sessions().session(id("s"));
    let mut follow = other.follow(2, 0).await.unwrap();
    assert_eq!(follow.message(), reply.message());
    assert_eq!(next(&mut follow).await, chunk(0, "a"));
    assert_eq!(next(&mut follow).await, None);
    reply.push("b").await.unwrap();
    assert_eq!(next(&mut follow).await, chunk(1, "b"), "each call looks into the store");
    for n in 0..3000 {
        reply.push(n.to_string()).await.unwrap();
    }
    for n in 0..3000 {
        assert_eq!(next(&mut follow).await, chunk(n + 2, &n.to_string()));
    }
    reply.finish().await.unwrap();
    assert_eq!(all(&mut follow).await, (vec![], ReplyEnd::Finished));
    assert_eq!(text(&other, 2).await, text(&chat, 2).await);
}

/// Clause C11.
#[tokio::test]
async fn only_so_many_chunks_stay_in_memory_after_the_end() {
    let store = Puppet::new();
    let chat = chat(&store);
    let mut reply = open(&chat).await;
    let mut slow = chat.follow(2, 0).await.unwrap();
    let long = "x".repeat(100_000);
    for _ in 0..3 {
        reply.push(&long).await.unwrap();
    }
    assert!(matches!(next(&mut slow).await, Some(Followed::Chunk { at: 0, .. })));
    reply.finish().await.unwrap();
    let (chunks, ended) = all(&mut slow).await;
    assert_eq!((chunks.len(), ended), (0, ReplyEnd::Finished), "it gets the message");
}

/// Clause C11.
#[tokio::test]
async fn long_replies_are_written_followed_and_closed_whatever_their_length() {
    let store = Puppet::new();
    let chat = chat(&store);
    let mut reply = open(&chat).await;
    let mut live = chat.follow(2, 0).await.unwrap();
    let words = futures_util::stream::iter((0..20_000).map(|n| format!("{n:05}")));
    reply.pump(words).await.unwrap();
    let mut late = chat.follow(2, 0).await.unwrap();
    for follow in [&mut live, &mut late] {
        for n in 0..20_000 {
            assert_eq!(next(follow).await, chunk(n, &format!("{n:05}")));
        }
    }
    let finished = reply.finish().await.unwrap();
    assert_eq!(finished.message.text().unwrap().len(), 100_000);
}

#[tokio::test]
async fn pages_read_while_a_reply_is_open_and_closed_show_one_version() {
    let store = Puppet::new();
    let sessions = store.with_window(1, 1 << 20);
    let chat = sessions.session(id("s"));
    let mut reply = open(&chat).await;
    chat.add_messages((0..5).map(|n| Message::user(n.to_string())).collect()).await.unwrap();
    let mut parts = chat.message_parts().await.unwrap();
    reply.push("more").await.unwrap();
    reply.finish().await.unwrap();
    let page = chat.messages(MessageQuery::at(2)).await.unwrap();
    assert_eq!(page.messages[0].message.text().as_deref(), Some("more"));
    let mut whole = String::new();
    while let Ok(Some(part)) = parts.next().await {
        whole.push_str(std::str::from_utf8(&part).unwrap());
    }
    let open = whole.contains("in_progress");
    let closed = whole.contains("more");
    assert!(!(open && closed), "{whole}");
}

/// Clause C11. The message and the answer whether it is open are of one moment.
#[tokio::test]
async fn a_follower_that_begins_while_the_reply_ends_is_not_told_that_it_is_open() {
    let store = Puppet::new();
    let chat = chat(&store);
    let mut reply = open(&chat).await;
    reply.push("a").await.unwrap();
    chat.add_message(Message::user("more")).await.unwrap();
    // The message of the reply is not in the memory of this registry.
    let other = store.with_window(1, 1 << 10).session(id("s"));
    assert_eq!(other.snapshot().await.unwrap().open_replies().count(), 1);
    reply.finish().await.unwrap();
    let follow = other.follow(2, 0).await.unwrap();
    assert_eq!((follow.message().text().as_deref(), follow.was_open()), (Some("a"), false));
}
