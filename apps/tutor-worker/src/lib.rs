//! The tutoring app as a Cloudflare Worker: one Durable Object per conversation.

// The items that the worker crate's macros generate are public and have neither.
#![allow(missing_docs, missing_debug_implementations)]

use durable_session::Message;
use durable_session_cloudflare::{ChatObject, ChatWorker, log_to_console};
use durable_session_http::{ClientPermissions, FieldRoute};
use std::time::Duration;
use tutoring::{GREETING, Tutoring, answer, open_reply, write_reply};
use worker::send::SendFuture;
use worker::{
    Context, Delay, DurableObject, Env, Request, Response, Result, State, console_error,
    durable_object, event,
};

#[durable_object]
pub struct ChatSession(ChatObject<Tutoring>);

impl DurableObject for ChatSession {
    fn new(state: State, env: Env) -> Self {
        let variable = |name| env.var(name).map(|value| value.to_string()).unwrap_or_default();
        let answers = variable("ANSWERS") != "off";
        let may = match &*variable("CLIENT_MAY") {
            "everything" => ClientPermissions::everything(),
            _ => ClientPermissions::public(),
        };
        let streamed = stream_ms(&variable("STREAM_MS"));
        let object = ChatObject::builder(state)
            .sessions(|sessions| sessions.greeting(Message::assistant(GREETING)))
            .api(move |api| {
                let api = api
                    .client_permissions(may)
                    .field(FieldRoute::new("pending-match", "pendingMatch"))
                    .field(FieldRoute::new("booking-info", "bookingInfo"))
                    .field(FieldRoute::put_only("search-criteria", "lastSearchCriteria"))
                    .field(FieldRoute::put_only("available-tutors", "availableTutorsList"));
                match streamed {
                    _ if !answers => api,
                    None => api.on_message(answer),
                    Some(word) => {
                        api.open_replies(open_reply).reply_with(move |chat, posted, reply| {
                            let pause = move || SendFuture::new(Delay::from(word));
                            write_reply(chat, posted, reply, pause)
                        })
                    }
                }
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

/// The time before each word of an answer, if answers are streamed.
fn stream_ms(variable: &str) -> Option<Duration> {
    if variable.is_empty() {
        return None;
    }
    let ms = variable.parse();
    if ms.is_err() {
        console_error!("STREAM_MS is not a number of milliseconds; answers are not streamed");
    }
    ms.ok().map(Duration::from_millis)
}

#[event(start)]
fn start() {
    log_to_console();
}

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    ChatWorker::new("CHAT_SESSION").service("tutor-chat").fetch(request, &env).await
}
