//! Replies that the app's handler writes: one for each message, however often it is posted.

#![allow(clippy::unwrap_used, clippy::panic)]

use bytes::Bytes;
use durable_session::{
    Added, ChatSession, ChatSessions, Error, JsonObject, Message, NewReply, Replies, Reply,
    SessionId,
};
use durable_session_http::{Api, ApiBuilder, Body};
use durable_session_memory::MemoryStore;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use testkit::Puppet;
use tokio::sync::Semaphore;

const BASE: &str = "/api/chat/session/s";

/// Writes of a handler happen when the test lets them.
#[derive(Clone)]
struct Gate(Arc<Semaphore>);

impl Gate {
    fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    fn open(&self) {
        self.0.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    async fn pass(&self) {
        self.0.acquire().await.unwrap().forget();
    }
}

fn builder() -> (ApiBuilder, ChatSession) {
    let sessions: ChatSessions = ChatSessions::builder(MemoryStore::new()).build();
    let chat = sessions.session(SessionId::new("s").unwrap());
    (Api::builder(sessions), chat)
}

/// Says the posted text again, word by word.
async fn echo(posted: Added, mut reply: Reply, gate: Gate) -> Result<(), Error> {
    for word in posted.message.text().unwrap().split_inclusive(' ') {
        gate.pass().await;
        reply.push(word).await?;
    }
    gate.pass().await;
    reply.finish().await.map(drop)
}

/// An echo, and how often its handler ran.
fn echoing() -> (Api, ChatSession, Gate, Arc<AtomicUsize>) {
    let (builder, chat) = builder();
    let (gate, runs) = (Gate::closed(), Arc::new(AtomicUsize::new(0)));
    let (its, count) = (gate.clone(), Arc::clone(&runs));
    let builder = builder.reply_with(move |_, posted, reply| {
        count.fetch_add(1, Ordering::SeqCst);
        echo(posted, reply, its.clone())
    });
    (builder.build().unwrap(), chat, gate, runs)
}

async fn send(api: &Api, method: &str, rest: &str, body: Value) -> (u16, Value) {
    send_if(api, method, rest, body, None).await
}

async fn send_if(
    api: &Api,
    method: &str,
    rest: &str,
    body: Value,
    version: Option<&str>,
) -> (u16, Value) {
    let mut request = Request::builder().method(method).uri(format!("{BASE}{rest}"));
    if let Some(version) = version {
        request = request.header("if-match", version);
    }
    let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
    let response: http::Response<Body> = api.handle(request.body(body).unwrap()).await;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

async fn post(api: &Api, message: Value) -> (u16, Value) {
    send(api, "POST", "/messages", message).await
}

/// Waits until no reply is open.
async fn rest(chat: &ChatSession) -> Vec<Value> {
    let ended = async {
        while chat.snapshot().await.unwrap().open_replies().count() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap();
    let messages = chat.get_state().await.unwrap().messages;
    messages.iter().map(|message| serde_json::from_str(message.as_json()).unwrap()).collect()
}

#[tokio::test]
async fn a_message_and_the_opening_of_its_reply_are_one_change_and_a_retry_never_produces_twice() {
    let (api, chat, gate, runs) = echoing();
    let message = json!({"role": "user", "content": "one two", "id": "m-1"});
    let expected = json!({"success": true, "message": message, "seq": 1, "reply": 2});
    assert_eq!(post(&api, message.clone()).await, (200, expected.clone()));
    assert_eq!(api.sessions().stats().commits, 1);
    // While it is open, and after it ended.
    assert_eq!(post(&api, message.clone()).await, (200, expected.clone()));
    gate.open();
    let answer = json!({"role": "assistant", "content": "one two", "id": "reply-0-to-m-1"});
    assert_eq!(rest(&chat).await, [message.clone(), answer.clone()]);
    assert_eq!(post(&api, message.clone()).await, (200, expected));
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    // Even if the reply was removed.
    assert_eq!(send(&api, "DELETE", "/messages/2", Value::Null).await.0, 200);
    let alone = json!({"success": true, "message": message, "seq": 1});
    assert_eq!(post(&api, message.clone()).await, (200, alone));
    assert_eq!(rest(&chat).await, [message]);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn posts_at_the_same_time_produce_one_reply() {
    let (api, chat, gate, runs) = echoing();
    let message = json!({"role": "user", "content": "one two", "id": "m-1"});
    let posts = (0..20).map(|_| post(&api, message.clone()));
    let answers = futures_util::future::join_all(posts).await;
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    gate.open();
    assert_eq!(rest(&chat).await.len(), 2);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_open_message_is_not_overwritten_and_a_stop_ends_the_handler() {
    let (api, chat, gate, _) = echoing();
    post(&api, json!({"role": "user", "content": "one two"})).await;
    let refused = send(&api, "PUT", "/messages/2", json!({"role": "assistant"})).await;
    assert_eq!(refused.0, 409, "{refused:?}");
    let refused = send(&api, "PUT", "", json!({"messages": []})).await;
    assert_eq!(refused.0, 409, "{refused:?}");
    assert_eq!(send(&api, "POST", "/replies/2/stop", Value::Null).await.0, 200);
    gate.open();
    let stopped = rest(&chat).await;
    assert_eq!(stopped[1]["incomplete_details"]["reason"], "stopped");
    // The next message works.
    post(&api, json!({"role": "user", "content": "three"})).await;
    assert_eq!(rest(&chat).await[3]["content"], "three");
}

#[tokio::test]
async fn only_messages_of_users_are_answered_unless_the_app_decides_otherwise() {
    let (api, _, gate, runs) = echoing();
    gate.open();
    let note = json!({"role": "assistant", "content": "note"});
    assert_eq!(
        post(&api, note.clone()).await.1,
        json!({"success": true, "message": note, "seq": 1})
    );
    assert_eq!(runs.load(Ordering::SeqCst), 0);

    let (builder, chat) = builder();
    let ungated = |_, posted, reply| async move {
        let gate = Gate::closed();
        gate.open();
        echo(posted, reply, gate).await
    };
    let api = builder
        .on_message(|draft, _| {
            draft.app_mut()?.set("posts", &1).map_err(Error::rejected)?;
            draft.add_message(Message::system("noted")).map(drop)
        })
        .open_replies(|_, posted| {
            let begin = Message::assistant("> ").with("x", &1).map_err(Error::rejected)?;
            Ok((posted.message.role() == "tool").then(|| NewReply::new(begin)))
        })
        .reply_with(ungated)
        .build()
        .unwrap();
    post(&api, json!({"role": "user", "content": "hello", "id": "m-1"})).await;
    post(&api, json!({"role": "tool", "content": "42", "id": "m-2"})).await;
    let messages = rest(&chat).await;
    let texts: Vec<_> =
        messages.iter().map(|message| message["content"].as_str().unwrap()).collect();
    assert_eq!(texts, ["hello", "noted", "42", "noted", "> 42"]);
    assert_eq!((&messages[4]["id"], &messages[4]["x"]), (&json!("reply-0-to-m-2"), &json!(1)));
    assert_eq!(chat.snapshot().await.unwrap().app().unwrap().get::<u64>("posts").unwrap(), Some(1));
}

#[tokio::test]
async fn if_match_holds_for_a_message_with_a_reply() {
    let (api, chat, gate, _) = echoing();
    gate.open();
    let message = json!({"role": "user", "content": "one", "id": "m-1"});
    let new = Some("\"new\"");
    assert_eq!(send_if(&api, "POST", "/messages", message, new).await.0, 200);
    rest(&chat).await;
    let message = json!({"role": "user", "content": "two", "id": "m-2"});
    assert_eq!(send_if(&api, "POST", "/messages", message, new).await.0, 412);
    assert_eq!(rest(&chat).await.len(), 2);
}

#[tokio::test]
async fn a_handler_that_leaves_fails_or_panics_leaves_its_reply_interrupted() {
    let (builder, chat) = builder();
    let api = builder
        .reply_with(|_, posted: Added, mut reply: Reply| async move {
            reply.push("begun").await?;
            match posted.message.text().as_deref() {
                Some("error") => Err(Error::rejected("the model is gone")),
                Some("panic") => panic!("as the test wants"),
                Some("fail") => reply.fail("the model is gone").await.map(drop),
                _ => Ok(()),
            }
        })
        .build()
        .unwrap();
    for (text, reason) in [
        ("leave", "interrupted"),
        ("error", "interrupted"),
        ("panic", "interrupted"),
        ("fail", "failed"),
    ] {
        post(&api, json!({"role": "user", "content": text})).await;
        let last = rest(&chat).await.pop().unwrap();
        assert_eq!(last["content"], "begun", "{text}");
        assert_eq!(last["incomplete_details"]["reason"], reason, "{text}");
    }
}

#[tokio::test]
async fn a_session_has_a_bound_of_open_replies() {
    let (builder, chat) = builder();
    let waits = |_: ChatSession, _: Added, reply: Reply| async move {
        reply.ended().await?;
        Ok(())
    };
    let api = builder.max_open_replies(2).reply_with(waits).build().unwrap();
    let message = |n: u64| json!({"role": "user", "content": "x", "id": n.to_string()});
    assert_eq!(post(&api, message(1)).await.0, 200);
    assert_eq!(post(&api, message(2)).await.0, 200);
    let (status, refused) = post(&api, message(3)).await;
    assert_eq!(status, 429, "{refused}");
    assert_eq!(post(&api, message(2)).await.1["reply"], 4, "a retry is no further reply");
    assert_eq!(chat.snapshot().await.unwrap().message_count(), 4);
    assert_eq!(send(&api, "POST", "/replies/2/stop", Value::Null).await.0, 200);
    assert_eq!(post(&api, message(3)).await.0, 200);
}

#[tokio::test]
async fn a_spawner_runs_the_handler_on_any_host() {
    let (builder, chat) = builder();
    let api = builder
        .spawner(|task| {
            std::thread::spawn(|| futures_executor::block_on(task));
        })
        .reply_with(|_, _, mut reply: Reply| async move {
            reply.push("from a thread").await?;
            reply.finish().await.map(drop)
        })
        .build()
        .unwrap();
    post(&api, json!({"role": "user", "content": "x"})).await;
    assert_eq!(rest(&chat).await[1]["content"], "from a thread");
}

/// Clause C12: on a shared store a handler that thinks for long does not count as gone.
#[tokio::test]
async fn the_adapter_shows_that_a_handler_is_alive() {
    let puppet = Puppet::new();
    puppet.share();
    let replies = Replies::default().abandoned_after(Duration::from_millis(40));
    let sessions = ChatSessions::<JsonObject>::builder(puppet.clone()).replies(replies).build();
    let api = Api::builder(sessions.clone())
        .reply_with(|_, _, reply: Reply| async move {
            reply.ended().await?;
            Ok(())
        })
        .build()
        .unwrap();
    post(&api, json!({"role": "user", "content": "x"})).await;
    let beats = async {
        while puppet.extensions().len() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), beats).await.unwrap();
    assert!(puppet.extensions().iter().all(|beat| beat.chunks.is_empty()));
    assert_eq!(send(&api, "POST", "/replies/2/stop", Value::Null).await.0, 200);
}
