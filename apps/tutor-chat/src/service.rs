//! The app: the routes, and the layers around them.

use crate::access::{self, Access};
use crate::args::Args;
use crate::backend::{Backend, GUEST_HEADER, Stores};
use crate::limit::{Limit, limit};
use crate::log::{RandomRequestId, log};
use crate::metrics::{self, Metrics};
use crate::page;
use anyhow::Context;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Router, middleware};
use durable_session_http::{OPENAPI, Refusal, health};
use http::header::{CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, RETRY_AFTER};
use http::{HeaderName, Method, StatusCode};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::request_id::{PropagateRequestIdLayer, SetRequestIdLayer};

/// How long the store may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(2);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(crate) fn app(args: &Args, backend: &Backend) -> anyhow::Result<Router> {
    let metrics = Arc::new(Metrics::new(backend.sessions.clone(), backend.stores.clone()));
    let mut routes = backend.routes.clone();
    if let Some(secret) = &args.access_secret {
        anyhow::ensure!(
            args.cors_origin.is_empty(),
            "--access-secret and --cors-origin exclude each other: a page of another origin does \
             not send the session's cookie. Serve the page from this program, or give both one \
             origin with a proxy in front, and leave --cors-origin out"
        );
        let sessions = backend
            .sessions
            .clone()
            .context("--access-secret has no effect on a Worker; use redb:PATH or memory")?;
        let access = Access::open(secret, sessions)?;
        routes = routes.layer(middleware::from_fn_with_state(access, access::check));
    }
    if let Some(rate) = NonZeroU32::new(args.rate) {
        let state = Limit::new(rate, args.client_header.clone());
        routes = routes.layer(middleware::from_fn_with_state(state, limit));
    }
    if !args.cors_origin.is_empty() {
        routes = routes.layer(cors(args));
    }
    let app = routes
        .merge(page::routes())
        .route(
            "/health",
            any(|method: Method| async move { health(&method, "tutor-chat").into_response() }),
        )
        .route("/readyz", any(ready).with_state(backend.stores.clone()))
        .route("/openapi.json", any(openapi))
        .route("/metrics", any(metrics_text).with_state(Arc::clone(&metrics)))
        .fallback(|| async { Refusal::not_found().into_response() })
        .layer(CompressionLayer::new())
        .layer(CatchPanicLayer::custom(|_| {
            // The panic's message is on stderr; it may contain a user's words.
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the request failed").into_response()
        }))
        .layer(middleware::from_fn_with_state(metrics, log))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(SetRequestIdLayer::new(REQUEST_ID, RandomRequestId));
    Ok(app)
}

async fn openapi(method: Method) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return Refusal::method_not_allowed("GET, HEAD").into_response();
    }
    ([(CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

fn cors(args: &Args) -> CorsLayer {
    let header = HeaderName::from_static;
    CorsLayer::new()
        .allow_origin(args.cors_origin.clone())
        .allow_methods([Method::GET, Method::PUT, Method::POST, Method::DELETE])
        .allow_headers([
            CONTENT_TYPE,
            IF_MATCH,
            IF_NONE_MATCH,
            header("idempotency-key"),
            header(GUEST_HEADER),
            header("last-event-id"),
        ])
        .expose_headers([ETAG, RETRY_AFTER, REQUEST_ID])
}

/// The file's size and the room on its disk are asked of the system, which may take a while.
async fn metrics_text(State(metrics): State<Arc<Metrics>>, method: Method) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return Refusal::method_not_allowed("GET, HEAD").into_response();
    }
    match tokio::task::spawn_blocking(move || metrics.text()).await {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT)], text).into_response(),
        Err(_) => {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the request failed").into_response()
        }
    }
}

/// Whether the store answers, so that requests can be sent here.
async fn ready(State(stores): State<Stores>, method: Method) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return Refusal::method_not_allowed("GET, HEAD").into_response();
    }
    match tokio::time::timeout(READY_WITHIN, stores.ask()).await {
        Ok(Ok(())) => {
            ([(CONTENT_TYPE, "application/json")], r#"{"status":"ready"}"#).into_response()
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "the store is not ready");
            Refusal::unavailable("the store does not answer now").into_response()
        }
        Err(_) => Refusal::unavailable("the store takes too long").into_response(),
    }
}
