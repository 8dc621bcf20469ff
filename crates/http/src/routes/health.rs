//! The health check.

use crate::wire::body::Body;
use crate::wire::refusal::Refusal;
use crate::wire::response::{json, push_json_string};
use http::{Method, Response, StatusCode};

/// The response to `GET /health`: `{"status":"ok","service":"…"}`. Uses no session and no store.
///
/// ```
/// let response = durable_session_http::health(&http::Method::GET, "tutor-chat");
/// assert_eq!(response.status(), 200);
/// ```
pub fn health(method: &Method, service: &str) -> Response<Body> {
    if method != Method::GET && method != Method::HEAD {
        return Refusal::method_not_allowed("GET, HEAD").response();
    }
    let mut body = String::from("{\"status\":\"ok\",\"service\":");
    push_json_string(&mut body, service);
    body.push('}');
    json(StatusCode::OK, body)
}
