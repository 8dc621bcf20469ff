//! Requests that are refused: always a status and `{"error":"…"}`.

use crate::body::Body;
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use std::fmt;

/// A request that was refused: a status and a reason that the client is told.
///
/// An app's own rules refuse with it, too: `Error::rejected(Refusal::new(StatusCode::CONFLICT, "already booked"))` in a
/// [turn](durable_session::ChatSession::turn) or in [`on_message`](crate::ApiBuilder::on_message) becomes that answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    reason: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    /// A refusal with this status and reason. The reason goes to the client as it is.
    pub fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), headers: Vec::new() }
    }

    /// There is nothing at this path.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is nothing at this path")
    }

    /// This path is not used with this method; `allow` is a list such as `GET, PUT`.
    pub fn method_not_allowed(allow: &str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, format!("this path takes {allow}")).with(ALLOW, allow)
    }

    /// The body has more bytes than are taken.
    pub fn body_too_large(limit: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, format!("body is too large; the limit is {limit} bytes"))
    }

    /// Too many requests from this client; it may come back after so many seconds.
    pub fn too_many_requests(seconds: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too many requests, slow down").retry_after(seconds)
    }

    /// It did not work now, nothing says that it will not later.
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, reason).retry_after(1)
    }

    /// Tells the client to come back after so many seconds.
    pub fn retry_after(self, seconds: u64) -> Self {
        self.with(RETRY_AFTER, &seconds.to_string())
    }

    pub(crate) fn bad_request(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }

    pub(crate) fn etag(self, tag: &str) -> Self {
        self.with(ETAG, tag)
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The reason, as the client is told.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The answer.
    pub fn answer(self) -> Response<Body> {
        let mut body = String::from("{\"error\":");
        push_json_string(&mut body, &self.reason);
        body.push('}');
        let mut response = json(self.status, body);
        response.headers_mut().extend(self.headers);
        response
    }

    fn with(mut self, name: HeaderName, value: &str) -> Self {
        // What is given here is our own ASCII; anything else would be left out rather than break the answer.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status.as_u16(), self.reason)
    }
}

impl std::error::Error for Refusal {}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    respond(status, Some("application/json"), Body::Full(body.into()))
}

/// Any answer: never stored by a cache, never taken for another type than it says.
pub(crate) fn respond(status: StatusCode, content_type: Option<&'static str>, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(content_type) = content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    response
}

/// `{"success":true}`.
pub(crate) fn success() -> Response<Body> {
    json(StatusCode::OK, "{\"success\":true}")
}

pub(crate) fn push_json_string(json: &mut String, text: &str) {
    // Writing a string into memory cannot fail.
    json.push_str(&serde_json::to_string(text).unwrap_or_default());
}
