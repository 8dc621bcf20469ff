//! Producers, followers and those who end replies, in every order (clauses C11 and C12).

use crate::explore::{compared, explore, id};
use crate::store::{Slow, Trace};
use durable_session::{
    ChatSession, EndedReply, Error, Followed, Memory, Message, MessageQuery, Opened, Reply,
    ReplyEnd,
};
use futures_util::future::poll_immediate;
use shuttle::future::block_on;
use shuttle::thread;

fn open(chat: &ChatSession) -> Reply {
    let opened = block_on(chat.reply(|draft| {
        draft.add_message(Message::user("question").with_id("m-7"))?;
        Ok(Message::assistant(""))
    }));
    match opened.unwrap() {
        Opened::New(reply) => reply,
        other => panic!("{other:?}"),
    }
}

/// Follows the reply to its end: the chunks that were shown, and how it ended.
fn follow(chat: &ChatSession, trace: &Trace) -> (String, EndedReply) {
    let mut follow = block_on(chat.follow(2, 0)).unwrap();
    let (mut shown, mut number) = (String::new(), 0);
    loop {
        match block_on(follow.next()).unwrap() {
            Followed::Chunk { at, json } => {
                assert_eq!(at, number, "each chunk once and in order");
                number += 1;
                trace.note("shown", at);
                shown.push_str(json.trim_matches('"'));
            }
            Followed::Ended(ended) => return (shown, ended),
            other => panic!("{other:?}"),
        }
    }
}

fn written(chat: &ChatSession) -> String {
    let page = block_on(chat.messages(MessageQuery::at(2))).unwrap();
    page.messages[0].message.text().unwrap().into_owned()
}

/// How the reply had ended, of a call that came too late.
fn late<T>(result: Result<T, Error>) -> Option<ReplyEnd> {
    match result {
        Ok(_) => None,
        Err(Error::ReplyEnded { how, .. }) => Some(how),
        Err(e) => panic!("{e}"),
    }
}

/// Pushes until the reply ends. Returns the acknowledged chunks.
fn produce(reply: &mut Reply, chunks: usize) -> (String, Option<ReplyEnd>) {
    let mut acknowledged = String::new();
    for n in 0..chunks {
        let text = n.to_string();
        match late(block_on(reply.push(&text))) {
            None => acknowledged.push_str(&text),
            Some(how) => return (acknowledged, Some(how)),
        }
    }
    (acknowledged, None)
}

/// Clause C11.
#[test]
fn a_finish_and_a_stop_at_once_have_one_outcome_and_lose_no_chunk() {
    explore("finish and stop", |trace| {
        let store = Slow::new(trace);
        let sessions = store.sessions_in(Memory::default());
        let chat = sessions.session(id());
        let mut reply = open(&chat);
        let stopper = {
            let chat = chat.clone();
            thread::spawn(move || block_on(chat.stop(2)).unwrap())
        };
        let followers: Vec<_> = (0..2)
            .map(|_| {
                let (chat, trace) = (chat.clone(), trace.clone());
                thread::spawn(move || follow(&chat, &trace))
            })
            .collect();
        let (acknowledged, mut how) = produce(&mut reply, 3);
        if how.is_none() {
            how = late(block_on(reply.finish()));
        }
        let how = how.unwrap_or(ReplyEnd::Finished);
        drop(reply);
        let stopped = stopper.join().unwrap();
        assert_eq!(stopped.how, how, "both are told the same");
        let text = written(&chat);
        assert!(text.starts_with(&acknowledged), "{text} lacks {acknowledged}");
        for follower in followers {
            let (shown, ended) = follower.join().unwrap();
            assert_eq!(ended.how, how);
            assert!(text.starts_with(&shown), "{shown} was shown of {text}");
        }
        trace.note(how.as_str(), text.len() as u64);
        assert_eq!(block_on(chat.snapshot()).unwrap().open_replies().count(), 0);
        compared(1);
    });
}

/// Clause C12.
#[test]
fn a_reply_dropped_at_any_point_is_interrupted_with_what_was_shown() {
    explore("a dropped reply", |trace| {
        let store = Slow::new(trace);
        let sessions = store.sessions_in(Memory::default());
        let chat = sessions.session(id());
        let reply = open(&chat);
        let producer = thread::spawn(move || {
            let mut reply = reply;
            let (acknowledged, _) = produce(&mut reply, 2);
            // A chunk that nobody waits for.
            let _ = block_on(poll_immediate(Box::pin(reply.push("x"))));
            thread::yield_now();
            acknowledged
        });
        let follower = {
            let (chat, trace) = (chat.clone(), trace.clone());
            thread::spawn(move || follow(&chat, &trace))
        };
        let acknowledged = producer.join().unwrap();
        let (shown, ended) = follower.join().unwrap();
        assert_eq!(ended.how, ReplyEnd::Interrupted);
        let text = written(&chat);
        assert!(text.starts_with(&acknowledged), "{text} lacks {acknowledged}");
        // One that comes after the end gets the message alone.
        assert!(shown.is_empty() || shown == text, "{shown} was shown of {text}");
        trace.note("text", text.len() as u64);
        compared(1);
    });
}

/// Clause C11.
#[test]
fn retries_at_once_produce_once() {
    explore("retries", |trace| {
        let store = Slow::new(trace);
        let sessions = store.sessions_in(Memory::default());
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let (chat, trace) = (sessions.session(id()), trace.clone());
                thread::spawn(move || {
                    let opened = block_on(chat.reply(|draft| {
                        draft.add_message(Message::user("question").with_id("m-7"))?;
                        Ok(Message::assistant(""))
                    }));
                    match opened.unwrap() {
                        Opened::New(mut reply) => {
                            trace.note("new", 0);
                            block_on(reply.push("a")).unwrap();
                            block_on(reply.finish()).unwrap();
                            1
                        }
                        Opened::Running(mut running) => {
                            trace.note("running", 0);
                            while let Followed::Chunk { .. } = block_on(running.next()).unwrap() {}
                            0
                        }
                        _ => 0,
                    }
                })
            })
            .collect();
        let produced: u32 = callers.into_iter().map(|caller| caller.join().unwrap()).sum();
        assert_eq!(produced, 1);
        let chat = sessions.session(id());
        assert_eq!(written(&chat), "a");
        assert_eq!(block_on(chat.snapshot()).unwrap().message_count(), 2);
        compared(2);
    });
}

/// Clause C11.
#[test]
fn two_registries_end_a_reply_once_while_sessions_leave_memory() {
    explore("ends in two registries", |trace| {
        let store = Slow::new(trace);
        // Every occasion evicts.
        let (here, there) = (store.sessions(), store.sessions());
        let chat = here.session(id());
        let mut reply = open(&chat);
        let stopper = thread::spawn(move || block_on(there.session(id()).stop(2)).unwrap().how);
        let writer = {
            let chat = chat.clone();
            thread::spawn(move || block_on(chat.add_message(Message::user("beside"))).unwrap())
        };
        let (acknowledged, mut how) = produce(&mut reply, 2);
        if how.is_none() {
            how = late(block_on(reply.finish()));
        }
        let how = how.unwrap_or(ReplyEnd::Finished);
        assert_eq!(stopper.join().unwrap(), how);
        writer.join().unwrap();
        let fresh = store.sessions().session(id());
        let text = written(&fresh);
        assert!(text.starts_with(&acknowledged), "{text} lacks {acknowledged}");
        assert_eq!(block_on(fresh.snapshot()).unwrap().message_count(), 3);
        trace.note(how.as_str(), text.len() as u64);
        compared(3);
    });
}

/// Clause C11.
#[test]
fn a_stop_dropped_at_any_point_leaves_the_reply_whole() {
    explore("a dropped stop", |trace| {
        let store = Slow::new(trace);
        let sessions = store.sessions_in(Memory::default());
        let chat = sessions.session(id());
        let mut reply = open(&chat);
        let dropper = {
            let chat = chat.clone();
            thread::spawn(move || {
                for polls in 1..4 {
                    let mut stop = Box::pin(chat.stop(2));
                    for _ in 0..polls {
                        if block_on(poll_immediate(&mut stop)).is_some() {
                            return;
                        }
                        thread::yield_now();
                    }
                }
            })
        };
        let (acknowledged, mut how) = produce(&mut reply, 2);
        if how.is_none() {
            how = late(block_on(reply.finish()));
        }
        dropper.join().unwrap();
        let ended = block_on(chat.stop(2)).unwrap();
        assert_eq!(ended.how, how.unwrap_or(ReplyEnd::Finished));
        let text = written(&chat);
        assert_eq!(text, acknowledged);
        trace.note(ended.how.as_str(), text.len() as u64);
        compared(1);
    });
}
