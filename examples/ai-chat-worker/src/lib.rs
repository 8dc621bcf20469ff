//! A service for pages that use the AI SDK's `useChat`: one Durable Object per chat, and a model
//! that is made up.
//!
//! It serves what `examples/ai-chat` serves, and the same tests run against both.

// The items that the worker crate's macros generate are public and have neither.
#![allow(missing_docs, missing_debug_implementations)]

#[path = "../../ai-chat/src/fake.rs"]
mod fake;

use durable_session::Replies;
use durable_session_cloudflare::{ChatObject, ChatWorker, log_to_console};
use durable_session_http::{ClientPermissions, UiMessageReply};
use fake::Fake;
use std::time::Duration;
use worker::send::SendFuture;
use worker::{
    Context, Delay, DurableObject, Env, Request, Response, Result, State, console_error,
    durable_object, event,
};

/// Where the routes of `useChat` are.
const BASE: &str = "/api/chat";

#[durable_object]
pub struct ChatSession(ChatObject);

impl DurableObject for ChatSession {
    fn new(state: State, env: Env) -> Self {
        let model = Fake {
            tokens: number(&env, "TOKENS").unwrap_or(20),
            delay: Duration::from_millis(number(&env, "DELAY_MS").unwrap_or(50)),
            tools: variable(&env, "TOOLS") == "on",
        };
        let object = ChatObject::builder(state)
            .sessions(|sessions| sessions.replies(Replies::default().format(UiMessageReply)))
            .api(move |api| {
                api.client_permissions(ClientPermissions::public()).use_chat(BASE).reply_with(
                    move |_, posted, mut reply| async move {
                        model.answer(&posted, &mut reply).await
                    },
                )
            })
            .expire_after(Duration::from_hours(90 * 24));
        Self(object.build())
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        self.0.fetch(request).await
    }

    async fn alarm(&self) -> Result<Response> {
        self.0.alarm().await
    }
}

/// The pause of the model before a word.
async fn pause(delay: Duration) {
    SendFuture::new(Delay::from(delay)).await;
}

/// The value of a variable; empty if it is not set.
fn variable(env: &Env, name: &str) -> String {
    env.var(name).map(|value| value.to_string()).unwrap_or_default()
}

fn number<T: std::str::FromStr>(env: &Env, name: &str) -> Option<T> {
    let value = variable(env, name);
    let number = value.parse().ok();
    if number.is_none() && !value.is_empty() {
        console_error!("{name} is not a number; the default is used");
    }
    number
}

#[event(start)]
fn start() {
    log_to_console();
}

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    ChatWorker::new("CHAT_SESSION").service("ai-chat").use_chat(BASE).fetch(request, &env).await
}
