//! The routes of the AI SDK's `useChat`, unchanged: `POST {base}`, `GET {base}/{id}/stream` and
//! `POST {base}/{id}/stop`.

mod chunk;
mod format;
mod parts;
mod request;
mod stream;

use crate::api::chat_for;
use crate::config::Config;
use crate::conversations::Caller;
use crate::producing::produce;
use crate::routes::feed::StreamPermit;
use crate::routes::preconditions::refuse_if_match;
use crate::routes::replies::{Unanswered, opening};
use crate::routes::route::session_of;
use crate::wire::body::{Body, EventStream};
use crate::wire::errors;
use crate::wire::input::Input;
use crate::wire::refusal::Refusal;
use crate::wire::response::{json, respond};
use bytes::Bytes;
use durable_session::json::JsonObject;
use durable_session::store::Version;
use durable_session::{
    Added, AppState, ChatSession, Draft, Error, NewReply, Opened, SessionId, StoredMessage,
};
pub use format::UiMessageReply;
use futures_util::stream::empty;
use http::{Method, Request, Response, StatusCode};
use parts::Parts;
use request::{Ask, Plan, answered_id, asked_chat};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// How often a request is planned anew when other writers come first.
const ATTEMPTS: usize = 16;

/// A route of `useChat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ChatRoute {
    /// `{base}`: the chat's id is in the body.
    Submit,
    /// `{base}/{id}/stream`
    Stream(SessionId),
    /// `{base}/{id}/stop`
    Stop(SessionId),
}

impl ChatRoute {
    /// The route at this path. `None` if the path belongs to the session routes, or to nobody.
    pub(crate) fn find(base: &str, prefix: &str, path: &str) -> Option<Result<Self, Refusal>> {
        let under = |base: &str| path.strip_prefix(base).filter(|rest| rest.starts_with('/'));
        if path == base {
            return Some(Ok(Self::Submit));
        }
        if under(prefix).is_some() {
            return None;
        }
        let (_, name) = under(base)?[1..].split_once('/')?;
        let route = match name {
            "stream" => Self::Stream,
            "stop" => Self::Stop,
            _ => return None,
        };
        Some(session_of(base, path).map(|(id, _)| route(id)))
    }

    fn check(&self, method: &Method) -> Result<(), Refusal> {
        let (allowed, names) = match self {
            Self::Stream(_) => (*method == Method::GET || *method == Method::HEAD, "GET, HEAD"),
            Self::Submit | Self::Stop(_) => (*method == Method::POST, "POST"),
        };
        if allowed { Ok(()) } else { Err(Refusal::method_not_allowed(names)) }
    }
}

/// The session of a request of `useChat`, for a router in front of the sessions. `None` if the path
/// is not one of its routes under `base`, or belongs to the session routes under `prefix`.
///
/// At `base` itself, the id is in the body. The other routes need no body.
///
/// ```
/// use durable_session_http::{DEFAULT_PREFIX, session_of_chat};
/// use http::Request;
///
/// let of = |request| session_of_chat("/api/chat", DEFAULT_PREFIX, &request);
/// let submitted = Request::post("/api/chat").body(r#"{"id":"chat-1","messages":[]}"#.into());
/// assert_eq!(of(submitted.unwrap()).unwrap().unwrap().as_str(), "chat-1");
/// let resumed = Request::get("/api/chat/chat-1/stream").body("".into());
/// assert_eq!(of(resumed.unwrap()).unwrap().unwrap().as_str(), "chat-1");
/// let session = Request::get("/api/chat/session/chat-1").body("".into());
/// assert!(of(session.unwrap()).is_none());
/// ```
///
/// # Errors
/// The [`Refusal`] of an [`Api`](crate::Api): 400 if there is no valid id, 405 for another method,
/// 415 for a body that is no JSON.
pub fn session_of_chat(
    base: &str,
    prefix: &str,
    request: &Request<Bytes>,
) -> Option<Result<SessionId, Refusal>> {
    let route = ChatRoute::find(base, prefix, request.uri().path())?;
    Some(route.and_then(|route| {
        route.check(request.method())?;
        match route {
            ChatRoute::Submit => {
                let input = Input {
                    headers: request.headers().clone(),
                    query: None,
                    body: request.body().clone(),
                    max_body_bytes: usize::MAX,
                };
                asked_chat(input.text()?)
            }
            ChatRoute::Stream(id) | ChatRoute::Stop(id) => Ok(id),
        }
    }))
}

/// Answers a request of `useChat`.
pub(crate) async fn respond_to<A: AppState>(
    route: ChatRoute,
    method: &Method,
    config: &Config<A>,
    streams: &Arc<AtomicUsize>,
    input: &Input,
) -> Result<Response<Body>, Refusal> {
    route.check(method)?;
    refuse_if_match(&input.headers)?;
    let permit = || StreamPermit::acquire(streams, config.max_streams);
    let caller = config.caller(&input.headers)?;
    let (sessions, caller) = (&config.sessions, caller.as_ref());
    match route {
        ChatRoute::Submit => submit(config, input, caller, permit()?).await,
        ChatRoute::Stream(id) => {
            let mut response =
                resume(&chat_for(sessions, id, caller, true).await?, permit()?).await?;
            if *method == Method::HEAD && matches!(response.body(), Body::Events(_)) {
                *response.body_mut() = Body::Events(EventStream::new(empty()));
            }
            Ok(response)
        }
        ChatRoute::Stop(id) => stop(&chat_for(sessions, id, caller, false).await?, input).await,
    }
}

async fn submit<A: AppState>(
    config: &Config<A>,
    input: &Input,
    caller: Option<&Caller>,
    permit: StreamPermit,
) -> Result<Response<Body>, Refusal> {
    let ask = Ask::parse(input.text()?)?;
    let chat = chat_for(&config.sessions, ask.id.clone(), caller, false).await?;
    for _ in 0..ATTEMPTS {
        let (plan, version) = ask.plan(&chat).await?;
        match carry_out(config, &chat, plan, version).await {
            Ok(Some((follow, client))) => {
                return Ok(stream::response(ask.id, follow, &client, permit));
            }
            Ok(None) => return Ok(stream::nothing()),
            Err(Error::VersionChanged { .. }) => {}
            Err(e) => return Err(errors::refusal(chat.id(), &e)),
        }
    }
    let contended = Error::Contended { session: chat.id().clone() };
    Err(errors::refusal(chat.id(), &contended))
}

/// Makes the change of a plan on this version. Returns the reply to follow, and what the client has
/// of it.
async fn carry_out<A: AppState>(
    config: &Config<A>,
    chat: &ChatSession<A>,
    plan: Plan,
    version: Option<Version>,
) -> Result<Option<(durable_session::Follow, Parts)>, Error> {
    let mut posted = None;
    let (opened, client) = match plan {
        Plan::Nothing => return Ok(None),
        Plan::Follow { seq, client } => return Ok(Some((chat.follow(seq, 0).await?, client))),
        Plan::Add(message) => {
            config
                .client_permissions
                .check(std::slice::from_ref(&message))
                .map_err(Error::rejected)?;
            let mut add = |draft: &mut Draft<'_, A>| {
                let added = draft.add_message(message.clone())?;
                posted = Some(added.clone());
                if let Some(handler) = &config.on_message {
                    handler(draft, &added)?;
                }
                Ok(added)
            };
            let opened = chat
                .reply_if(version, |draft| {
                    let added = add(draft)?;
                    Ok(opening(draft, &added, &config.replies)?.to(id_of(&added)))
                })
                .await;
            match opened {
                Err(Error::Rejected(reason)) if reason.is::<Unanswered>() => {
                    chat.turn_if(version, |draft| add(draft).map(drop)).await?;
                    return Ok(None);
                }
                opened => (opened?, Parts::default()),
            }
        }
        Plan::Answer { asked, replace, attempt } => {
            let to = answered_id(&asked);
            let asked = Added::from(asked);
            posted = Some(asked.clone());
            let opened = chat.reply_if(version, |draft| {
                draft.rewind_to(asked.seq)?;
                if replace {
                    draft.replace(asked.seq, &asked.message)?;
                    if let Some(handler) = &config.on_message {
                        handler(draft, &asked)?;
                    }
                }
                let new = opening(draft, &asked, &config.replies)?;
                Ok(new.to(to.clone()).attempt(attempt))
            });
            match opened.await {
                Err(Error::Rejected(reason)) if reason.is::<Unanswered>() => {
                    let reason = "the service answers no such message";
                    return Err(Error::rejected(Refusal::new(StatusCode::CONFLICT, reason)));
                }
                opened => (opened?, Parts::default()),
            }
        }
        Plan::Continue { seq, message, client } => {
            posted = Some(Added::from(StoredMessage::new(seq, message.clone())));
            let reopen = |_: &mut Draft<'_, A>| {
                Ok(NewReply::reopening(seq, message.clone()).format(format::NAME))
            };
            (chat.reply_if(version, reopen).await?, client)
        }
    };
    let follow = match opened {
        Opened::Running(follow) => follow,
        Opened::Ended(stored) => chat.follow(stored.seq, 0).await?,
        Opened::New(reply) => {
            // Before the handler runs: it misses no chunk.
            let follow = chat.follow(reply.seq(), 0).await?;
            if let (Some(write), Some(spawn), Some(posted)) =
                (&config.replies.write, &config.replies.spawn, posted)
            {
                spawn(Box::pin(produce(write.clone(), chat.clone(), posted, reply)));
            }
            follow
        }
        _ => return Ok(None),
    };
    Ok(Some((follow, client)))
}

fn id_of(added: &Added) -> String {
    added.message.id().map_or_else(|| format!("seq-{}", added.seq), Into::into)
}

/// `GET {base}/{id}/stream`: the reply that is being written, from its beginning; 204 if there is
/// none.
async fn resume<A: AppState>(
    chat: &ChatSession<A>,
    permit: StreamPermit,
) -> Result<Response<Body>, Refusal> {
    let refusal = |e| errors::refusal(chat.id(), &e);
    let last = chat.snapshot().await.map_err(refusal)?.open_replies().last();
    if let Some(seq) = last {
        match chat.follow(seq, 0).await {
            Ok(follow) if follow.was_open() => {
                let client = Parts::default();
                return Ok(stream::response(chat.id().clone(), follow, &client, permit));
            }
            // It has ended meanwhile.
            Ok(_) | Err(Error::NoSuchMessage { .. }) => {}
            Err(e) => return Err(refusal(e)),
        }
    }
    Ok(respond(StatusCode::NO_CONTENT, None, Body::Full(Bytes::new())))
}

/// `POST {base}/{id}/stop`: stops what is being written, or only the message that `activeStreamId`
/// names.
async fn stop<A: AppState>(
    chat: &ChatSession<A>,
    input: &Input,
) -> Result<Response<Body>, Refusal> {
    let refusal = |e| errors::refusal(chat.id(), &e);
    let body = input.text()?;
    let body: JsonObject = if body.trim().is_empty() { "{}" } else { body }
        .parse()
        .map_err(|e| Refusal::bad_request(format!("the body must be a JSON object: {e}")))?;
    let only: Option<String> = body.get("activeStreamId").ok().flatten();
    let mut stopped = None;
    let open: Vec<u64> = chat.snapshot().await.map_err(refusal)?.open_replies().collect();
    for seq in open {
        if let Some(only) = &only {
            let follow = chat.follow(seq, 0).await.map_err(refusal)?;
            if follow.message().id().as_deref() != Some(only) {
                continue;
            }
        }
        match chat.stop(seq).await {
            Ok(ended) => stopped = ended.message.or(stopped),
            Err(Error::NoSuchMessage { .. }) => {}
            Err(e) => return Err(refusal(e)),
        }
    }
    let message = stopped.map(|stored| format!(",\"message\":{}", stored.message.as_json()));
    let message = message.unwrap_or_default();
    Ok(json(StatusCode::OK, format!("{{\"success\":true{message}}}")))
}
