//! The Worker in front of the objects.

use crate::convert;
use durable_session::SessionId;
use durable_session_http::{DEFAULT_PREFIX, Refusal, health, session_of};
use http::Method;
use worker::{Env, Request, Response, console_error};
#[cfg(feature = "ai-sdk")]
use {durable_session_http::session_of_chat, js_sys::Uint8Array, worker::RequestInit};

const ALLOWED_METHODS: &str = "GET, HEAD, PUT, POST, DELETE";
const ALLOWED_HEADERS: &str =
    "content-type, if-match, if-none-match, idempotency-key, last-event-id";
const EXPOSED_HEADERS: &str = "etag, retry-after, allow";

/// The Worker in front of the objects: passes each request to the object of the session in its
/// path, and answers `/health` and CORS preflights itself.
///
/// ```no_run
/// use durable_session_cloudflare::ChatWorker;
/// use worker::{Context, Env, Request, Response, Result, event};
///
/// #[event(fetch)]
/// async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
///     ChatWorker::new("CHAT_SESSION").service("tutor-chat").fetch(request, &env).await
/// }
/// # fn main() {} // the macro works in a module, not in a function
/// ```
#[derive(Debug, Clone)]
pub struct ChatWorker {
    binding: String,
    service: String,
    prefix: String,
    #[cfg(feature = "ai-sdk")]
    chat_base: Option<String>,
    origins: Vec<String>,
    any_origin: bool,
}

impl ChatWorker {
    /// A Worker in front of the objects of this Durable Object binding.
    pub fn new(binding: impl Into<String>) -> Self {
        Self {
            binding: binding.into(),
            service: "chat-session".to_owned(),
            prefix: DEFAULT_PREFIX.to_owned(),
            #[cfg(feature = "ai-sdk")]
            chat_base: None,
            origins: Vec::new(),
            any_origin: false,
        }
    }

    /// Sets the service name in the answer to `GET /health`; the default is `chat-session`.
    pub fn service(mut self, name: impl Into<String>) -> Self {
        self.service = name.into();
        self
    }

    /// Sets the path prefix of the session routes; the default is [`DEFAULT_PREFIX`]. Give the
    /// objects the same prefix.
    ///
    /// ```
    /// use durable_session_cloudflare::ChatWorker;
    ///
    /// let worker = ChatWorker::new("CHAT_SESSION").prefix("/chat");
    /// # let _ = worker;
    /// ```
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Serves the routes of the AI SDK's `useChat` at this path. `POST` to it has the chat's id in
    /// its body, which is read for it. Turn the routes on in the objects, too, with
    /// [`ApiBuilder::use_chat`](durable_session_http::ApiBuilder::use_chat).
    ///
    /// ```
    /// use durable_session_cloudflare::ChatWorker;
    ///
    /// let worker = ChatWorker::new("CHAT_SESSION").use_chat("/api/chat");
    /// # let _ = worker;
    /// ```
    #[cfg(feature = "ai-sdk")]
    #[cfg_attr(docsrs, doc(cfg(feature = "ai-sdk")))]
    pub fn use_chat(mut self, base: impl Into<String>) -> Self {
        self.chat_base = Some(base.into());
        self
    }

    /// Lets pages of this origin, such as `https://app.example.com`, use the service (CORS). By
    /// default only pages of its own origin can.
    ///
    /// ```
    /// use durable_session_cloudflare::ChatWorker;
    ///
    /// let worker = ChatWorker::new("CHAT_SESSION").allow_origin("https://app.example.com");
    /// # let _ = worker;
    /// ```
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// Lets pages of any origin use the service. Only its id protects a session, so this adds no
    /// risk by itself.
    ///
    /// ```
    /// use durable_session_cloudflare::ChatWorker;
    ///
    /// let worker = ChatWorker::new("CHAT_SESSION").allow_any_origin();
    /// # let _ = worker;
    /// ```
    pub fn allow_any_origin(mut self) -> Self {
        self.any_origin = true;
        self
    }

    /// Answers a request.
    ///
    /// # Errors
    /// The binding does not exist, or the platform could not make the response.
    pub async fn fetch(&self, request: Request, env: &Env) -> worker::Result<Response> {
        let Some(origin) = self.allowed_origin(&request)? else {
            return self.answer(request, env).await;
        };
        let response = if is_preflight(&request)? {
            let headers = worker::Headers::new();
            headers.set("access-control-allow-methods", ALLOWED_METHODS)?;
            headers.set("access-control-allow-headers", ALLOWED_HEADERS)?;
            headers.set("access-control-max-age", "86400")?;
            Response::builder().with_status(204).with_headers(headers).empty()
        } else {
            self.answer(request, env).await?
        };
        // An object's answer comes with headers that cannot be changed.
        let headers = worker::Headers::new();
        for (name, value) in response.headers().entries() {
            headers.append(&name, &value)?;
        }
        headers.set("access-control-allow-origin", &origin)?;
        headers.set("access-control-expose-headers", EXPOSED_HEADERS)?;
        headers.append("vary", "origin")?;
        Ok(response.with_headers(headers))
    }

    /// The request's `Origin`, if it is allowed.
    fn allowed_origin(&self, request: &Request) -> worker::Result<Option<String>> {
        let origin = request.headers().get("origin")?;
        Ok(origin.filter(|origin| self.any_origin || self.origins.contains(origin)))
    }

    async fn answer(&self, request: Request, env: &Env) -> worker::Result<Response> {
        let method = match convert::method(&request) {
            Ok(method) => method,
            Err(refusal) => return convert::whole(refusal.response()),
        };
        let path = request.path();
        if path == "/health" {
            return convert::whole(health(&method, &self.service));
        }
        #[cfg(feature = "ai-sdk")]
        let found = self.of_any(request, &path).await?;
        #[cfg(not(feature = "ai-sdk"))]
        let found = self.of_session(request, &path);
        let (id, request) = match found {
            Ok(found) => found,
            Err(refusal) => return convert::whole(refusal.response()),
        };
        let object = env.durable_object(&self.binding)?.id_from_name(id.as_str())?.get_stub()?;
        match object.fetch_with_request(request).await {
            Ok(response) => Ok(response),
            Err(e) => {
                console_error!("the object of a session did not answer: {e}");
                // 503: reads, and messages with an id, can be sent again.
                let refusal = Refusal::unavailable(
                    "the session did not answer; it may or may not have been changed",
                );
                convert::whole(refusal.response())
            }
        }
    }

    /// The session of a request on the session routes, and the request for its object.
    fn of_session(&self, request: Request, path: &str) -> Result<(SessionId, Request), Refusal> {
        session_of(&self.prefix, path).map(|(id, _)| (id, request))
    }

    /// The same for a request that may be one of `useChat`.
    #[cfg(feature = "ai-sdk")]
    async fn of_any(
        &self,
        request: Request,
        path: &str,
    ) -> worker::Result<Result<(SessionId, Request), Refusal>> {
        if let Some(base) = &self.chat_base {
            if path == base {
                return self.of_submission(base, request).await;
            }
            let head = match convert::head(&request) {
                Ok(head) => head,
                Err(refusal) => return Ok(Err(refusal)),
            };
            if let Some(id) = session_of_chat(base, &self.prefix, &head) {
                return Ok(id.map(|id| (id, request)));
            }
        }
        Ok(self.of_session(request, path))
    }

    /// The same for a request with the id in its body, which has to be made anew.
    #[cfg(feature = "ai-sdk")]
    async fn of_submission(
        &self,
        base: &str,
        request: Request,
    ) -> worker::Result<Result<(SessionId, Request), Refusal>> {
        // As a text: to parse it would take tables of Unicode.
        let url = request.inner().url();
        let mut init = RequestInit::new();
        init.with_method(request.method()).with_headers(request.headers().clone());
        // The object knows its own limit, which is lower.
        let request = match convert::request(request, |_, _| usize::MAX).await {
            Ok(request) => request,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let id = match session_of_chat(base, &self.prefix, &request) {
            Some(Ok(id)) => id,
            Some(Err(refusal)) => return Ok(Err(refusal)),
            None => return Ok(Err(Refusal::not_found())),
        };
        init.with_body(Some(Uint8Array::from(&**request.body()).into()));
        Ok(Ok((id, Request::new_with_init(&url, &init)?)))
    }
}

fn is_preflight(request: &Request) -> worker::Result<bool> {
    let options = convert::method(request).is_ok_and(|method| method == Method::OPTIONS);
    Ok(options && request.headers().has("access-control-request-method")?)
}
