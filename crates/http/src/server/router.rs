//! The session routes as an axum router.

use super::budget::{self, ByteBudget};
use super::options::RouterOptions;
use super::{receive, streams};
use crate::api::Api;
use crate::wire::body::Body;
use crate::wire::refusal::Refusal;
use ::axum::Router;
use ::axum::extract::Request;
use ::axum::response::Response;
use ::axum::routing::any;
use bytes::Bytes;
use durable_session::AppState;
use futures_util::StreamExt;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;

/// The share of the budget for each part of a response that is sent in parts. A larger part takes
/// more.
const PART: usize = 256 << 10;
/// Responses up to this size are not counted: their connection costs as much.
const UNCOUNTED: usize = 4 << 10;

/// The session routes at the prefix of `api`, and those of `useChat` if it serves them. Other paths
/// belong to the app that merges the router.
///
/// A change runs to its end in a task of its own, even if the client disconnects meanwhile.
///
/// ```no_run
/// use durable_session::ChatSessions;
/// use durable_session_http::Api;
/// use durable_session_http::server::{RouterOptions, ServeOptions, router, serve};
///
/// # async fn example(sessions: ChatSessions) -> Result<(), Box<dyn std::error::Error>> {
/// let api = Api::builder(sessions).build()?;
/// let app = axum::Router::new().merge(router(api, RouterOptions::default()));
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
/// serve(listener, app, ServeOptions::default()).await;
/// # Ok(())
/// # }
/// ```
pub fn router<A: AppState>(api: Api<A>, options: RouterOptions) -> Router {
    let prefix = api.prefix().to_owned();
    let base = api.chat_base().map(str::to_owned);
    let conversations = api.conversations_base().map(str::to_owned);
    let handler = move |request: Request| {
        let (api, options) = (api.clone(), options.clone());
        async move { respond(api, options, request).await }
    };
    let mut router = under(&prefix, handler.clone());
    if let Some(base) = conversations {
        router = router
            .route(&format!("{base}/sessions"), any(handler.clone()))
            .route(&format!("{base}/owners/{{owner}}"), any(handler.clone()));
    }
    let Some(base) = base else { return router };
    router
        .route(&base, any(handler.clone()))
        .route(&format!("{base}/{{id}}/stream"), any(handler.clone()))
        .route(&format!("{base}/{{id}}/stop"), any(handler))
}

/// A router with one handler for all paths at and below the prefix.
pub(super) fn under<H: ::axum::handler::Handler<T, ()>, T: 'static>(
    prefix: &str,
    handler: H,
) -> Router {
    Router::new()
        .route(prefix, any(handler.clone()))
        .route(&format!("{prefix}/"), any(handler.clone()))
        .route(&format!("{prefix}/{{*rest}}"), any(handler))
}

async fn respond<A: AppState>(api: Api<A>, options: RouterOptions, request: Request) -> Response {
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
    let handled = if reads {
        tokio::time::timeout(options.request_timeout, work).await.map(Ok)
    } else {
        tokio::time::timeout(options.request_timeout, options.shutdown.track(work)).await
    };
    match handled {
        Ok(Ok(response)) => convert(response, &options, reads).unwrap_or_else(refused),
        Ok(Err(_)) => {
            // The message of the panic may contain a user's text. It went to stderr.
            tracing::error!("a request panicked");
            refused(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the request failed"))
        }
        Err(_) => refused(Refusal::unavailable(
            "the request took too long; its change may or may not be stored. A message that is \
             sent again with the same id is stored once while the first one is among the \
             session's last 64",
        )),
    }
}

/// The response in axum's type. The response to a read is refused if too many bytes are in memory;
/// that to a change is not, since the change was made.
fn convert(
    response: http::Response<Body>,
    options: &RouterOptions,
    reads: bool,
) -> Result<Response, Refusal> {
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
                    budget::guarded(part, (Arc::clone(&share), more))
                })
            });
            ::axum::body::Body::from_stream(streams::in_time(parts, options.request_timeout))
        }
        Body::Events(events) => {
            // Otherwise nginx buffers events.
            parts.headers.insert(
                HeaderName::from_static("x-accel-buffering"),
                HeaderValue::from_static("no"),
            );
            let (budget, keep_alive) = (options.budget.clone(), events.keep_alive());
            let ends = events.ends_with_the_service();
            // A client that does not read holds these bytes. It resumes from its cursor.
            let held = events.scan(budget, |budget, event| ready(hold(budget, event)));
            let (shutdown, every) = (options.shutdown.clone(), options.keep_alive);
            let events = streams::pinged(held, keep_alive, every);
            if ends {
                let events = events.map(Ok::<_, Infallible>);
                ::axum::body::Body::from_stream(streams::until(shutdown, events))
            } else {
                let events = Box::pin(events);
                ::axum::body::Body::from_stream(streams::broken_off_by(shutdown, events))
            }
        }
    };
    Ok(Response::from_parts(parts, body))
}

/// The events with their share of the budget; `None` if there is no room for them.
fn hold(budget: &ByteBudget, events: Bytes) -> Option<Bytes> {
    if events.len() <= UNCOUNTED {
        return Some(events);
    }
    let mut share = budget.share();
    share.grow(events.len()).ok()?;
    Some(share.of(events))
}

/// The response of a refusal in axum's type.
pub(super) fn refused(refusal: Refusal) -> Response {
    refusal.response().map(::axum::body::Body::new)
}

#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
impl ::axum::response::IntoResponse for Refusal {
    fn into_response(self) -> Response {
        refused(self)
    }
}
