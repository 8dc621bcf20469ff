//! The request function.

use crate::body::{Body, PartStream};
use crate::client_may::ClientMay;
use crate::config::ApiBuilder;
use crate::fields::Field;
use crate::input::Input;
use crate::refusal::Refusal;
use crate::routes::{self, Place};
use crate::{errors, etag, events, fields, messages, rewriting, state};
use bytes::Bytes;
use durable_session::{Added, AppState, ChatSession, ChatSessions, Draft, Error, JsonObject, SessionId};
use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

pub(crate) type OnMessage<A> = Arc<dyn Fn(&mut Draft<'_, A>, &Added) -> Result<(), Error> + Send + Sync>;

/// The session protocol over a [`ChatSessions`]. Cheap to clone.
///
/// Dropping a request's future is safe: its change is then made whole or not at all.
pub struct Api<A = JsonObject> {
    inner: Arc<Inner<A>>,
}

struct Inner<A> {
    set: Settings<A>,
    streams: Arc<AtomicUsize>,
}

/// What was set on it.
pub(crate) struct Settings<A> {
    pub(crate) sessions: ChatSessions<A>,
    pub(crate) prefix: String,
    pub(crate) fields: Vec<Field>,
    pub(crate) max_body_bytes: usize,
    pub(crate) max_streams: usize,
    pub(crate) client_may: ClientMay,
    pub(crate) on_message: Option<OnMessage<A>>,
}

impl<A> Clone for Api<A> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<A> fmt::Debug for Api<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("prefix", &self.inner.set.prefix)
            .field("fields", &self.inner.set.fields)
            .finish_non_exhaustive()
    }
}

impl<A: AppState> Api<A> {
    /// Begins to set up the protocol over `sessions`.
    pub fn builder(sessions: ChatSessions<A>) -> ApiBuilder<A> {
        ApiBuilder::new(sessions)
    }

    pub(crate) fn assemble(set: Settings<A>) -> Self {
        Self { inner: Arc::new(Inner { set, streams: Arc::default() }) }
    }

    /// The sessions it serves.
    pub fn sessions(&self) -> &ChatSessions<A> {
        &self.inner.set.sessions
    }

    /// Where it serves sessions; their ids follow.
    pub fn prefix(&self) -> &str {
        &self.inner.set.prefix
    }

    /// The most bytes that the body of a request with this method and path may have. A transport
    /// should not read more.
    ///
    /// `PUT` of a whole state takes every state that `GET` can give (without its messages if
    /// [clients may not](ApiBuilder::client_may) set these), so its bound follows from the
    /// session's [limits](ChatSessions::limits); for every other request it is
    /// [`max_body_bytes`](ApiBuilder::max_body_bytes). The path is one that
    /// [`handle`](Self::handle) or [`handle_session`](Self::handle_session) takes.
    pub fn body_limit(&self, method: &Method, path: &str) -> usize {
        let Settings { prefix, sessions, max_body_bytes, client_may, .. } = &self.inner.set;
        // The method first: looking for the session in a path is work for every request otherwise.
        let whole_state = *method == Method::PUT && {
            let rest = routes::session_of(prefix, path).map_or(path, |(_, rest)| rest);
            matches!(rest, "" | "/" | "/state")
        };
        if whole_state {
            state::max_bytes(sessions.limits(), client_may).max(*max_body_bytes)
        } else {
            *max_body_bytes
        }
    }

    /// Answers a request whose path is `{prefix}/{id}` and what follows. Any other path is 404.
    pub async fn handle(&self, request: Request<Bytes>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        match routes::session_of(&self.inner.set.prefix, parts.uri.path()) {
            Ok((id, rest)) => self.answer(id, rest, &parts, body).await,
            Err(refusal) => finish(&parts.method, refusal.answer()),
        }
    }

    /// Answers a request on the session `id` whose path is only the rest: `/messages`, `/pending-match`, and for the state
    /// itself `/` or `/state`. For where the id is known already, as in a Durable Object.
    pub async fn handle_session(&self, id: SessionId, request: Request<Bytes>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let rest = match parts.uri.path() {
            "/state" => "/",
            rest => rest,
        };
        self.answer(id, rest, &parts, body).await
    }

    async fn answer(
        &self,
        id: SessionId,
        rest: &str,
        parts: &http::request::Parts,
        body: Bytes,
    ) -> Response<Body> {
        let input = Input {
            headers: parts.headers.clone(),
            query: parts.uri.query().map(str::to_owned),
            body,
            max_body_bytes: self.body_limit(&parts.method, rest),
        };
        let answer = match self.act(id, rest, &parts.method, &input).await {
            Ok(response) => response,
            Err(refusal) => refusal.answer(),
        };
        finish(&parts.method, answer)
    }

    async fn act(
        &self,
        id: SessionId,
        rest: &str,
        method: &Method,
        input: &Input,
    ) -> Result<Response<Body>, Refusal> {
        let Settings { sessions, fields, client_may, on_message, max_streams, .. } = &self.inner.set;
        let place = Place::find(rest, fields, client_may)?;
        let head = *method == Method::HEAD;
        let method = place.method(method)?;
        let chat = sessions.session(id);
        match (place, method) {
            (Place::State, Method::GET) => state::get(&chat, input).await,
            (Place::State, Method::PUT) => state::put(&chat, input, client_may).await,
            (Place::State, _) => state::delete(&chat, input).await,
            (Place::Reset, _) => state::reset(&chat, input).await,
            (Place::Messages, Method::GET) => messages::get(&chat, input).await,
            (Place::Messages, _) => messages::post(&chat, input, client_may, on_message.as_ref()).await,
            (Place::Message(seq), Method::PUT) => rewriting::put(&chat, seq, input, client_may).await,
            (Place::Message(seq), _) => rewriting::delete(&chat, seq, input).await,
            (Place::Rewind, _) => rewriting::rewind(&chat, input).await,
            (Place::Events, _) if head => Ok(events::head()),
            (Place::Events, _) => events::open(&chat, input, &self.inner.streams, *max_streams).await,
            (Place::Field(field), Method::GET) => fields::get(&chat, field).await,
            (Place::Field(field), Method::PUT) => fields::put(&chat, field, input.text()?, input).await,
            (Place::Field(field), _) => fields::put(&chat, field, "null", input).await,
        }
    }
}

/// The answer to `HEAD` is that to `GET` without the body. A stream has no length, and what stands
/// for it here is empty.
fn finish(method: &Method, mut response: Response<Body>) -> Response<Body> {
    if *method == Method::HEAD {
        match response.body() {
            Body::Full(bytes) => {
                let length = bytes.len();
                response.headers_mut().insert(CONTENT_LENGTH, length.into());
                *response.body_mut() = Body::Full(Bytes::new());
            }
            Body::Parts(_) => *response.body_mut() = Body::Parts(PartStream::none()),
            Body::Events(_) => {}
        }
    }
    response
}

/// Runs a turn, under `If-Match` if the request has it.
pub(crate) async fn turn<A: AppState, T>(
    chat: &ChatSession<A>,
    input: &Input,
    turn: impl FnMut(&mut Draft<'_, A>) -> Result<T, Error>,
) -> Result<T, Refusal> {
    turn_or(chat, input, turn, errors::refusal).await
}

/// The same for a change whose failures are told in words of its own.
pub(crate) async fn turn_or<A: AppState, T>(
    chat: &ChatSession<A>,
    input: &Input,
    turn: impl FnMut(&mut Draft<'_, A>) -> Result<T, Error>,
    refusal: impl FnOnce(&SessionId, &Error) -> Refusal,
) -> Result<T, Refusal> {
    let result = match etag::if_match(&input.headers) {
        etag::Expected::Any => chat.turn(turn).await,
        etag::Expected::OneOf(versions) => {
            let current = chat.snapshot().await.map_err(|e| errors::refusal(chat.id(), &e))?.version();
            if !versions.contains(&current) {
                return Err(etag::mismatch(current));
            }
            chat.turn_if(current, turn).await
        }
    };
    result.map_err(|e| refusal(chat.id(), &e))
}
