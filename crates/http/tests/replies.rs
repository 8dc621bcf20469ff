//! Replies over HTTP: no chunk is sent twice or lost, however often a stream breaks off.

#![allow(clippy::unwrap_used, clippy::panic)]

use bytes::Bytes;
use durable_session::{ChatSession, ChatSessions, Message, NewReply, Opened, Reply, SessionId};
use durable_session_http::{Api, Body, EventStream, PING};
use durable_session_memory::MemoryStore;
use futures_util::StreamExt;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::Duration;

const BASE: &str = "/api/chat/session/s";

fn api() -> (Api, ChatSession) {
    api_over(&MemoryStore::new())
}

/// A service over this store.
fn api_over(store: &MemoryStore) -> (Api, ChatSession) {
    let sessions: ChatSessions = ChatSessions::builder(store.clone()).build();
    let chat = sessions.session(SessionId::new("s").unwrap());
    (Api::builder(sessions).build().unwrap(), chat)
}

/// Opens a reply beside the message that it answers.
async fn open(chat: &ChatSession, question: &str) -> Reply {
    let opened = chat.reply(|draft| {
        draft.add_message(Message::user(question))?;
        Ok(Message::assistant(""))
    });
    new(opened.await.unwrap())
}

async fn reopen(chat: &ChatSession, seq: u64) -> Reply {
    let opened = chat.reply(|_| Ok(NewReply::reopening(seq, Message::assistant("so: "))));
    new(opened.await.unwrap())
}

fn new(opened: Opened) -> Reply {
    match opened {
        Opened::New(reply) => reply,
        other => panic!("{other:?}"),
    }
}

/// One event: its name, its cursor and its data.
type Event = (String, String, Value);

struct Client {
    stream: EventStream,
    events: VecDeque<Event>,
}

impl Client {
    async fn new(api: &Api, path: &str, from: Option<&str>) -> Self {
        let mut request = Request::get(format!("{BASE}{path}"));
        if let Some(from) = from {
            request = request.header("last-event-id", from);
        }
        let response = api.handle(request.body(Bytes::new()).unwrap()).await;
        let status = response.status();
        match response.into_body() {
            Body::Events(stream) => Self { stream, events: VecDeque::new() },
            Body::Full(_) | Body::Parts(_) => panic!("{status}"),
        }
    }

    /// The next event, also a ping; `None` if no event comes.
    async fn next(&mut self) -> Option<Event> {
        while self.events.is_empty() {
            let bytes = tokio::time::timeout(Duration::from_millis(200), self.stream.next()).await;
            self.read(std::str::from_utf8(&bytes.ok()??).unwrap());
        }
        self.events.pop_front()
    }

    fn read(&mut self, text: &str) {
        for block in text.split_terminator("\n\n") {
            let field = |name: &str| {
                let lines = block.lines().filter_map(|line| line.strip_prefix(name));
                lines.collect::<Vec<_>>().join("\n")
            };
            if block.contains("\ndata: ") {
                let data = serde_json::from_str(&field("data: ")).unwrap();
                self.events.push_back((field("event: "), field("id: "), data));
            }
        }
    }

    /// The events until none comes any more, as `name data`, without pings.
    async fn rest(&mut self) -> Vec<String> {
        let mut rest = Vec::new();
        while let Some((name, _, data)) = self.next().await {
            if name != "ping" {
                rest.push(format!("{name} {}", short(&data)));
            }
        }
        rest
    }
}

/// The data of an event in few characters.
fn short(data: &Value) -> String {
    if let Some(chunk) = data["chunk"].as_str() {
        return format!("{}@{} {chunk}", data["seq"], data["at"]);
    }
    match data["message"]["content"].as_str() {
        Some(text) => format!("{} {text:?}", data["seq"]),
        None => data.to_string(),
    }
}

async fn post(api: &Api, path: &str) -> (StatusCode, Value) {
    let request = Request::post(format!("{BASE}{path}")).body(Bytes::new()).unwrap();
    answer(api.handle(request).await).await
}

async fn answer(response: Response<Body>) -> (StatusCode, Value) {
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

/// A reply, all of it: opened, two chunks, finished; and messages around it.
async fn write_all(chat: &ChatSession) {
    let mut reply = open(chat, "why").await;
    reply.push("be").await.unwrap();
    chat.add_message(Message::user("meanwhile")).await.unwrap();
    reply.push("cause").await.unwrap();
    reply.finish().await.unwrap();
    chat.add_message(Message::user("after")).await.unwrap();
}

#[tokio::test]
async fn a_reply_is_an_opening_its_chunks_and_the_same_message_as_any() {
    let (api, chat) = api();
    let mut live = Client::new(&api, "/events", None).await;
    let mut reply = open(&chat, "why").await;
    assert_eq!(live.rest().await, ["message 1 \"why\"", "reply 2 \"\""]);
    reply.push("be").await.unwrap();
    assert_eq!(live.rest().await, ["chunk 2@0 be"]);
    reply.push("cause").await.unwrap();
    chat.add_message(Message::user("meanwhile")).await.unwrap();
    let mut news = live.rest().await;
    news.sort();
    assert_eq!(news, ["chunk 2@1 cause", "message 3 \"meanwhile\""]);
    reply.push("!").await.unwrap();
    reply.finish().await.unwrap();
    assert_eq!(live.rest().await, ["chunk 2@2 !", "message 2 \"because!\""]);
    chat.add_message(Message::user("after")).await.unwrap();
    assert_eq!(live.rest().await, ["message 4 \"after\""]);
}

#[tokio::test]
async fn a_stream_that_opens_in_the_middle_begins_with_the_reply_and_then_a_ping() {
    let (api, chat) = api();
    let mut reply = open(&chat, "why").await;
    reply.push("be").await.unwrap();
    reply.push("cause").await.unwrap();
    let mut live = Client::new(&api, "/events", None).await;
    assert_eq!(live.next().await.unwrap().0, "reply");
    assert_eq!(live.next().await.unwrap().0, "ping");
    assert_eq!(live.rest().await, ["chunk 2@0 be", "chunk 2@1 cause"]);
    reply.finish().await.unwrap();
    assert_eq!(live.rest().await, ["message 2 \"because\""]);
}

/// Every way to break off after each event, with a client that then misses the rest and comes back
/// before or after the end.
#[tokio::test]
async fn a_resume_at_any_event_repeats_nothing_and_loses_nothing() {
    let (api, chat) = api();
    let mut live = Client::new(&api, "/events", None).await;
    write_all(&chat).await;
    let mut all = Vec::new();
    while let Some(event) = live.next().await {
        all.push(event);
    }
    let shown = |events: &[Event]| {
        let rows = events.iter().filter(|(name, ..)| name == "message" || name == "resync");
        rows.map(|(name, _, data)| format!("{name} {}", short(data))).collect::<Vec<_>>()
    };
    let whole = shown(&all);
    assert!(whole.contains(&"message 2 \"because\"".to_owned()), "{whole:?}");
    for (i, (name, id, data)) in all.iter().enumerate() {
        if id.is_empty() {
            continue;
        }
        // The reply has ended: it comes as its message, once.
        let mut resumed = Client::new(&api, "/events", Some(id)).await;
        let rest = resumed.rest().await;
        let rest: Vec<_> = rest.iter().map(String::as_str).collect();
        let mut expected = shown(&all[i + 1..]);
        let mut got: Vec<String> = rest.iter().map(|&s| s.to_owned()).collect();
        expected.sort();
        got.sort();
        assert_eq!(got, expected, "after {name} {data}: {rest:?}");
    }
}

#[tokio::test]
async fn a_resume_while_the_reply_is_open_goes_on_after_the_last_chunk() {
    let (api, chat) = api();
    let mut live = Client::new(&api, "/events", None).await;
    let mut reply = open(&chat, "why").await;
    for chunk in ["a", "b", "c"] {
        reply.push(chunk).await.unwrap();
    }
    let mut all = Vec::new();
    while let Some(event) = live.next().await {
        all.push(event);
    }
    reply.push("d").await.unwrap();
    for (i, (_, id, _)) in all.iter().enumerate().filter(|(_, (_, id, _))| !id.is_empty()) {
        let mut resumed = Client::new(&api, "/events", Some(id)).await;
        let mut expected: Vec<_> =
            all[i + 1..].iter().map(|(n, _, d)| format!("{n} {}", short(d))).collect();
        expected.push("chunk 2@3 d".to_owned());
        assert_eq!(resumed.rest().await, expected);
    }
}

#[tokio::test]
async fn the_cursor_of_a_beginning_in_the_middle_of_a_reply_loses_neither_its_opening_nor_its_end()
{
    let (api, chat) = api();
    let mut reply = open(&chat, "why").await;
    reply.push("be").await.unwrap();
    let first = Client::new(&api, "/events", None).await.stream.next().await.unwrap();
    let first = std::str::from_utf8(&first).unwrap();
    let id = first.strip_prefix(": following\nid: ").unwrap().trim_end().to_owned();
    let mut resumed = Client::new(&api, "/events", Some(&id)).await;
    assert_eq!(resumed.rest().await, ["reply 2 \"\"", "chunk 2@0 be"]);
    reply.finish().await.unwrap();
    let mut resumed = Client::new(&api, "/events", Some(&id)).await;
    assert_eq!(resumed.rest().await, ["message 2 \"be\""]);
}

#[tokio::test]
async fn a_reopened_message_ends_as_edited_or_as_a_resync() {
    let (api, chat) = api();
    chat.add_message(Message::assistant("old")).await.unwrap();
    let mut knows = Client::new(&api, "/events?edited=true", None).await;
    let mut plain = Client::new(&api, "/events", None).await;
    let mut reply = reopen(&chat, 1).await;
    let (name, id, _) = loop {
        match knows.next().await.unwrap() {
            (name, ..) if name == "ping" => {}
            event => break event,
        }
    };
    assert_eq!(name, "reply");
    reply.push("new").await.unwrap();
    assert_eq!(knows.rest().await, ["chunk 1@0 new"]);
    assert_eq!(plain.rest().await, ["reply 1 \"so: \"", "chunk 1@0 new"]);
    let mut resumed = Client::new(&api, "/events?edited=true", Some(&id)).await;
    assert_eq!(resumed.rest().await, ["chunk 1@0 new"]);
    reply.finish().await.unwrap();
    assert_eq!(knows.rest().await, ["edited 1 \"so: new\""]);
    assert_eq!(resumed.rest().await, ["edited 1 \"so: new\""]);
    assert_eq!(plain.rest().await, ["resync {}"]);
    for (path, expected) in
        [("/events?edited=true", "edited 1 \"so: new\""), ("/events", "resync {}")]
    {
        let mut late = Client::new(&api, path, Some(&id)).await;
        assert_eq!(late.rest().await, [expected], "{path}");
    }
}

#[tokio::test]
async fn after_a_resync_each_open_reply_begins_anew() {
    let (api, chat) = api();
    chat.add_message(Message::user("before")).await.unwrap();
    let mut live = Client::new(&api, "/events", None).await;
    let mut reply = open(&chat, "why").await;
    reply.push("be").await.unwrap();
    drop(live.rest().await);
    chat.replace(1, Message::user("edited")).await.unwrap();
    assert_eq!(live.rest().await, ["resync {}", "reply 3 \"\"", "chunk 3@0 be"]);
    chat.remove(3).await.unwrap();
    assert_eq!(live.rest().await, ["resync {}"]);
}

#[tokio::test]
async fn state_set_at_the_end_comes_after_the_message() {
    let (api, chat) = api();
    let mut live = Client::new(&api, "/events", None).await;
    let mut reply = open(&chat, "why").await;
    assert_eq!(live.rest().await, ["message 1 \"why\"", "reply 2 \"\""]);
    reply.push("be").await.unwrap();
    let finished = reply.finish_with(|draft| {
        draft.add_message(Message::user("next"))?;
        draft.app_mut()?.set("step", &1).map_err(durable_session::Error::rejected)
    });
    finished.await.unwrap();
    assert_eq!(
        live.rest().await,
        [
            "chunk 2@0 be",
            "message 2 \"be\"",
            "message 3 \"next\"",
            "state {\"state\":{\"step\":1}}"
        ]
    );
}

#[tokio::test]
async fn an_open_message_reads_as_it_was_opened_and_keeps_its_etag() {
    let (api, chat) = api();
    let mut reply = open(&chat, "why").await;
    let get = |tag: Option<String>| {
        let mut request = Request::get(BASE);
        if let Some(tag) = tag {
            request = request.header("if-none-match", tag);
        }
        api.handle(request.body(Bytes::new()).unwrap())
    };
    let opened = get(None).await;
    let tag = opened.headers()["etag"].to_str().unwrap().to_owned();
    let (_, before) = answer(opened).await;
    assert_eq!(
        before["messages"][1],
        json!({"role": "assistant", "content": "", "status": "in_progress"})
    );
    reply.push("be").await.unwrap();
    assert_eq!(get(Some(tag.clone())).await.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(answer(get(None).await).await.1["messages"], before["messages"]);
    reply.finish().await.unwrap();
    let after = get(Some(tag)).await;
    assert_eq!(answer(after).await.1["messages"][1], json!({"role": "assistant", "content": "be"}));
}

#[tokio::test]
async fn a_reply_is_stopped_once_and_what_was_shown_stays() {
    let (api, chat) = api();
    let mut reply = open(&chat, "why").await;
    reply.push("be").await.unwrap();
    let message = json!({
        "role": "assistant",
        "content": "be",
        "status": "incomplete",
        "incomplete_details": {"reason": "stopped"}
    });
    for _ in 0..2 {
        let stopped = post(&api, "/replies/2/stop").await;
        assert_eq!(stopped, (StatusCode::OK, json!({"success": true, "message": message})));
    }
    assert!(reply.push("cause").await.is_err());
    let mut second = open(&chat, "and").await;
    second.push("so").await.unwrap();
    second.finish().await.unwrap();
    let message = json!({"role": "assistant", "content": "so"});
    let late = json!({"error": "the reply was finished before", "message": message});
    assert_eq!(post(&api, "/replies/4/stop").await, (StatusCode::CONFLICT, late));
    assert_eq!(post(&api, "/replies/9/stop").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_chunks_of_a_long_reply_come_together_and_a_stream_that_is_not_read_keeps_none() {
    let (api, chat) = api();
    let mut reply = open(&chat, "why").await;
    let words: Vec<String> = (0..3000).map(|n| format!("word{n} ")).collect();
    reply.pump(futures_util::stream::iter(&words)).await.unwrap();
    let mut live = Client::new(&api, "/events", None).await;
    let (mut items, mut largest) = (0, 0);
    while let Ok(Some(bytes)) =
        tokio::time::timeout(Duration::from_millis(500), live.stream.next()).await
    {
        (items, largest) = (items + 1, largest.max(bytes.len()));
        live.read(std::str::from_utf8(&bytes).unwrap());
    }
    assert!(items < 50, "{items} items");
    assert!(largest < 17 << 10, "{largest} bytes");
    let chunks: Vec<_> = live.events.iter().filter(|(name, ..)| name == "chunk").collect();
    assert_eq!(chunks.len(), words.len());
    assert!(chunks.iter().zip(&words).all(|((_, _, data), word)| data["chunk"] == *word));
    assert!(PING.starts_with("event: ping"));
}

#[tokio::test]
async fn replies_beyond_those_that_a_stream_follows_end_as_a_resync() {
    let (api, chat) = api();
    let mut live = Client::new(&api, "/events", None).await;
    let mut replies = Vec::new();
    for n in 0..66 {
        replies.push(open(&chat, &n.to_string()).await);
    }
    let mut id = String::new();
    let mut openings = 0;
    while let Some((name, cursor, _)) = live.next().await {
        openings += usize::from(name == "reply");
        id = if cursor.is_empty() { id } else { cursor };
    }
    assert_eq!(openings, 64);
    let mut resumed = Client::new(&api, "/events", Some(&id)).await;
    assert_eq!(resumed.next().await.unwrap().0, "resync");
    replies[65].push("last").await.unwrap();
    replies[0].push("first").await.unwrap();
    assert_eq!(live.rest().await, ["chunk 2@0 first"]);
    replies[65].finish().await.unwrap();
    assert_eq!(live.rest().await[0], "resync {}");
}

#[tokio::test]
async fn a_reply_that_ended_before_it_was_sent_is_a_message_like_any() {
    let (api, chat) = api();
    let mut live = Client::new(&api, "/events", None).await;
    write_all(&chat).await;
    let whole = ["why", "because", "meanwhile", "after"];
    let expected = (1..).zip(whole).map(|(seq, text)| format!("message {seq} {text:?}"));
    assert_eq!(live.rest().await, expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn after_a_restart_a_client_gets_the_interrupted_message_once() {
    let store = MemoryStore::new();
    let (api, chat) = api_over(&store);
    let mut live = Client::new(&api, "/events", None).await;
    let mut reply = open(&chat, "why").await;
    reply.push("be").await.unwrap();
    let mut id = String::new();
    while let Some((_, cursor, _)) = live.next().await {
        id = if cursor.is_empty() { id } else { cursor };
    }
    api.sessions().close().await.unwrap();
    drop((reply, live));
    let (api, chat) = api_over(&store);
    let mut resumed = Client::new(&api, "/events", Some(&id)).await;
    let (name, id, data) = loop {
        match resumed.next().await.unwrap() {
            (name, ..) if name == "ping" => {}
            event => break event,
        }
    };
    assert_eq!((&*name, &data["message"]["content"]), ("message", &json!("be")));
    assert_eq!(data["message"]["incomplete_details"]["reason"], "interrupted");
    chat.add_message(Message::user("next")).await.unwrap();
    assert_eq!(resumed.rest().await, ["message 3 \"next\""]);
    let mut again = Client::new(&api, "/events", Some(&id)).await;
    assert_eq!(again.rest().await, ["message 3 \"next\""]);
}

#[tokio::test]
async fn a_reply_of_another_service_is_followed_and_its_end_is_not_missed() {
    let store = MemoryStore::new();
    let (_, writer) = api_over(&store);
    let mut reply = open(&writer, "why").await;
    reply.push("be").await.unwrap();
    let (api, chat) = api_over(&store);
    let mut live = Client::new(&api, "/events", None).await;
    assert_eq!(live.rest().await, ["reply 2 \"\"", "chunk 2@0 be"]);
    reply.push("cause").await.unwrap();
    assert_eq!(live.rest().await, ["chunk 2@1 cause"], "a ping looks, too");
    reply.finish().await.unwrap();
    chat.add_message(Message::user("next")).await.unwrap();
    let end = live.rest().await;
    assert!(end.contains(&"resync {}".to_owned()), "{end:?}");
}
