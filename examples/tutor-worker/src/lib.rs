//! The tutoring app as a Cloudflare Worker: one Durable Object per conversation.

// What the worker crate's macros write is public and has neither.
#![allow(missing_docs, missing_debug_implementations)]

use durable_session::{Added, Draft, Error, Message, role};
use durable_session_cloudflare::{ChatObject, ChatWorker, log_to_console};
use durable_session_http::{ClientMay, FieldRoute};
use std::time::Duration;
use tutoring::{GREETING, Tutoring, respond};
use worker::{Context, DurableObject, Env, Request, Response, Result, State, durable_object, event};

#[durable_object]
pub struct ChatSession(ChatObject<Tutoring>);

impl DurableObject for ChatSession {
    fn new(state: State, env: Env) -> Self {
        let variable = |name| env.var(name).map(|value| value.to_string()).unwrap_or_default();
        let answers = variable("ANSWERS") != "off";
        let may = match &*variable("CLIENT_MAY") {
            "everything" => ClientMay::everything(),
            _ => ClientMay::public(),
        };
        let object = ChatObject::builder(state)
            .sessions(|sessions| sessions.greeting(Message::assistant(GREETING)))
            .api(move |api| {
                let api = api
                    .client_may(may)
                    .field(FieldRoute::new("pending-match", "pendingMatch"))
                    .field(FieldRoute::new("booking-info", "bookingInfo"))
                    .field(FieldRoute::put_only("search-criteria", "lastSearchCriteria"))
                    .field(FieldRoute::put_only("available-tutors", "availableTutorsList"));
                if answers { api.on_message(answer) } else { api }
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

/// The app's reply, stored together with the user's message.
fn answer(draft: &mut Draft<'_, Tutoring>, added: &Added) -> std::result::Result<(), Error> {
    let Some(text) = added.message.text().filter(|_| added.message.role() == role::USER) else {
        return Ok(());
    };
    let reply = respond(draft.app()?, &text);
    let mut message = Message::assistant(reply.text).with_id(format!("answer-to-{}", added.seq));
    if let Some(tutor) = &reply.tutor_match {
        message = message.with("tutorMatch", tutor).map_err(Error::rejected)?;
    }
    *draft.app_mut()? = reply.state;
    draft.add_message(message).map(drop)
}

#[event(start)]
fn start() {
    log_to_console();
}

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    ChatWorker::new("CHAT_SESSION").service("tutor-chat").fetch(request, &env).await
}
