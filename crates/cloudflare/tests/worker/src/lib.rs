//! A Worker for tests: runs conformance cases and single store commands inside a Durable Object.
//!
//! `POST /{object}/{command}` with a JSON body; the answer is JSON. It is for tests only.

// The items that the worker crate's macros generate are public and have neither.
#![allow(missing_docs, missing_debug_implementations)]

mod commands;
mod dropped;
mod factory;
mod tokens;

use commands::Probe;
use durable_session::Message;
use durable_session_cloudflare::{ChatObject, ChatWorker};
use std::time::Duration;
use wasm_bindgen::{JsCast, JsValue};
use worker::worker_sys::DurableObjectState;
use worker::{
    Context, DurableObject, Env, Request, Response, Result, State, durable_object, event,
};

/// The object under test, of the same name as the class that it takes over from: commands on the
/// bare store, and the protocol with sessions that soon expire. With the variable `TOKEN_MS`, users
/// are answered by replies.
#[durable_object]
pub struct ChatSession {
    probe: Probe,
    chat: ChatObject,
}

impl DurableObject for ChatSession {
    fn new(state: State, env: Env) -> Self {
        let number = |name: &str| env.var(name).ok()?.to_string().parse().ok();
        let ttl = number("TTL_MS").unwrap_or(3_600_000);
        let probe = Probe::new(State::from(
            JsValue::from(state.as_raw()).unchecked_into::<DurableObjectState>(),
        ));
        let chat = ChatObject::builder(state)
            .sessions(|sessions| sessions.greeting(Message::assistant("Hi!")))
            .expire_after(Duration::from_millis(ttl));
        let chat = match number("TOKEN_MS").map(Duration::from_millis) {
            Some(every) => chat.api(move |api| {
                api.reply_with(move |_, posted, reply| tokens::write(posted, reply, every))
            }),
            None => chat,
        };
        Self { probe, chat: chat.build() }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let path = request.path();
        if path.starts_with("/api/") {
            return self.chat.fetch(request).await;
        }
        let command = path.rsplit('/').next().unwrap_or_default();
        if command == "rows" {
            return Response::from_json(&self.chat.rows_written());
        }
        let body: serde_json::Value = request.json().await?;
        match self.probe.run(command, &body).await {
            Ok(answer) => Response::from_json(&answer),
            Err(error) => Response::error(error.to_string(), 500),
        }
    }

    async fn alarm(&self) -> Result<Response> {
        self.chat.alarm().await
    }
}

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    let path = request.path();
    if path.starts_with("/api/") {
        return ChatWorker::new("CHAT_SESSION")
            .allow_origin("https://app.example")
            .fetch(request, &env)
            .await;
    }
    let object = path.split('/').nth(1).unwrap_or_default();
    env.durable_object("CHAT_SESSION")?
        .id_from_name(object)?
        .get_stub()?
        .fetch_with_request(request)
        .await
}
