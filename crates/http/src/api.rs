//! The request function.

use crate::body::{Body, PartStream};
use crate::config::ApiBuilder;
use crate::fields::Field;
use crate::input::Input;
use crate::refusal::Refusal;
use crate::routes::{self, Place};
use crate::{errors, etag, events, fields, messages, state};
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
    sessions: ChatSessions<A>,
    prefix: String,
    fields: Vec<Field>,
    max_body_bytes: usize,
    max_streams: usize,
    streams: Arc<AtomicUsize>,
    on_message: Option<OnMessage<A>>,
}

impl<A> Clone for Api<A> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<A> fmt::Debug for Api<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("prefix", &self.inner.prefix)
            .field("fields", &self.inner.fields)
            .finish_non_exhaustive()
    }
}

impl<A: AppState> Api<A> {
    /// Begins to set up the protocol over `sessions`.
    pub fn builder(sessions: ChatSessions<A>) -> ApiBuilder<A> {
        ApiBuilder::new(sessions)
    }

    pub(crate) fn assemble(
        sessions: ChatSessions<A>,
        prefix: String,
        fields: Vec<Field>,
        max_body_bytes: usize,
        max_streams: usize,
        on_message: Option<OnMessage<A>>,
    ) -> Self {
        let streams = Arc::new(AtomicUsize::new(0));
        Self {
            inner: Arc::new(Inner {
                sessions,
                prefix,
                fields,
                max_body_bytes,
                max_streams,
                streams,
                on_message,
            }),
        }
    }

    /// The sessions it serves.
    pub fn sessions(&self) -> &ChatSessions<A> {
        &self.inner.sessions
    }

    /// Where it serves sessions; their ids follow.
    pub fn prefix(&self) -> &str {
        &self.inner.prefix
    }

    /// The most bytes that the body of a request with this method and path may have. A transport should not read more.
    ///
    /// `PUT` of a whole state takes every state that `GET` can give, so its bound follows from the session's
    /// [limits](ChatSessions::limits); for every other request it is
    /// [`max_body_bytes`](ApiBuilder::max_body_bytes). The path is one that [`handle`](Self::handle) or
    /// [`handle_session`](Self::handle_session) takes.
    pub fn body_limit(&self, method: &Method, path: &str) -> usize {
        let rest = routes::session_of(&self.inner.prefix, path).map_or(path, |(_, rest)| rest);
        if *method == Method::PUT && matches!(rest, "" | "/" | "/state") {
            self.inner.max_body_bytes.max(state::max_bytes(self.inner.sessions.limits()))
        } else {
            self.inner.max_body_bytes
        }
    }

    /// Answers a request whose path is `{prefix}/{id}` and what follows. Any other path is 404.
    pub async fn handle(&self, request: Request<Bytes>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        match routes::session_of(&self.inner.prefix, parts.uri.path()) {
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
        let place = Place::find(rest, &self.inner.fields)?;
        let head = *method == Method::HEAD;
        let method = place.method(method)?;
        let chat = self.inner.sessions.session(id);
        match (place, method) {
            (Place::State, Method::GET) => state::get(&chat, input).await,
            (Place::State, Method::PUT) => state::put(&chat, input).await,
            (Place::State, _) => state::delete(&chat, input).await,
            (Place::Reset, _) => state::reset(&chat, input).await,
            (Place::Messages, Method::GET) => messages::get(&chat, input).await,
            (Place::Messages, _) => messages::post(&chat, input, self.inner.on_message.as_ref()).await,
            (Place::Events, _) if head => Ok(events::head()),
            (Place::Events, _) => {
                events::open(&chat, input, &self.inner.streams, self.inner.max_streams).await
            }
            (Place::Field(field), Method::GET) => fields::get(&chat, field).await,
            (Place::Field(field), Method::PUT) => fields::put(&chat, field, input.text()?, input).await,
            (Place::Field(field), _) => fields::put(&chat, field, "null", input).await,
        }
    }
}

/// The answer to `HEAD` is that to `GET` without the body.
fn finish(method: &Method, mut response: Response<Body>) -> Response<Body> {
    if *method == Method::HEAD {
        let nothing = match response.body() {
            Body::Full(bytes) => {
                let length = bytes.len();
                response.headers_mut().insert(CONTENT_LENGTH, length.into());
                Body::Full(Bytes::new())
            }
            // How long it would be is not known.
            Body::Parts(_) | Body::Events(_) => Body::Parts(PartStream::none()),
        };
        *response.body_mut() = nothing;
    }
    response
}

/// Runs a turn, under `If-Match` if the request has it.
pub(crate) async fn turn<A: AppState, T>(
    chat: &ChatSession<A>,
    input: &Input,
    turn: impl FnMut(&mut Draft<'_, A>) -> Result<T, Error>,
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
    result.map_err(|e| errors::refusal(chat.id(), &e))
}
