//! Opening, writing and finishing (clause C11).

use crate::common::{Fault, ManualClock, Puppet, id, settle, texts};
use crate::{ask, chat, how, open, question, stored_chunks, text};
use durable_session::store::StoreLimits;
use durable_session::{
    ChatSession, ChatSessions, Error, LimitKind, Limits, Message, NewReply, Opened, ReplyEnd,
    Watched,
};
use futures_util::future::poll_immediate;
use futures_util::stream::{self, Stream};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc::UnboundedReceiver;

#[tokio::test]
async fn a_reply_is_opened_with_its_question_and_reads_as_it_was_opened_until_it_is_finished() {
    let store = Puppet::new();
    let chat = chat(&store);
    let mut reply = open(&chat).await;
    assert_eq!(store.commits().len(), 1, "the question and the opening are one commit");
    assert_eq!(reply.seq(), 2);
    let opened =
        r#"{"role":"assistant","content":"","id":"reply-0-to-m-7","status":"in_progress"}"#;
    assert_eq!(reply.message().as_json(), opened);
    for word in ["Life", "times ", "are \"…\"\n"] {
        reply.push(word).await.unwrap();
        let state = chat.get_state().await.unwrap();
        assert_eq!(state.messages[1].as_json(), opened);
        let snapshot = chat.snapshot().await.unwrap();
        assert_eq!(snapshot.open_replies().collect::<Vec<_>>(), [2]);
    }
    let stored = reply.finish().await.unwrap();
    assert_eq!(
        stored.message.as_json(),
        r#"{"role":"assistant","content":"Lifetimes are \"…\"\n","id":"reply-0-to-m-7"}"#
    );
    drop(reply);
    for chat in [&chat, &store.sessions().session(id("s"))] {
        let state = chat.get_state().await.unwrap();
        assert_eq!(state.messages, [question(), stored.message.clone()]);
        assert_eq!(chat.snapshot().await.unwrap().open_replies().count(), 0);
    }
    assert_eq!(stored_chunks(&store, 2).await, None);
    assert_eq!(store.commits().len(), 2);
}

#[tokio::test]
async fn a_chunk_is_durable_once_push_returns_and_makes_no_version() {
    let store = Puppet::new();
    let chat = chat(&store);
    let mut reply = open(&chat).await;
    let version = chat.snapshot().await.unwrap().version();
    store.hold_extensions();
    {
        let mut push = pin!(reply.push("a"));
        assert!(poll_immediate(&mut push).await.is_none());
        settle().await;
        assert!(poll_immediate(&mut push).await.is_none());
        assert_eq!(stored_chunks(&store, 2).await.unwrap(), Vec::<String>::new());
        // A commit does not wait for it.
        chat.add_message(Message::user("beside")).await.unwrap();
        store.release_extensions();
        push.await.unwrap();
    }
    assert_eq!(stored_chunks(&store, 2).await.unwrap(), ["\"a\""]);
    reply.push("b").await.unwrap();
    assert_ne!(chat.snapshot().await.unwrap().version(), version, "the message beside it");
    assert_eq!(store.commits().len(), 2);
    reply.finish().await.unwrap();
    assert_eq!(text(&chat, 2).await.unwrap(), "ab");
    assert_eq!(text(&chat, 3).await.unwrap(), "beside");
}

/// The items that are sent through a channel.
fn received(receiver: UnboundedReceiver<&str>) -> impl Stream<Item = &str> {
    stream::unfold(receiver, async |mut receiver| {
        receiver.recv().await.map(|item| (item, receiver))
    })
}

/// Clause C11.
#[tokio::test]
async fn a_stream_is_written_in_order_and_gathered_while_a_write_is_under_way() {
    let store = Puppet::new();
    let chat = chat(&store);
    let mut reply = open(&chat).await;
    reply.pump(stream::iter((0..1000).map(|n| format!("{n},")))).await.unwrap();
    let expected = (0..1000).map(|n| format!("{n},")).collect::<Vec<_>>().concat();
    assert!(store.extensions().len() <= 3, "{}", store.extensions().len());
    reply.pump(stream::iter(Vec::<String>::new())).await.unwrap();

    // While an extension is under way, it reads ahead.
    let before = store.extensions().len();
    store.hold_extensions();
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    {
        let mut pump = pin!(reply.pump(received(receiver)));
        for item in ["a", "b", "c", "d"] {
            sender.send(item).unwrap();
            assert!(poll_immediate(&mut pump).await.is_none());
            settle().await;
        }
        drop(sender);
        store.release_extensions();
        pump.await.unwrap();
    }
    let sent = store.extensions().split_off(before);
    assert_eq!(sent.iter().map(|sent| sent.chunks.len()).collect::<Vec<_>>(), [1, 3]);
    reply.finish().await.unwrap();
    assert_eq!(text(&chat, 2).await.unwrap(), format!("{expected}abcd"));
}

/// Clause C11.
#[tokio::test]
async fn a_stream_is_gathered_until_the_pause_is_over_or_enough_bytes_wait_or_it_ends() {
    let store = Puppet::new();
    let pauses = Arc::new(Mutex::new(Vec::new()));
    let begun = Arc::clone(&pauses);
    let sessions: ChatSessions = store
        .builder(ManualClock::at(1000))
        .gather(20, move || {
            let (over, pause) = tokio::sync::oneshot::channel::<()>();
            begun.lock().unwrap().push(over);
            async { drop(pause.await) }
        })
        .build();
    let chat = sessions.session(id("s"));
    let mut reply = open(&chat).await;
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    {
        let mut pump = pin!(reply.pump(received(receiver)));
        let mut step = async |items: &[&'static str]| {
            for item in items {
                sender.send(item).unwrap();
            }
            for _ in 0..3 {
                assert!(poll_immediate(&mut pump).await.is_none());
                settle().await;
            }
            store.extensions().iter().map(|sent| sent.chunks.len()).collect::<Vec<_>>()
        };
        let end_pause = || drop(pauses.lock().unwrap().pop().unwrap());
        assert_eq!(step(&["a"]).await, [1], "the first one at once");
        assert_eq!(step(&["b", "c"]).await, [1], "they wait for the pause");
        assert_eq!(step(&["d"]).await, [1]);
        end_pause();
        assert_eq!(step(&[]).await, [1, 3]);
        end_pause();
        assert_eq!(step(&[]).await, [1, 3], "nothing waits, so nothing is written");
        assert_eq!(step(&["e"]).await, [1, 3, 1], "the pause was over before");
        // Each has six bytes with its quotes.
        assert_eq!(step(&["ffff", "gggg", "hhhh"]).await, [1, 3, 1]);
        assert_eq!(step(&["iiii"]).await, [1, 3, 1, 4], "enough bytes wait");
        assert_eq!(step(&["j"]).await, [1, 3, 1, 4]);
        drop(sender);
        pump.await.unwrap();
    }
    assert_eq!(store.extensions().len(), 5, "the end of the stream does not wait");
    reply.finish().await.unwrap();
    assert_eq!(text(&chat, 2).await.unwrap(), "abcdeffffgggghhhhiiiij");
}

/// Clause C11.
#[tokio::test]
async fn a_stop_does_not_wait_for_the_pause_of_a_stream() {
    let store = Puppet::new();
    let sessions: ChatSessions =
        store.builder(ManualClock::at(1000)).gather(1 << 10, std::future::pending).build();
    let chat = sessions.session(id("s"));
    let mut reply = open(&chat).await;
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    let mut pump = pin!(reply.pump(received(receiver)));
    for word in ["shown", "never shown"] {
        sender.send(word).unwrap();
        for _ in 0..3 {
            assert!(poll_immediate(&mut pump).await.is_none());
            settle().await;
        }
    }
    chat.stop(2).await.unwrap();
    assert_eq!(how(&pump.await.unwrap_err()), ReplyEnd::Stopped);
    assert_eq!(text(&chat, 2).await.unwrap(), "shown");
}

#[tokio::test]
async fn a_chunk_that_is_none_is_refused_and_the_reply_goes_on() {
    let store = Puppet::new();
    let chat = chat(&store);
    let mut reply = open(&chat).await;
    let refused = reply.push(7).await.unwrap_err();
    assert!(matches!(refused, Error::Format { .. }), "{refused}");
    let words = stream::iter(vec![Ok("a"), Err("b"), Ok("c")]);
    let refused = reply.pump(words).await.unwrap_err();
    assert!(matches!(refused, Error::Format { .. }), "a result is no chunk: {refused}");
    reply.pump(stream::iter([serde("\"a\""), serde("1"), serde("\"b\"")])).await.unwrap_err();
    reply.push("z").await.unwrap();
    reply.finish().await.unwrap();
    assert_eq!(text(&chat, 2).await.unwrap(), "az", "the chunks before the refused one are kept");
}

fn serde(json: &str) -> Box<serde_json::value::RawValue> {
    serde_json::from_str(json).unwrap()
}

#[tokio::test]
async fn finishing_can_change_the_app_state_in_the_same_commit() {
    let store = Puppet::new();
    let chat = chat(&store);
    let mut reply = open(&chat).await;
    reply.push("Booked.").await.unwrap();
    let refused = reply.finish_with(|_| Err::<(), _>(Error::rejected("not yet"))).await;
    assert!(matches!(refused, Err(Error::Rejected(_))));
    assert_eq!(chat.snapshot().await.unwrap().open_replies().count(), 1);
    let (count, stored) = reply
        .finish_with(|draft| {
            assert_eq!(draft.tail().last().unwrap().1.text().as_deref(), Some("Booked."));
            draft.app_mut()?.set("booked", &true).map_err(Error::rejected)?;
            draft.add_message(Message::system("note"))?;
            Ok(draft.message_count())
        })
        .await
        .unwrap();
    assert_eq!((count, stored.seq), (Some(3), 2));
    assert_eq!(store.commits().len(), 2);
    let state = chat.get_state().await.unwrap();
    assert_eq!(state.app.get::<bool>("booked").unwrap(), Some(true));
    assert_eq!(texts(&state.messages), ["Explain lifetimes", "Booked.", "note"]);
}

#[tokio::test]
async fn a_message_can_be_opened_again() {
    let store = Puppet::new();
    let chat = chat(&store);
    let mut reply = open(&chat).await;
    reply.push("first").await.unwrap();
    let first = reply.finish().await.unwrap().message;
    let base = chat.snapshot().await.unwrap().base();
    let again = || chat.reply(|_| Ok(NewReply::reopening(2, first.clone())));
    let Opened::New(mut second) = again().await.unwrap() else { panic!("it is not open") };
    assert_eq!(second.seq(), 2);
    assert_ne!(chat.snapshot().await.unwrap().base(), base, "opening again moves the base");
    let Opened::Running(follow) = again().await.unwrap() else { panic!("it is open") };
    assert_eq!(follow.seq(), 2);
    second.push(", second").await.unwrap();
    second.finish().await.unwrap();
    assert_eq!(text(&chat, 2).await.unwrap(), "first, second");
    let gone = chat.reply(|_| Ok(NewReply::reopening(9, Message::assistant("")))).await;
    assert!(matches!(gone, Err(Error::NoSuchMessage { seq: 9, .. })), "{gone:?}");
}

type Removal = fn(&ChatSession) -> futures_util::future::BoxFuture<'_, ()>;

#[tokio::test]
async fn what_changes_an_open_message_is_refused_and_what_removes_it_ends_its_reply() {
    let store = Puppet::new();
    let chat = chat(&store);
    let reply = open(&chat).await;
    let opened = reply.message().clone();
    let open_at = |error: Error| matches!(error, Error::ReplyOpen { seq: 2, .. });
    assert!(open_at(chat.replace(2, Message::assistant("x")).await.unwrap_err()));
    chat.replace(2, opened.clone()).await.unwrap();
    let set = async |list: &[Message]| chat.turn(|draft| draft.set_messages(list)).await;
    for list in [
        vec![question()],
        vec![question(), Message::assistant("x")],
        vec![],
        vec![Message::user("inserted"), question(), opened.clone()],
    ] {
        assert!(open_at(set(&list).await.unwrap_err()), "{list:?}");
    }
    let more = [question(), opened.clone(), Message::user("more")];
    set(&more).await.unwrap();
    set(&[Message::user("edited").with_id("m-7"), opened, Message::user("more")]).await.unwrap();
    assert_eq!(chat.snapshot().await.unwrap().open_replies().collect::<Vec<_>>(), [2]);
    drop(reply);

    let removals: [(&str, Removal); 5] = [
        ("remove", |chat| Box::pin(async { chat.remove(2).await.unwrap() })),
        ("rewind", |chat| Box::pin(async { chat.rewind_to(1).await.unwrap() })),
        ("pop", |chat| Box::pin(async { drop(chat.pop().await.unwrap()) })),
        ("reset", |chat| Box::pin(async { chat.reset().await.unwrap() })),
        ("delete", |chat| Box::pin(async { assert!(chat.delete().await.unwrap()) })),
    ];
    for (name, remove) in removals {
        let store = Puppet::new();
        let chat = crate::chat(&store);
        let mut reply = open(&chat).await;
        reply.push("shown").await.unwrap();
        let mut follow = chat.follow(2, 0).await.unwrap();
        remove(&chat).await;
        assert_eq!(reply.ended().await.unwrap().how, ReplyEnd::Removed, "{name}");
        assert_eq!(how(&reply.push("more").await.unwrap_err()), ReplyEnd::Removed, "{name}");
        assert_eq!(how(&reply.finish().await.unwrap_err()), ReplyEnd::Removed, "{name}");
        let (chunks, ended) = crate::all(&mut follow).await;
        assert_eq!((chunks.len(), ended), (1, ReplyEnd::Removed), "{name}");
        assert_eq!(text(&chat, 2).await, None, "{name}");
    }
}

#[tokio::test]
async fn a_chunk_beyond_a_limit_is_refused_before_it_is_shown_and_the_close_fits() {
    let store = Puppet::new();
    let sessions = store
        .builder(crate::ManualClock::at(1))
        .limits(Limits { message_bytes: 2_000, ..Limits::default() });
    let chat: ChatSession = sessions.build().session(id("s"));
    let mut reply = open(&chat).await;
    let fits = "x".repeat(800);
    reply.push(&fits).await.unwrap();
    let refused = reply.push(&fits).await.unwrap_err();
    let Error::TooLarge { limit: LimitKind::MessageBytes, max, .. } = refused else {
        panic!("{refused}")
    };
    assert_eq!(max, 2_000 - StoreLimits::REPLY_RESERVE);
    reply.push("y").await.unwrap();
    let failed = reply.fail("z".repeat(10_000)).await.unwrap();
    assert!(failed.message.bytes() <= 2_000, "{}", failed.message.bytes());
    assert_eq!(text(&chat, 2).await.unwrap(), format!("{fits}y"));

    let large = chat.reply(|_| Ok(Message::assistant("x".repeat(1_000)))).await;
    assert!(matches!(large, Err(Error::TooLarge { .. })), "no room for its end: {large:?}");
}

/// Clause C11.
#[tokio::test]
async fn a_lost_answer_of_an_extension_neither_loses_nor_doubles_a_chunk() {
    for fault in [Fault::Before, Fault::After] {
        for then in ["push", "finish", "stop", "drop"] {
            let store = Puppet::new();
            let chat = chat(&store);
            let mut reply = open(&chat).await;
            let mut follow = chat.follow(2, 0).await.unwrap();
            reply.push("a").await.unwrap();
            store.fail_extensions(&[fault]);
            let error = reply.push("b").await.unwrap_err();
            let known = fault == Fault::Before;
            assert_eq!(error.outcome_unknown(), !known);
            match then {
                "push" => {
                    if known {
                        reply.push("b").await.unwrap();
                    }
                    reply.push("c").await.unwrap();
                    assert_eq!(stored_chunks(&store, 2).await.unwrap().concat(), "\"a\"\"b\"\"c\"");
                    reply.finish().await.unwrap();
                }
                "finish" => drop(reply.finish().await.unwrap()),
                "stop" => drop(chat.stop(2).await.unwrap()),
                _ => {}
            }
            drop(reply);
            let (chunks, _) = crate::all(&mut follow).await;
            let shown: String = chunks.iter().map(|(_, json)| json.trim_matches('"')).collect();
            let expected = match (then, known) {
                ("push", _) => "abc",
                (_, true) => "a",
                (_, false) => "ab",
            };
            assert_eq!(text(&chat, 2).await.unwrap(), expected, "{then} {fault:?}");
            assert!(expected.starts_with(&shown), "{then}: {shown} was shown");
        }
    }
}

#[tokio::test]
async fn finish_after_an_unknown_outcome_succeeds_if_its_message_is_stored() {
    for fault in [Fault::Before, Fault::After] {
        let store = Puppet::new();
        let chat = chat(&store);
        let mut reply = open(&chat).await;
        reply.push("done").await.unwrap();
        store.fail_commits(&[fault]);
        reply.finish().await.unwrap_err();
        let stored = reply.finish().await.unwrap();
        assert_eq!(stored.message.text().as_deref(), Some("done"));
        drop(reply);
        assert_eq!(text(&chat, 2).await.unwrap(), "done");
    }
    // It was somebody else.
    let store = Puppet::new();
    let chat = chat(&store);
    let mut reply = open(&chat).await;
    store.fail_commits(&[Fault::Before]);
    reply.finish().await.unwrap_err();
    chat.stop(2).await.unwrap();
    assert_eq!(how(&reply.finish().await.unwrap_err()), ReplyEnd::Stopped);
}

#[tokio::test]
async fn watchers_are_told_of_openings_and_ends() {
    let store = Puppet::new();
    let chat = chat(&store);
    let mut watcher = chat.watch();
    let mut change = async || match watcher.next().await {
        Watched::Changed(change) => change,
        other => panic!("{other:?}"),
    };
    let mut reply = open(&chat).await;
    let opened = change().await;
    assert_eq!((opened.appended, opened.opened, opened.closed), (1..3, vec![2], vec![]));
    reply.push("a").await.unwrap();
    reply.finish().await.unwrap();
    let closed = change().await;
    assert_eq!((closed.appended, closed.opened, closed.closed), (3..3, vec![], vec![2]));
    assert!(!closed.rewritten && closed.replaced.is_empty());
}

#[tokio::test]
async fn a_closed_registry_takes_no_chunk_and_writes_nothing_more() {
    let store = Puppet::new();
    let sessions = store.sessions();
    let chat = sessions.session(id("s"));
    let mut reply = open(&chat).await;
    reply.push("a").await.unwrap();
    sessions.close().await.unwrap();
    assert!(matches!(reply.push("b").await, Err(Error::Closed { .. })));
    assert!(matches!(reply.finish().await, Err(Error::Closed { .. })));
    assert!(matches!(ask(&chat).await, Err(Error::Closed { .. })));
    let commits = store.commits().len();
    drop(reply);
    settle().await;
    assert_eq!(store.commits().len(), commits);
    // The next registry ends it.
    let next = store.sessions().session(id("s"));
    next.snapshot().await.unwrap();
    settle().await;
    assert_eq!(text(&next, 2).await.unwrap(), "a");
}
