//! Whether the service answers at all.

use crate::body::Body;
use crate::refusal::{Refusal, json, push_json_string};
use http::{Method, Response, StatusCode};

/// Answers `GET /health`: `{"status":"ok","service":"…"}`. It touches no session and no store.
pub fn health(method: &Method, service: &str) -> Response<Body> {
    if method != Method::GET && method != Method::HEAD {
        return Refusal::method_not_allowed("GET, HEAD").answer();
    }
    let mut body = String::from("{\"status\":\"ok\",\"service\":");
    push_json_string(&mut body, service);
    body.push('}');
    json(StatusCode::OK, body)
}
