//! Refused requests. The response is always a status and `{"error":"…"}`.

use crate::wire::body::Body;
use crate::wire::response::{json, push_json_string};
use http::header::{ALLOW, ETAG, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use std::fmt;

/// The refusal of a request: a status, and a reason for the client.
///
/// An app refuses with it, too: inside [`Error::rejected`](durable_session::Error::rejected), in a
/// [turn](durable_session::ChatSession::turn) or in [`on_message`](crate::ApiBuilder::on_message),
/// it becomes the response.
///
/// ```
/// use durable_session::Error;
/// use durable_session_http::Refusal;
/// use http::StatusCode;
///
/// let refusal = Refusal::new(StatusCode::CONFLICT, "already booked");
/// assert_eq!(refusal.to_string(), "409: already booked");
/// let error = Error::rejected(refusal);
/// # let _ = error;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    reason: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    /// A refusal with this status and reason. The client receives the reason verbatim.
    pub fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), headers: Vec::new() }
    }

    /// 404: there is nothing at this path.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is nothing at this path")
    }

    /// 405: the path does not support this method; `allow` is a list such as `GET, PUT`.
    pub fn method_not_allowed(allow: &str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, format!("this path takes {allow}"))
            .with(ALLOW, allow)
    }

    /// 413: the body has more than `limit` bytes.
    pub fn body_too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("body is too large; the limit is {limit} bytes"),
        )
    }

    /// 429: too many requests from this client, which may try again after `seconds`.
    pub fn too_many_requests(seconds: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too many requests, slow down")
            .retry_after(seconds)
    }

    /// 503: the request failed for now; the client may try again after a second.
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, reason).retry_after(1)
    }

    /// Asks the client to try again after `seconds` (`Retry-After`).
    ///
    /// ```
    /// use durable_session_http::Refusal;
    ///
    /// let response = Refusal::unavailable("the model is busy").retry_after(5).response();
    /// assert_eq!(response.headers()["retry-after"], "5");
    /// ```
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

    /// The reason that the client receives.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The response: the status and `{"error":"…"}`.
    pub fn response(self) -> Response<Body> {
        let mut body = String::from("{\"error\":");
        push_json_string(&mut body, &self.reason);
        body.push('}');
        let mut response = json(self.status, body);
        response.headers_mut().extend(self.headers);
        response
    }

    fn with(mut self, name: HeaderName, value: &str) -> Self {
        // Our own values are ASCII. A caller's `allow` that is not is left out, rather than break
        // the response.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.retain(|(other, _)| *other != name);
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
