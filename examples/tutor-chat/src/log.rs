//! A line for each request. Never a message, and never a session's id: whoever has the id has the session.

use crate::metrics::Metrics;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use durable_session_http::{DEFAULT_PREFIX, session_of};
use http::HeaderValue;
use std::sync::Arc;
use std::time::Instant;
use tower_http::request_id::{MakeRequestId, RequestId};
use tracing::Instrument as _;

/// Numbers requests by chance.
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

pub(crate) async fn log(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request.extensions().get::<RequestId>().and_then(|id| id.header_value().to_str().ok());
    let span =
        tracing::info_span!("request", id, method = %request.method(), path = shown(request.uri().path()));
    async move {
        let response = next.run(request).await;
        let status = response.status().as_u16();
        metrics.answered(status);
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

/// The path with a fingerprint in the place of the session's id; what is not ours is not repeated.
fn shown(path: &str) -> String {
    if !path.starts_with(DEFAULT_PREFIX) {
        let plain = path.len() <= 64 && path.bytes().all(|b| b.is_ascii_graphic());
        return if plain { path.to_owned() } else { "…".to_owned() };
    }
    let Ok((id, rest)) = session_of(DEFAULT_PREFIX, path) else { return format!("{DEFAULT_PREFIX}/?") };
    let session = id.fingerprint();
    let known = rest.len() <= 32 && rest.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b'/' | b'-'));
    format!("{DEFAULT_PREFIX}/{session}{}", if known { rest } else { "/…" })
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_path_is_shown_without_the_session_id() {
        assert_eq!(shown("/health"), "/health");
        let path = shown("/api/chat/session/session-1-secret/messages");
        assert!(path.ends_with("/messages") && !path.contains("secret"), "{path}");
        for odd in ["/api/chat/session/a%2Fsecret", "/api/chat/session/x/secret%0A"] {
            assert!(!shown(odd).contains("secret"), "{odd}");
        }
    }
}
