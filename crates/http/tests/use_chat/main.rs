//! The routes of the AI SDK's `useChat`.
#![allow(clippy::unwrap_used, clippy::panic)]

mod resuming;
mod submitting;
mod tools;

use bytes::Bytes;
use durable_session::{
    Added, ChatSession, ChatSessions, Error, Message, Replies, Reply, SessionId,
};
use durable_session_http::{Api, Body, UiMessageReply};
use durable_session_memory::MemoryStore;
use futures_util::StreamExt;
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::sync::Semaphore;

/// A service that answers, whose handler writes when the test lets it.
struct Service {
    api: Api,
    chat: ChatSession,
    gate: Arc<Semaphore>,
    /// How often the handler ran.
    runs: Arc<AtomicUsize>,
    /// How often it has left.
    left: Arc<AtomicUsize>,
}

impl Service {
    /// A handler that writes without waiting.
    fn open() -> Self {
        let service = Self::over(&MemoryStore::new());
        service.gate.add_permits(Semaphore::MAX_PERMITS / 2);
        service
    }

    fn gated() -> Self {
        Self::over(&MemoryStore::new())
    }

    fn over(store: &MemoryStore) -> Self {
        let replies = Replies::default().format(UiMessageReply);
        Self::with(ChatSessions::builder(store.clone()).replies(replies).build())
    }

    fn with(sessions: ChatSessions) -> Self {
        let chat = sessions.session(SessionId::new("chat-1").unwrap());
        let (gate, runs) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let left = Arc::new(AtomicUsize::new(0));
        let (pass, count, leaves) = (Arc::clone(&gate), Arc::clone(&runs), Arc::clone(&left));
        let api = Api::builder(sessions)
            .use_chat("/api/chat")
            .reply_with(move |_, posted, reply| {
                count.fetch_add(1, Ordering::SeqCst);
                let (answered, leaves) =
                    (answer(posted, reply, Arc::clone(&pass)), Arc::clone(&leaves));
                async move {
                    let answered = answered.await;
                    leaves.fetch_add(1, Ordering::SeqCst);
                    answered
                }
            })
            .build()
            .unwrap();
        Self { api, chat, gate, runs, left }
    }

    /// The service after a restart in the middle of what it writes. Its handlers write freely.
    async fn restarted(self, store: &MemoryStore) -> Self {
        self.api.sessions().close().await.unwrap();
        self.gate.close();
        let gone = async {
            while self.left.load(Ordering::SeqCst) < self.runs() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap();
        drop(self);
        let service = Self::over(store);
        service.gate.add_permits(Semaphore::MAX_PERMITS / 2);
        // The first load interrupts what is open. A client that comes before sees it end.
        let resumed = service.resume().await;
        if resumed.status == 200 {
            resumed.all().await;
        }
        service
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> Answer {
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let request = Request::builder().method(method).uri(path).body(body).unwrap();
        let response = self.api.handle(request).await;
        let (parts, body) = response.into_parts();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body, rest: String::new() }
    }

    /// What `useChat` sends.
    async fn submit(&self, trigger: &str, id: Option<&str>, messages: &[Value]) -> Answer {
        let body = json!({
            "id": "chat-1", "messages": messages, "trigger": trigger, "messageId": id,
        });
        self.send("POST", "/api/chat", body).await
    }

    async fn ask(&self, id: &str, text: &str) -> Answer {
        self.submit("submit-message", None, &[user(id, text)]).await
    }

    async fn resume(&self) -> Answer {
        self.send("GET", "/api/chat/chat-1/stream", Value::Null).await
    }

    async fn stop(&self, body: Value) -> Value {
        let answer = self.send("POST", "/api/chat/chat-1/stop", body).await;
        assert_eq!(answer.status, 200);
        answer.json().await
    }

    async fn stored(&self) -> Vec<Value> {
        let messages = self.chat.get_state().await.unwrap().messages;
        messages.iter().map(|message| serde_json::from_str(message.as_json()).unwrap()).collect()
    }

    /// The ids of the stored messages.
    async fn ids(&self) -> Vec<String> {
        let stored = self.stored().await;
        stored.iter().map(|message| message["id"].as_str().unwrap_or("").to_owned()).collect()
    }
}

/// The answer of a route, read as its client reads it.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Body,
    rest: String,
}

impl Answer {
    /// The next event: a chunk, or the string `[DONE]`. `None` at the end.
    async fn next(&mut self) -> Option<Value> {
        let Body::Events(events) = &mut self.body else { panic!("no event stream") };
        loop {
            if let Some((event, rest)) = self.rest.split_once("\n\n") {
                let data = event.strip_prefix("data: ").unwrap();
                record(data);
                let event = serde_json::from_str(data).unwrap_or_else(|_| json!(data));
                self.rest = String::from(rest);
                return Some(event);
            }
            let wait = tokio::time::timeout(Duration::from_secs(20), events.next());
            let more = wait.await.unwrap()?;
            self.rest.push_str(std::str::from_utf8(&more).unwrap());
        }
    }

    /// The next so many events.
    async fn take(&mut self, count: usize) -> Vec<Value> {
        let mut taken = Vec::new();
        for _ in 0..count {
            taken.push(self.next().await.unwrap());
        }
        taken
    }

    /// All events up to the end, without it.
    async fn all(mut self) -> Vec<Value> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await {
            all.push(event);
        }
        assert_eq!(all.pop(), Some(json!("[DONE]")));
        all
    }

    async fn json(self) -> Value {
        let body = self.body.collect().await.unwrap().to_bytes();
        serde_json::from_slice(&body).unwrap()
    }
}

/// Writes what clients are sent to the file `UI_CHUNKS`, if it is set: the tests with the package
/// `ai` parse it by the package's schema.
fn record(data: &str) {
    static FILE: OnceLock<Option<Mutex<File>>> = OnceLock::new();
    let open = || {
        let path = std::env::var_os("UI_CHUNKS")?;
        let file = OpenOptions::new().create(true).append(true).open(path);
        Some(Mutex::new(file.unwrap()))
    };
    if let Some(file) = FILE.get_or_init(open) {
        assert!(!data.contains('\n'));
        writeln!(file.lock().unwrap(), "{data}").unwrap();
    }
}

/// The texts of the deltas among chunks.
fn text(chunks: &[Value]) -> String {
    chunks.iter().filter_map(|chunk| chunk["delta"].as_str()).collect()
}

/// The types of chunks.
fn types(chunks: &[Value]) -> Vec<&str> {
    chunks.iter().filter_map(|chunk| chunk["type"].as_str()).collect()
}

fn user(id: &str, text: &str) -> Value {
    json!({"id": id, "role": "user", "parts": [{"type": "text", "text": text}]})
}

/// The text of a stored message.
fn text_of(message: &Value) -> String {
    let parts = message["parts"].as_array().unwrap();
    parts.iter().filter_map(|part| part["text"].as_str()).collect()
}

/// Says the text of a user again, word by word. At `weather` it calls a tool that needs approval,
/// and at `clock` one that the client runs. It goes on when their answers are there.
async fn answer(posted: Added, mut reply: Reply, gate: Arc<Semaphore>) -> Result<(), Error> {
    // Closed by a restart.
    let pass = async || match gate.acquire().await {
        Ok(permit) => {
            permit.forget();
            Ok(())
        }
        Err(closed) => Err(Error::rejected(closed)),
    };
    let message: Value = serde_json::from_str(posted.message.as_json()).unwrap();
    let asked = text_of(&message);
    if message["role"] == "assistant" {
        let part =
            message["parts"].as_array().unwrap().iter().find(|part| part["toolCallId"] == "c");
        let part = part.unwrap();
        let text = match part["state"].as_str().unwrap() {
            "approval-responded" if part["approval"]["approved"] == true => {
                let output = json!({"type": "tool-output-available", "toolCallId": "c",
                    "output": {"sky": "blue"}});
                reply.push(output).await?;
                "It is blue."
            }
            "approval-responded" => {
                reply.push(json!({"type": "tool-output-denied", "toolCallId": "c"})).await?;
                "I did not look."
            }
            "output-available" => "It is late.",
            _ => "I go on.",
        };
        pass().await?;
        say(&mut reply, "2", &[text]).await?;
        return reply.finish().await.map(drop);
    }
    reply.push(json!({"type": "start-step"})).await?;
    if asked == "weather" || asked == "clock" {
        let call = json!({"type": "tool-input-available", "toolCallId": "c",
            "toolName": asked, "input": {"big": 1}});
        reply.push(call).await?;
        if asked == "weather" {
            let approve =
                json!({"type": "tool-approval-request", "approvalId": "a", "toolCallId": "c"});
            reply.push(approve).await?;
        }
        return reply.finish().await.map(drop);
    }
    reply.push(json!({"type": "text-start", "id": "1"})).await?;
    for word in asked.split_inclusive(' ') {
        pass().await?;
        match word {
            "fail" => return reply.fail("no words").await.map(drop),
            "leave" => return Ok(()),
            word => reply.push(json!({"type": "text-delta", "id": "1", "delta": word})).await?,
        }
    }
    reply.push(json!({"type": "text-end", "id": "1"})).await?;
    reply.finish().await.map(drop)
}

async fn say(reply: &mut Reply, id: &str, words: &[&str]) -> Result<(), Error> {
    reply.push(json!({"type": "text-start", "id": id})).await?;
    for word in words {
        reply.push(json!({"type": "text-delta", "id": id, "delta": word})).await?;
    }
    reply.push(json!({"type": "text-end", "id": id})).await
}

fn message(json: &Value) -> Message {
    Message::from_json(json.to_string()).unwrap()
}
