//! The request function.

use crate::client_permissions::ClientPermissions;
use crate::config::Config;
use crate::conversations::{Caller, Conversations};
use crate::routes::conversations::{self as beside, Beside};
use crate::routes::route::{Route, session_of};
use crate::routes::{events, fields, messages, replies as reply_routes, rewriting, state};
#[cfg(feature = "ai-sdk")]
use crate::ui::{self, ChatRoute};
use crate::wire::body::{Body, PartStream};
use crate::wire::errors;
use crate::wire::input::Input;
use crate::wire::refusal::Refusal;
use bytes::Bytes;
use durable_session::{AppState, ChatSession, ChatSessions, JsonObject, SessionId};
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{Method, Request, Response};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// The session protocol over a [`ChatSessions`]. Cheap to clone.
///
/// Dropping a request's future is safe: the change is then made completely or not at all. If it had
/// opened a reply, the reply may be interrupted then.
pub struct Api<A = JsonObject> {
    inner: Arc<Inner<A>>,
}

struct Inner<A> {
    config: Config<A>,
    /// How many event streams are open.
    streams: Arc<AtomicUsize>,
}

impl<A> From<Config<A>> for Api<A> {
    fn from(config: Config<A>) -> Self {
        Self { inner: Arc::new(Inner { config, streams: Arc::default() }) }
    }
}

impl<A> Clone for Api<A> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<A> fmt::Debug for Api<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("prefix", &self.inner.config.prefix)
            .field("fields", &self.inner.config.fields)
            .finish_non_exhaustive()
    }
}

impl<A: AppState> Api<A> {
    /// The sessions that the routes read and change.
    pub fn sessions(&self) -> &ChatSessions<A> {
        &self.inner.config.sessions
    }

    /// The path in front of session ids; see [`ApiBuilder::prefix`](crate::ApiBuilder::prefix).
    pub fn prefix(&self) -> &str {
        &self.inner.config.prefix
    }

    /// Where the routes for the conversations of a person are; see
    /// [`ApiBuilder::conversations`](crate::ApiBuilder::conversations).
    pub fn conversations_base(&self) -> Option<&str> {
        self.inner.config.conversations.as_ref().map(|conversations| &*conversations.base)
    }

    /// Where the routes of `useChat` are; see `ApiBuilder::use_chat` (feature `ai-sdk`).
    pub fn chat_base(&self) -> Option<&str> {
        #[cfg(feature = "ai-sdk")]
        return self.inner.config.chat_base.as_deref();
        #[cfg(not(feature = "ai-sdk"))]
        None
    }

    /// The largest body, in bytes, of a request with this method and path. A transport should read
    /// no more.
    ///
    /// `PUT` of a whole state accepts every state that `GET` can return (without its messages if
    /// clients [may not](crate::ApiBuilder::client_permissions) replace them), so its limit follows
    /// from the session's [limits](ChatSessions::limits). For every other request the limit is
    /// [`max_body_bytes`](crate::ApiBuilder::max_body_bytes). Accepts the paths of
    /// [`handle`](Self::handle) and those of [`handle_session`](Self::handle_session).
    ///
    /// ```
    /// # use durable_session_http::Api;
    /// # use http::Method;
    /// # fn example(api: Api) {
    /// assert_eq!(api.body_limit(&Method::POST, "/api/chat/session/s-1/messages"), 4 << 20);
    /// assert!(api.body_limit(&Method::PUT, "/api/chat/session/s-1") > 4 << 20);
    /// # }
    /// ```
    pub fn body_limit(&self, method: &Method, path: &str) -> usize {
        // A client of `useChat` sends all messages that it has.
        if *method == Method::POST && self.chat_base() == Some(path) {
            let Config { sessions, max_body_bytes, .. } = &self.inner.config;
            let everything = ClientPermissions::everything();
            return state::max_bytes(sessions.limits(), &everything).max(*max_body_bytes);
        }
        // Only `PUT` needs the path parsed.
        if *method != Method::PUT {
            return self.inner.config.max_body_bytes;
        }
        let rest = session_of(self.prefix(), path).map_or(path, |(_, rest)| rest);
        self.body_limit_at(method, rest)
    }

    /// [`body_limit`](Self::body_limit) for the rest of a path after the session id.
    fn body_limit_at(&self, method: &Method, rest: &str) -> usize {
        let Config { sessions, max_body_bytes, client_permissions, .. } = &self.inner.config;
        if *method == Method::PUT && matches!(rest, "" | "/" | "/state") {
            state::max_bytes(sessions.limits(), client_permissions).max(*max_body_bytes)
        } else {
            *max_body_bytes
        }
    }

    /// Answers a request whose path is `{prefix}/{id}` or below it. Any other path is 404.
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use durable_session_http::Api;
    /// # async fn example(api: Api) {
    /// let message = Bytes::from(r#"{"role":"user","content":"hello"}"#);
    /// let request = http::Request::post("/api/chat/session/s-1/messages").body(message).unwrap();
    /// let response = api.handle(request).await;
    /// assert_eq!(response.status(), 200);
    /// # }
    /// ```
    pub async fn handle(&self, request: Request<Bytes>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        #[cfg(feature = "ai-sdk")]
        if let Some(route) = self.chat_route(parts.uri.path()) {
            return self.respond_to_chat(route, &parts, body).await;
        }
        if let Some(conversations) = &self.inner.config.conversations
            && let Some(route) = Beside::find(&conversations.base, parts.uri.path())
        {
            return self.respond_beside(route, conversations, &parts, body).await;
        }
        match session_of(self.prefix(), parts.uri.path()) {
            Ok((id, rest)) => self.respond(id, rest, &parts, body).await,
            Err(refusal) => finish(&parts.method, refusal.response()),
        }
    }

    async fn respond_beside(
        &self,
        route: Beside<'_>,
        conversations: &Conversations,
        parts: &Parts,
        body: Bytes,
    ) -> Response<Body> {
        let input = Input::new(parts, body, self.inner.config.max_body_bytes);
        let sessions = &self.inner.config.sessions;
        let response =
            beside::respond_to(route, &parts.method, sessions, conversations, &input).await;
        finish(&parts.method, response.unwrap_or_else(Refusal::response))
    }

    #[cfg(feature = "ai-sdk")]
    fn chat_route(&self, path: &str) -> Option<Result<ChatRoute, Refusal>> {
        ChatRoute::find(self.chat_base()?, self.prefix(), path)
    }

    #[cfg(feature = "ai-sdk")]
    async fn respond_to_chat(
        &self,
        route: Result<ChatRoute, Refusal>,
        parts: &Parts,
        body: Bytes,
    ) -> Response<Body> {
        let input = Input::new(parts, body, self.body_limit(&parts.method, parts.uri.path()));
        let (config, streams) = (&self.inner.config, &self.inner.streams);
        let response = match route {
            Ok(route) => ui::respond_to(route, &parts.method, config, streams, &input).await,
            Err(refusal) => Err(refusal),
        };
        finish(&parts.method, response.unwrap_or_else(Refusal::response))
    }

    /// Answers a request on the session `id` whose path has no prefix and no id: `/messages`,
    /// `/booking-info`, and `/` or `/state` for the state itself. For callers that know the id
    /// already, such as a Durable Object.
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use durable_session::SessionId;
    /// # use durable_session_http::Api;
    /// # async fn example(api: Api, id: SessionId) {
    /// let request = http::Request::get("/messages").body(Bytes::new()).unwrap();
    /// let response = api.handle_session(id, request).await;
    /// assert_eq!(response.status(), 200);
    /// # }
    /// ```
    pub async fn handle_session(&self, id: SessionId, request: Request<Bytes>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let rest = match parts.uri.path() {
            "/state" => "/",
            rest => rest,
        };
        self.respond(id, rest, &parts, body).await
    }

    async fn respond(
        &self,
        id: SessionId,
        rest: &str,
        parts: &Parts,
        body: Bytes,
    ) -> Response<Body> {
        let input = Input::new(parts, body, self.body_limit_at(&parts.method, rest));
        let response = self.dispatch(id, rest, &parts.method, &input).await;
        finish(&parts.method, response.unwrap_or_else(Refusal::response))
    }

    async fn dispatch(
        &self,
        id: SessionId,
        rest: &str,
        method: &Method,
        input: &Input,
    ) -> Result<Response<Body>, Refusal> {
        let Config {
            sessions, fields, client_permissions, on_message, replies, max_streams, ..
        } = &self.inner.config;
        let caller = self.inner.config.caller(&input.headers)?;
        let route = Route::find(rest, fields, client_permissions, caller.is_some())?;
        let head = *method == Method::HEAD;
        let method = route.method(method)?;
        let chat = chat_for(sessions, id, caller.as_ref(), method == Method::GET).await?;
        match (route, method) {
            (Route::State, Method::GET) => state::get(&chat, input).await,
            (Route::State, Method::PUT) => state::put(&chat, input, client_permissions).await,
            (Route::State, _) => state::delete(&chat, input).await,
            (Route::Reset, _) => state::reset(&chat, input).await,
            (Route::Messages, Method::GET) => messages::get(&chat, input).await,
            (Route::Messages, _) => {
                messages::post(&chat, input, client_permissions, on_message.as_ref(), replies).await
            }
            (Route::Message(seq), Method::PUT) => {
                rewriting::put(&chat, seq, input, client_permissions).await
            }
            (Route::Message(seq), _) => rewriting::delete(&chat, seq, input).await,
            (Route::Rewind, _) => rewriting::rewind(&chat, input).await,
            (Route::Stop(seq), _) => reply_routes::stop(&chat, seq, input).await,
            (Route::Labels, _) => {
                beside::label(&chat, input, caller.as_ref().unwrap_or(&Caller::Service)).await
            }
            (Route::Fork, _) => beside::fork(&chat, input).await,
            (Route::Events, _) if head => Ok(events::head()),
            (Route::Events, _) => {
                events::open(&chat, input, &self.inner.streams, *max_streams).await
            }
            (Route::Field(field), Method::GET) => fields::get(&chat, field).await,
            (Route::Field(field), Method::PUT) => {
                fields::put(&chat, field, input.text()?, input).await
            }
            (Route::Field(field), _) => fields::put(&chat, field, "null", input).await,
        }
    }
}

/// The session for a request of this caller. To an owner, somebody else's reads as one that does
/// not exist, and cannot be changed.
pub(crate) async fn chat_for<A: AppState>(
    sessions: &ChatSessions<A>,
    id: SessionId,
    caller: Option<&Caller>,
    reads: bool,
) -> Result<ChatSession<A>, Refusal> {
    let chat = sessions.session(id);
    let Some((caller, name)) = caller.and_then(|caller| Some((caller, caller.name()?))) else {
        return Ok(chat);
    };
    if matches!(caller, Caller::Guest(_)) {
        return Ok(chat.owned_by(name));
    }
    let labels = chat.labels().await.map_err(|e| errors::refusal(chat.id(), &e))?;
    match labels.get_owner().map_or(Ok(()), |owner| caller.check(owner)) {
        Ok(()) => Ok(chat.owned_by(name)),
        Err(_) if reads => Ok(sessions.unseen(chat.id().clone())),
        Err(refusal) => Err(refusal),
    }
}

/// Empties the body of a response to `HEAD`, which otherwise is that to `GET`. A stream has no
/// length; `Body::Events` of a `HEAD` is empty already.
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
