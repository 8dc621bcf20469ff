//! The protocol in an axum service (feature `axum`).
//!
//! [`router`] gives routes to nest in any app. [`serve`] runs an app with bounds on slow clients and a [`Shutdown`] that
//! finishes what was accepted; `axum::serve` works, too, but waits without an end for slow request heads and for clients
//! that do not read.

mod budget;
mod progress;
#[cfg(feature = "proxy")]
mod proxy;
mod receive;
mod serve;
mod shutdown;
mod streams;

#[cfg(feature = "proxy")]
pub use crate::base::InvalidBase;
pub use budget::ByteBudget;
#[cfg(feature = "proxy")]
pub use proxy::{ProxyOptions, proxy};
pub use serve::{ServeOptions, serve};
pub use shutdown::Shutdown;

use crate::api::Api;
use crate::body::Body;
use crate::refusal::Refusal;
use ::axum::Router;
use ::axum::extract::Request;
use ::axum::response::Response;
use ::axum::routing::any;
use durable_session::AppState;
use futures_util::StreamExt;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// What each part of an answer that is sent in parts is counted for; more only if it has more.
const PART: usize = 256 << 10;
/// An answer of no more bytes is not counted: a connection costs as much.
const UNCOUNTED: usize = 4 << 10;

/// What can be set on a [`router`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RouterOptions {
    /// How long a body may stop coming; then it is 408. Default: 15 seconds.
    pub body_time: Duration,
    /// How many bytes of a body must come per second, on average after the first `body_time`; fewer are 408, too. 0 for any
    /// number. Default: 1024.
    pub body_rate: u32,
    /// How long a request may take once its body is there; then it is 503, and what it changes may or may not be made.
    /// Default: 30 seconds.
    pub request_time: Duration,
    /// How long an event stream may be silent before it gets a [`PING`](crate::PING), so that nothing between takes the
    /// connection for dead, and the client can tell when it is. Default: 15 seconds.
    pub keep_alive: Duration,
    /// How many bytes of bodies and answers may be in memory at a time; what does not fit is 503. Default: 256 MiB.
    pub budget: ByteBudget,
    /// Ends event streams, and waits for changes under way.
    pub shutdown: Shutdown,
}

impl Default for RouterOptions {
    fn default() -> Self {
        Self {
            body_time: Duration::from_secs(15),
            body_rate: 1024,
            request_time: Duration::from_secs(30),
            keep_alive: Duration::from_secs(15),
            budget: ByteBudget::default(),
            shutdown: Shutdown::new(),
        }
    }
}

/// The session routes at the api's prefix. Every other path is left to the app that it is merged into.
///
/// A change runs to its end in a task of its own, also if the client goes away meanwhile.
pub fn router<A: AppState>(api: Api<A>, options: RouterOptions) -> Router {
    let prefix = api.prefix().to_owned();
    under(&prefix, move |request: Request| {
        let (api, options) = (api.clone(), options.clone());
        async move { answer(api, options, request).await }
    })
}

/// A router with one handler for everything at the prefix and under it.
fn under<H: ::axum::handler::Handler<T, ()>, T: 'static>(prefix: &str, handler: H) -> Router {
    Router::new()
        .route(prefix, any(handler.clone()))
        .route(&format!("{prefix}/"), any(handler.clone()))
        .route(&format!("{prefix}/{{*rest}}"), any(handler))
}

async fn answer<A: AppState>(api: Api<A>, options: RouterOptions, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let max_bytes = api.body_limit(&parts.method, parts.uri.path());
    let body = match receive::whole(&parts.headers, body, max_bytes, &options).await {
        Ok(received) => received,
        Err(refusal) => return refused(refusal),
    };
    let reads = parts.method == Method::GET || parts.method == Method::HEAD;
    let request = http::Request::from_parts(parts, body.bytes);
    let work = async move {
        let _share = body.share;
        api.handle(request).await
    };
    let answered = if reads {
        tokio::time::timeout(options.request_time, work).await.map(Ok)
    } else {
        tokio::time::timeout(options.request_time, options.shutdown.track(work)).await
    };
    match answered {
        Ok(Ok(response)) => carry(response, &options, reads).unwrap_or_else(refused),
        Ok(Err(_)) => {
            // The panic's own message went to stderr; it may hold what a user wrote.
            tracing::error!("a request panicked");
            refused(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the request failed"))
        }
        Err(_) => refused(Refusal::unavailable(
            "this takes too long; it may or may not be stored. A message that is sent again with the same id is stored once only if the first one is still among the session's last messages (so many, and so many bytes)",
        )),
    }
}

/// The response as axum carries it. One that only reads is refused if there are too many bytes under way already; a change
/// was made, and its answer says so.
fn carry(response: http::Response<Body>, options: &RouterOptions, reads: bool) -> Result<Response, Refusal> {
    let (mut parts, body) = response.into_parts();
    let share = |bytes| {
        let mut share = options.budget.share();
        if reads {
            share.grow(bytes)?;
        } else {
            share.force(bytes);
        }
        Ok(share)
    };
    let body = match body {
        Body::Full(bytes) if bytes.len() <= UNCOUNTED => ::axum::body::Body::from(bytes),
        Body::Full(bytes) => ::axum::body::Body::from(share(bytes.len())?.of(bytes)),
        Body::Parts(parts) => {
            let (share, budget) = (Arc::new(share(PART)?), options.budget.clone());
            let parts = parts.map(move |part| {
                part.map(|part| {
                    let mut more = budget.share();
                    more.force(part.len().saturating_sub(PART));
                    budget::held(part, (Arc::clone(&share), more))
                })
            });
            ::axum::body::Body::from_stream(streams::in_time(parts, options.request_time))
        }
        Body::Events(events) => {
            // nginx would gather events until its buffer is full.
            parts
                .headers
                .insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
            let events = streams::pinged(events.map(Ok::<_, Infallible>), options.keep_alive);
            ::axum::body::Body::from_stream(streams::until(options.shutdown.clone(), events))
        }
    };
    Ok(Response::from_parts(parts, body))
}

/// A refusal as axum carries it.
fn refused(refusal: Refusal) -> Response {
    refusal.answer().map(::axum::body::Body::new)
}

impl ::axum::response::IntoResponse for Refusal {
    fn into_response(self) -> Response {
        refused(self)
    }
}
