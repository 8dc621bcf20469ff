//! Calls of `reply` that were made before (clauses C7 and C11).

use crate::common::{Fault, Puppet, id, settle};
use crate::{all, ask, chat, open, question, text};
use durable_session::{ChatSession, Error, Message, NewReply, Opened, ReplyEnd};
use futures_util::future::join;

fn running(opened: Result<Opened, Error>) -> durable_session::Follow {
    match opened.unwrap() {
        Opened::Running(follow) => follow,
        other => panic!("{other:?}"),
    }
}

async fn again(chat: &ChatSession, attempt: u64) -> Result<Opened, Error> {
    chat.reply(|draft| {
        // Everything after the question goes.
        draft.rewind_to(1)?;
        Ok(NewReply::new(Message::assistant("")).attempt(attempt))
    })
    .await
}

#[tokio::test]
async fn a_retry_follows_an_open_reply_and_gets_the_message_of_one_that_ended() {
    let store = Puppet::new();
    let chat = chat(&store);
    let mut reply = open(&chat).await;
    reply.push("a").await.unwrap();
    let mut follow = running(ask(&chat).await);
    reply.push("b").await.unwrap();
    let finished = reply.finish().await.unwrap();
    let (chunks, ended) = all(&mut follow).await;
    assert_eq!((chunks.len(), ended), (2, ReplyEnd::Finished));
    for chat in [&chat, &store.sessions().session(id("s"))] {
        let Opened::Ended(stored) = ask(chat).await.unwrap() else { panic!("it has ended") };
        assert_eq!(stored, finished);
    }
    assert_eq!(store.commits().len(), 2);
}

#[tokio::test]
async fn of_two_calls_at_once_one_produces() {
    for held in [false, true] {
        let store = Puppet::new();
        let chat = chat(&store);
        chat.snapshot().await.unwrap();
        if held {
            store.hold_commits();
        }
        let release = async {
            settle().await;
            store.release();
        };
        let ((one, two), ()) = join(join(ask(&chat), ask(&chat)), release).await;
        let (one, two) = (one.unwrap(), two.unwrap());
        let Opened::New(mut reply) = one else { panic!("{one:?}") };
        let Opened::Running(mut follow) = two else { panic!("{two:?}") };
        reply.push("a").await.unwrap();
        reply.finish().await.unwrap();
        assert_eq!(all(&mut follow).await.0.len(), 1);
        assert_eq!(store.commits().len(), 2);
    }
}

#[tokio::test]
async fn of_two_registries_at_once_one_produces() {
    let store = Puppet::new();
    let (one, two) = (chat(&store), chat(&store));
    let (first, second) = join(ask(&one), ask(&two)).await;
    let news = [&first, &second].map(|opened| matches!(opened, Ok(Opened::New(_))));
    assert_ne!(news[0], news[1], "{first:?} {second:?}");
}

#[tokio::test]
async fn a_question_that_is_stored_already_is_answered_without_being_stored_again() {
    let store = Puppet::new();
    let chat = chat(&store);
    chat.add_message(question()).await.unwrap();
    let mut reply = open(&chat).await;
    assert_eq!(reply.seq(), 2);
    reply.finish().await.unwrap();
    // It is answered by its place, too.
    let opened = chat.reply(|_| Ok(NewReply::new(Message::assistant("")).to("m-7"))).await;
    assert!(matches!(opened, Ok(Opened::Ended(_))), "{opened:?}");
    assert_eq!(chat.snapshot().await.unwrap().message_count(), 2);
}

#[tokio::test]
async fn another_try_is_another_reply_and_ends_the_one_before() {
    let store = Puppet::new();
    let chat = chat(&store);
    let mut first = open(&chat).await;
    first.push("first").await.unwrap();
    let Opened::New(mut second) = again(&chat, 1).await.unwrap() else { panic!("it is new") };
    assert_eq!(first.ended().await.unwrap().how, ReplyEnd::Removed);
    assert_eq!(second.message().id().as_deref(), Some("reply-1-to-m-7"));
    assert_eq!(second.seq(), 3);
    second.push("second").await.unwrap();
    // The same call again removes nothing.
    let follow = running(again(&chat, 1).await);
    assert_eq!(follow.seq(), 3);
    second.finish().await.unwrap();
    assert!(matches!(again(&chat, 1).await, Ok(Opened::Ended(_))));
    assert_eq!(chat.snapshot().await.unwrap().message_count(), 2);
    assert_eq!(text(&chat, 3).await.unwrap(), "second");
}

#[tokio::test]
async fn an_edited_question_is_answered_anew() {
    let store = Puppet::new();
    let chat = chat(&store);
    let mut reply = open(&chat).await;
    reply.push("old").await.unwrap();
    reply.finish().await.unwrap();
    let edit = async || {
        chat.reply(|draft| {
            draft.replace(1, &Message::user("Explain borrows").with_id("m-7"))?;
            draft.rewind_to(1)?;
            Ok(Message::assistant(""))
        })
        .await
    };
    let Opened::New(mut reply) = edit().await.unwrap() else { panic!("it is another question") };
    reply.push("new").await.unwrap();
    running(edit().await);
    reply.finish().await.unwrap();
    assert!(matches!(edit().await, Ok(Opened::Ended(_))));
    assert_eq!(text(&chat, 3).await.unwrap(), "new");

    // Added messages with the id of a known reply are not thrown away.
    let used = chat
        .reply(|draft| {
            draft.add_message(Message::user("another"))?;
            Ok(NewReply::new(Message::assistant("")).to("m-7"))
        })
        .await;
    assert!(matches!(used, Err(Error::IdReused { seq: 3, .. })), "{used:?}");
}

#[tokio::test]
async fn a_retry_after_an_unknown_outcome_never_opens_a_second_reply() {
    for fault in [Fault::Before, Fault::After] {
        let store = Puppet::new();
        let chat = chat(&store);
        chat.snapshot().await.unwrap();
        store.fail_commits(&[fault]);
        ask(&chat).await.unwrap_err();
        settle().await;
        chat.snapshot().await.unwrap();
        settle().await;
        match (fault, ask(&chat).await.unwrap()) {
            (Fault::Before, Opened::New(reply)) => assert_eq!(reply.seq(), 2),
            // Nobody produces it, so it is interrupted.
            (Fault::After, Opened::Ended(stored)) => {
                assert!(stored.message.as_json().contains("interrupted"));
            }
            (_, other) => panic!("{fault:?}: {other:?}"),
        }
        assert_eq!(chat.snapshot().await.unwrap().message_count(), 2);
    }
}

#[tokio::test]
async fn a_message_without_an_id_is_answered_each_time() {
    let store = Puppet::new();
    let chat = chat(&store);
    for seq in [2, 4] {
        let opened = chat
            .reply(|draft| {
                draft.add_message(Message::user("hi"))?;
                Ok(Message::assistant(""))
            })
            .await;
        let Opened::New(mut reply) = opened.unwrap() else { panic!("it is new") };
        assert_eq!((reply.seq(), reply.message().id()), (seq, None));
        reply.finish().await.unwrap();
    }
}

#[tokio::test]
async fn a_format_that_is_not_set_up_is_named() {
    let store = Puppet::new();
    let chat = chat(&store);
    let opened = chat.reply(|_| Ok(NewReply::new(Message::assistant("")).format("ui"))).await;
    let Err(Error::UnknownFormat { format, .. }) = opened else { panic!("{opened:?}") };
    assert_eq!(&*format, "ui");
    assert_eq!(store.commits().len(), 0);
}
