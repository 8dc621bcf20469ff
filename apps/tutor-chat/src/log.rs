//! A log line for each request, without message texts and session ids. A session id gives access to
//! its session.

use crate::metrics::{Metrics, Route};
use crate::page;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use durable_session_http::{DEFAULT_PREFIX, session_of};
use http::HeaderValue;
use std::sync::Arc;
use std::time::Instant;
use tower_http::request_id::{MakeRequestId, RequestId};
use tracing::Instrument as _;

/// Makes random request ids.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RandomRequestId;

impl MakeRequestId for RandomRequestId {
    fn make_request_id<B>(&mut self, _: &http::Request<B>) -> Option<RequestId> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).ok()?;
        let text = format!("{:016x}", u64::from_be_bytes(bytes));
        HeaderValue::from_str(&text).ok().map(RequestId::new)
    }
}

pub(crate) async fn log(
    State(metrics): State<Arc<Metrics>>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let id = request.extensions().get::<RequestId>().and_then(|id| id.header_value().to_str().ok());
    let (method, path) = (request.method(), shown(request.uri().path()));
    let route = Route::of(request.uri().path());
    let span = tracing::info_span!("request", id, %method, path);
    async move {
        let response = next.run(request).await;
        let status = response.status().as_u16();
        metrics.answered(route, status, started.elapsed());
        tracing::info!(
            status,
            ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "answered"
        );
        metrics.streaming(response)
    }
    .instrument(span)
    .await
}

/// The path with the session's fingerprint in the place of its id. Only this service's paths are
/// shown: others may contain an id, for example behind a proxy that adds a prefix.
fn shown(path: &str) -> String {
    if !path.starts_with(DEFAULT_PREFIX) {
        let own = ["/health", "/readyz", "/metrics", "/openapi.json"];
        let known = own.contains(&path) || page::has(path);
        return if known { path.to_owned() } else { "…".to_owned() };
    }
    let Ok((id, rest)) = session_of(DEFAULT_PREFIX, path) else {
        return format!("{DEFAULT_PREFIX}/?");
    };
    let session = id.fingerprint();
    let known = rest.len() <= 32
        && rest.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b'/' | b'-'));
    format!("{DEFAULT_PREFIX}/{session}{}", if known { rest } else { "/…" })
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_path_is_shown_without_the_session_id() {
        for own in ["/", "/app.js", "/health", "/openapi.json"] {
            assert_eq!(shown(own), own);
        }
        let path = shown("/api/chat/session/session-1-secret/messages");
        assert!(path.ends_with("/messages") && !path.contains("secret"), "{path}");
        for odd in [
            "/api/chat/session/a%2Fsecret",
            "/api/chat/session/x/secret%0A",
            "/v1/api/chat/session/session-1-secret",
            "/session-1-secret",
        ] {
            assert!(!shown(odd).contains("secret"), "{odd}");
        }
    }
}
