//! A reply ends once: whoever is first decides, the others are told (clause C11).

use crate::common::{Fault, Puppet, id, settle};
use crate::{all, chat, how, open, stored_chunks, text};
use durable_session::{Error, Message, ReplyEnd, ReplyFormat, TextReply};
use futures_util::future::{join, poll_immediate};
use std::pin::pin;

#[tokio::test]
async fn a_stop_keeps_the_chunks_so_far_and_the_producer_is_told_at_once() {
    let store = Puppet::new();
    let chat = chat(&store);
    let mut reply = open(&chat).await;
    reply.push("so far").await.unwrap();
    {
        let mut ended = pin!(reply.ended());
        assert!(poll_immediate(&mut ended).await.is_none());
        let stopped = chat.stop(2).await.unwrap();
        assert_eq!(stopped.how, ReplyEnd::Stopped);
        assert_eq!(poll_immediate(&mut ended).await.unwrap().unwrap(), stopped);
        let message = stopped.message.unwrap().message;
        assert_eq!(message.text().as_deref(), Some("so far"));
        assert_eq!(TextReply.ended(&message), Some(ReplyEnd::Stopped));
    }
    assert_eq!(how(&reply.push("more").await.unwrap_err()), ReplyEnd::Stopped);
    assert_eq!(how(&reply.beat().await.unwrap_err()), ReplyEnd::Stopped);
    assert_eq!(how(&reply.finish().await.unwrap_err()), ReplyEnd::Stopped);
    assert_eq!(how(&reply.fail("no").await.unwrap_err()), ReplyEnd::Stopped);
    let nothing = futures_util::stream::pending::<&str>();
    assert_eq!(how(&reply.pump(nothing).await.unwrap_err()), ReplyEnd::Stopped);
    // Again, also for somebody who does not know of it.
    assert_eq!(chat.stop(2).await.unwrap().how, ReplyEnd::Stopped);
    drop(reply);
    let other = store.sessions().session(id("s"));
    assert_eq!(other.stop(2).await.unwrap().how, ReplyEnd::Stopped);
    assert_eq!(store.commits().len(), 2);
}

#[tokio::test]
async fn a_stop_ends_a_stream_that_gives_nothing() {
    let store = Puppet::new();
    let chat = chat(&store);
    let mut reply = open(&chat).await;
    let (stream, stop) = join(reply.pump(futures_util::stream::pending::<&str>()), async {
        settle().await;
        chat.stop(2).await
    })
    .await;
    assert_eq!(how(&stream.unwrap_err()), ReplyEnd::Stopped);
    assert_eq!(stop.unwrap().how, ReplyEnd::Stopped);
}

#[tokio::test]
async fn a_stop_of_another_message_tells_how_that_ended() {
    let store = Puppet::new();
    let chat = chat(&store);
    let mut reply = open(&chat).await;
    let finished = reply.finish().await.unwrap();
    let stopped = chat.stop(2).await.unwrap();
    assert_eq!((stopped.how, stopped.message), (ReplyEnd::Finished, Some(finished)));
    assert_eq!(chat.stop(1).await.unwrap().how, ReplyEnd::Finished, "no reply wrote it");
    assert!(matches!(chat.stop(9).await, Err(Error::NoSuchMessage { seq: 9, .. })));
}

#[tokio::test]
async fn a_failed_reply_keeps_its_chunks_and_the_reason() {
    let store = Puppet::new();
    let chat = chat(&store);
    let mut reply = open(&chat).await;
    reply.push("half").await.unwrap();
    let failed = reply.fail("the model is overloaded").await.unwrap().message;
    assert_eq!(failed.text().as_deref(), Some("half"));
    assert!(failed.as_json().contains("the model is overloaded"));
    assert_eq!(TextReply.ended(&failed), Some(ReplyEnd::Failed));
    assert_eq!(chat.stop(2).await.unwrap().how, ReplyEnd::Failed);
}

#[tokio::test]
async fn of_two_who_end_it_at_once_one_decides_and_both_are_told_the_same() {
    for held in [false, true] {
        let store = Puppet::new();
        let chat = chat(&store);
        let mut reply = open(&chat).await;
        reply.push("a").await.unwrap();
        if held {
            store.hold_commits();
        }
        let release = async {
            settle().await;
            store.release();
        };
        let ((finished, stopped), ()) = join(join(reply.finish(), chat.stop(2)), release).await;
        let finished = match finished {
            Ok(stored) => (ReplyEnd::Finished, stored.message),
            Err(e) => (how(&e), Message::user("")),
        };
        let stopped = stopped.unwrap();
        assert_eq!(finished.0, stopped.how, "held: {held}");
        if finished.0 == ReplyEnd::Finished {
            assert_eq!(stopped.message.unwrap().message, finished.1);
        }
        assert_eq!(store.commits().len(), 2, "the second one changed nothing");
    }
}

/// Clause C11.
#[tokio::test]
async fn a_chunk_under_way_is_in_the_message_of_a_stop() {
    let store = Puppet::new();
    let chat = chat(&store);
    let mut reply = open(&chat).await;
    reply.push("a").await.unwrap();
    store.hold_extensions();
    let release = async {
        settle().await;
        assert_eq!(store.commits().len(), 1, "the stop waits for the chunk");
        store.release_extensions();
    };
    let ((pushed, stopped), ()) = join(join(reply.push("b"), chat.stop(2)), release).await;
    pushed.unwrap();
    assert_eq!(stopped.unwrap().message.unwrap().message.text().as_deref(), Some("ab"));
    assert_eq!(store.commits().len(), 2, "it did not grow in between");
}

#[tokio::test]
async fn a_stop_that_fails_leaves_the_reply_open_and_its_producer_goes_on() {
    let store = Puppet::new();
    let chat = chat(&store);
    let mut reply = open(&chat).await;
    reply.push("a").await.unwrap();
    store.fail_commits(&[Fault::Before]);
    chat.stop(2).await.unwrap_err();
    reply.push("b").await.unwrap();
    store.fail_commits(&[Fault::After]);
    chat.stop(2).await.unwrap_err();
    assert_eq!(how(&reply.push("c").await.unwrap_err()), ReplyEnd::Stopped);
    assert_eq!(chat.stop(2).await.unwrap().how, ReplyEnd::Stopped);
    assert_eq!(text(&chat, 2).await.unwrap(), "ab");
}

#[tokio::test]
async fn a_stop_through_another_registry_ends_it_and_the_producer_is_told() {
    let store = Puppet::new();
    let chat = chat(&store);
    let mut reply = open(&chat).await;
    for chunk in ["a", "b"] {
        reply.push(chunk).await.unwrap();
    }
    let other = store.sessions().session(id("s"));
    let stopped = other.stop(2).await.unwrap();
    assert_eq!(stopped.message.unwrap().message.text().as_deref(), Some("ab"));
    assert_eq!(how(&reply.push("c").await.unwrap_err()), ReplyEnd::Stopped);
    assert_eq!(how(&reply.finish().await.unwrap_err()), ReplyEnd::Stopped);
    assert_eq!(text(&chat, 2).await.unwrap(), "ab");
    assert_eq!(reply.ended().await.unwrap().how, ReplyEnd::Stopped);
}

#[tokio::test]
async fn a_close_that_meets_a_chunk_it_did_not_see_is_made_again() {
    let store = Puppet::new();
    let chat = chat(&store);
    let mut reply = open(&chat).await;
    reply.push("a").await.unwrap();
    let other = store.sessions().session(id("s"));
    store.hold_commits();
    {
        let mut stop = pin!(other.stop(2));
        while store.commits().len() < 2 {
            assert!(poll_immediate(&mut stop).await.is_none());
            settle().await;
        }
        // Its message is made, and the producer adds a chunk.
        reply.push("b").await.unwrap();
        store.release();
        let stopped = stop.await.unwrap();
        assert_eq!(stopped.message.unwrap().message.text().as_deref(), Some("ab"));
    }
    assert_eq!(stored_chunks(&store, 2).await, None);
}

#[tokio::test]
async fn a_dropped_reply_is_interrupted_at_once() {
    let store = Puppet::new();
    let chat = chat(&store);
    let mut reply = open(&chat).await;
    reply.push("so far").await.unwrap();
    let mut follow = chat.follow(2, 0).await.unwrap();
    drop(reply);
    let (chunks, ended) = all(&mut follow).await;
    assert_eq!((chunks.len(), ended), (1, ReplyEnd::Interrupted));
    assert_eq!(text(&chat, 2).await.unwrap(), "so far");
    assert_eq!(store.commits().len(), 2);
    assert_eq!(chat.stop(2).await.unwrap().how, ReplyEnd::Interrupted);
}

#[tokio::test]
async fn a_reply_dropped_with_a_chunk_under_way_is_interrupted_after_it() {
    let store = Puppet::new();
    let chat = chat(&store);
    let mut reply = open(&chat).await;
    reply.push("a").await.unwrap();
    store.hold_extensions();
    {
        let mut push = pin!(reply.push("b"));
        assert!(poll_immediate(&mut push).await.is_none());
    }
    drop(reply);
    settle().await;
    // Reads go on meanwhile.
    assert_eq!(text(&chat, 2).await.unwrap(), "");
    store.release_extensions();
    for _ in 0..10 {
        settle().await;
        chat.snapshot().await.unwrap();
    }
    assert_eq!(text(&chat, 2).await.unwrap(), "ab");
}

#[tokio::test]
async fn an_interruption_that_fails_fails_no_read_and_the_next_load_tries_again() {
    let store = Puppet::new();
    let chat = chat(&store);
    let mut reply = open(&chat).await;
    reply.push("a").await.unwrap();
    store.fail_commits(&[Fault::Before, Fault::Before]);
    drop(reply);
    for _ in 0..10 {
        settle().await;
        chat.snapshot().await.unwrap();
    }
    assert_eq!(text(&chat, 2).await.unwrap(), "a");
    assert_eq!(chat.stop(2).await.unwrap().how, ReplyEnd::Interrupted);
}
