//! The events of a stream; a gap is always a `resync`.

#![allow(clippy::unwrap_used, clippy::panic)]

use bytes::Bytes;
use durable_session::{ChatSession, ChatSessions, JsonObject, Message, SessionId};
use durable_session_http::{Api, Body, EventStream, PING};
use durable_session_memory::MemoryStore;
use futures_util::StreamExt;
use http::{Request, StatusCode};
use serde_json::Value;
use std::time::Duration;

fn api() -> (Api, ChatSession) {
    let sessions: ChatSessions = ChatSessions::builder(MemoryStore::new()).build();
    let chat = sessions.session(SessionId::new("s").unwrap());
    (Api::builder(sessions).max_streams(2).build().unwrap(), chat)
}

async fn open(api: &Api, from: Option<&str>) -> Result<EventStream, StatusCode> {
    open_at(api, "/api/chat/session/s/events", from).await
}

/// A stream that asks for `edited` events.
async fn open_edited(api: &Api, from: Option<&str>) -> EventStream {
    open_at(api, "/api/chat/session/s/events?edited=true", from).await.unwrap()
}

async fn open_at(api: &Api, path: &str, from: Option<&str>) -> Result<EventStream, StatusCode> {
    let mut request = Request::get(path);
    if let Some(from) = from {
        request = request.header("last-event-id", from);
    }
    let response = api.handle(request.body(Bytes::new()).unwrap()).await;
    let status = response.status();
    match response.into_body() {
        Body::Events(events) => Ok(events),
        Body::Full(_) | Body::Parts(_) => Err(status),
    }
}

/// The next event that is not a ping: its name, its cursor and its data.
async fn next(events: &mut EventStream) -> (String, String, Value) {
    loop {
        let bytes = tokio::time::timeout(Duration::from_secs(20), events.next()).await;
        let bytes = bytes.unwrap_or_else(|_| panic!("nothing more is sent")).unwrap();
        let text = std::str::from_utf8(&bytes).unwrap();
        let field = |name: &str| {
            let values: Vec<_> = text.lines().filter_map(|line| line.strip_prefix(name)).collect();
            (!values.is_empty()).then(|| values.join("\n"))
        };
        if let Some(data) = field("data: ") {
            let data = serde_json::from_str(&data).unwrap();
            let name = field("event: ").unwrap();
            if name != "ping" {
                return (name, field("id: ").unwrap(), data);
            }
        }
    }
}

/// Adds messages and sets the app state in one commit.
async fn turn(chat: &ChatSession, messages: &[&str], step: u64) {
    chat.turn(|draft| {
        for text in messages {
            draft.add_message(Message::user(text))?;
        }
        draft.app_mut()?.set("step", &step).unwrap();
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_stream_begins_with_its_cursor_and_a_ping_or_with_a_resync() {
    let (api, chat) = api();
    chat.add_message(Message::user("before")).await.unwrap();
    let first = open(&api, None).await.unwrap().next().await.unwrap();
    let first = std::str::from_utf8(&first).unwrap();
    let cursor = first.strip_prefix(": following\nid: ").unwrap();
    let cursor =
        cursor.strip_suffix(&format!("\n\n: every open reply is named\n\n{PING}")).unwrap();
    let resumed = open(&api, Some(cursor)).await.unwrap().next().await.unwrap();
    assert_eq!(resumed, first.as_bytes());
    chat.replace(1, Message::user("edited")).await.unwrap();
    let late = open(&api, Some(cursor)).await.unwrap().next().await.unwrap();
    assert!(late.starts_with(b"event: resync\n"), "{late:?}");
}

#[tokio::test]
async fn a_turn_sends_its_messages_then_the_state_and_resuming_between_is_a_resync() {
    let (api, chat) = api();
    chat.add_message(Message::user("before")).await.unwrap();
    let mut events = open(&api, None).await.unwrap();
    turn(&chat, &["question", "answer"], 1).await;
    let (name, first, data) = next(&mut events).await;
    assert_eq!((&*name, &data["message"]["content"]), ("message", &Value::from("question")));
    let (name, second, _) = next(&mut events).await;
    assert_eq!(name, "message");
    let (name, last, data) = next(&mut events).await;
    assert_eq!((&*name, data.to_string()), ("state", r#"{"state":{"step":1}}"#.to_owned()));
    drop(events);

    chat.add_message(Message::user("later")).await.unwrap();
    for between in [&first, &second] {
        let mut resumed = open(&api, Some(between)).await.unwrap();
        assert_eq!(next(&mut resumed).await.0, "resync");
    }
    let mut resumed = open(&api, Some(&last)).await.unwrap();
    let (name, _, data) = next(&mut resumed).await;
    assert_eq!((&*name, &data["message"]["content"]), ("message", &Value::from("later")));
}

#[tokio::test]
async fn the_turn_that_creates_a_session_can_be_resumed_only_after_its_last_event() {
    let (api, chat) = api();
    let mut events = open(&api, None).await.unwrap();
    turn(&chat, &["first"], 1).await;
    let (name, message, _) = next(&mut events).await;
    assert_eq!(name, "message");
    let (name, state, _) = next(&mut events).await;
    assert_eq!(name, "state");
    drop(events);
    assert_eq!(next(&mut open(&api, Some(&message)).await.unwrap()).await.0, "resync");
    chat.add_message(Message::user("second")).await.unwrap();
    assert_eq!(next(&mut open(&api, Some(&state)).await.unwrap()).await.0, "message");
}

#[tokio::test]
async fn a_client_that_is_too_slow_gets_a_resync() {
    let (api, chat) = api();
    let mut events = open(&api, None).await.unwrap();
    for n in 0..200 {
        chat.update(|app: &mut JsonObject| app.set("n", &n).unwrap()).await.unwrap();
    }
    assert_eq!(next(&mut events).await.0, "resync");
    // Changes that the reload brings are not sent again.
    chat.add_message(Message::user("after")).await.unwrap();
    let (name, _, data) = next(&mut events).await;
    assert_eq!((&*name, &data["message"]["content"]), ("message", &Value::from("after")));
}

#[tokio::test]
async fn a_client_that_resumes_gets_every_missed_message() {
    let (api, chat) = api();
    chat.add_message(Message::user("0")).await.unwrap();
    let mut events = open(&api, None).await.unwrap();
    chat.add_message(Message::user("1")).await.unwrap();
    let (_, cursor, _) = next(&mut events).await;
    drop(events);
    for n in 2..300 {
        chat.add_message(Message::user(n.to_string())).await.unwrap();
    }
    let mut events = open(&api, Some(&cursor)).await.unwrap();
    for n in 2..300 {
        let (name, _, data) = next(&mut events).await;
        assert_eq!((&*name, &data["message"]["content"]), ("message", &Value::from(n.to_string())));
        assert_eq!(data["seq"], n + 1);
    }
}

#[tokio::test]
async fn a_replaced_or_removed_message_is_a_resync() {
    let (api, chat) = api();
    chat.add_messages(vec![Message::user("1"), Message::user("2"), Message::user("3")])
        .await
        .unwrap();
    let mut events = open(&api, None).await.unwrap();
    chat.replace(2, Message::user("two")).await.unwrap();
    assert_eq!(next(&mut events).await.0, "resync");
    chat.pop().await.unwrap();
    assert_eq!(next(&mut events).await.0, "resync");
    chat.delete().await.unwrap();
    assert_eq!(next(&mut events).await.0, "resync");
    chat.add_message(Message::user("anew")).await.unwrap();
    let (name, _, data) = next(&mut events).await;
    assert_eq!((&*name, &data["message"]["content"]), ("message", &Value::from("anew")));
}

#[tokio::test]
async fn open_streams_are_limited_and_a_closed_stream_frees_its_place() {
    let (api, _) = api();
    let one = open(&api, None).await.unwrap();
    let _two = open(&api, None).await.unwrap();
    assert_eq!(open(&api, None).await.unwrap_err(), StatusCode::SERVICE_UNAVAILABLE);
    drop(one);
    assert!(open(&api, None).await.is_ok());
    for bad in ["x", "0-0-0"] {
        assert_eq!(open(&api, Some(bad)).await.unwrap_err(), StatusCode::BAD_REQUEST, "{bad}");
    }
}

#[tokio::test]
async fn edits_come_first_and_a_client_can_resume_after_the_last_event_of_a_commit() {
    let (api, chat) = api();
    chat.add_messages(vec![Message::user("old"); 100]).await.unwrap();
    let mut events = open_edited(&api, None).await;
    let mut plain = open(&api, None).await.unwrap();
    chat.turn(|draft| {
        draft.replace(90, &Message::user("ninety"))?;
        draft.replace(2, &Message::user("two"))?;
        draft.add_message(Message::user("new"))?;
        draft.app_mut()?.set("step", &1).unwrap();
        Ok(())
    })
    .await
    .unwrap();
    let mut told = Vec::new();
    for _ in 0..4 {
        let (name, cursor, data) = next(&mut events).await;
        let content = data["message"]["content"].as_str().unwrap_or_default().to_owned();
        told.push((name, data["seq"].as_u64(), content, cursor));
    }
    let short: Vec<_> =
        told.iter().map(|(name, seq, content, _)| (&**name, *seq, &**content)).collect();
    assert_eq!(
        short,
        [
            ("edited", Some(2), "two"),
            ("edited", Some(90), "ninety"),
            ("message", Some(101), "new"),
            ("state", None, "")
        ]
    );
    assert_eq!(next(&mut plain).await.0, "resync");
    drop((events, plain));
    // A break before the state event misses a change of the app state; one after it misses nothing.
    for (name, _, _, cursor) in &told {
        let mut resumed = open_edited(&api, Some(cursor)).await;
        chat.add_message(Message::user("later")).await.unwrap();
        let expected = if name == "state" { "message" } else { "resync" };
        assert_eq!(next(&mut resumed).await.0, expected, "after {name}");
    }
}

#[tokio::test]
async fn a_client_that_asks_for_edits_gets_a_resync_only_for_removals() {
    let (api, chat) = api();
    chat.add_messages(vec![Message::user("old"); 3]).await.unwrap();
    let mut events = open_edited(&api, None).await;
    for n in 0..3 {
        chat.replace(2, Message::user(format!("{n}"))).await.unwrap();
        let (name, cursor, data) = next(&mut events).await;
        assert_eq!((&*name, &data["message"]["content"]), ("edited", &Value::from(n.to_string())));
        drop(events);
        // The whole commit was sent, so the client can resume.
        chat.add_message(Message::user("more")).await.unwrap();
        events = open_edited(&api, Some(&cursor)).await;
        assert_eq!(next(&mut events).await.0, "message");
    }
    // Equal content is not a change; a list with one edited message is one edit.
    let list = chat.get_state().await.unwrap().messages;
    chat.turn(|draft| draft.set_messages(&list)).await.unwrap();
    let mut edited = list.clone();
    edited[0] = Message::user("first");
    chat.turn(|draft| draft.set_messages(&edited)).await.unwrap();
    let (name, _, data) = next(&mut events).await;
    assert_eq!((&*name, &data["seq"]), ("edited", &Value::from(1)));
    // A message is edited and removed before the edit is sent; another is only removed.
    chat.replace(2, Message::user("gone")).await.unwrap();
    chat.remove(2).await.unwrap();
    assert_eq!(next(&mut events).await.0, "resync");
    chat.remove(1).await.unwrap();
    assert_eq!(next(&mut events).await.0, "resync");
    chat.add_message(Message::user("goes on")).await.unwrap();
    assert_eq!(next(&mut events).await.0, "message");
}
