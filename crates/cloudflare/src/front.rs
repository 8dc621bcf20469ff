//! The Worker in front of the objects.

use crate::convert;
use durable_session_http::{DEFAULT_PREFIX, Refusal, health, session_of};
use http::Method;
use worker::{Env, Request, Response, console_error};

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
        let id = match session_of(&self.prefix, &path) {
            Ok((id, _)) => id,
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
}

fn is_preflight(request: &Request) -> worker::Result<bool> {
    let options = convert::method(request).is_ok_and(|method| method == Method::OPTIONS);
    Ok(options && request.headers().has("access-control-request-method")?)
}
