//! Plays the golden scenarios in `protocol/golden` against the request function itself.

#![allow(clippy::unwrap_used, clippy::panic, clippy::single_match_else)]

mod matching;
mod player;

use bytes::Bytes;
use durable_session::{ChatSessions, Message};
use durable_session_http::{Api, ApiBuilder, Body, FieldRoute, Refusal, health};
use durable_session_memory::MemoryStore;
use http::{Request, Response};
use std::time::Duration;
use tutoring::{Tutoring, open_reply, write_reply};

fn builder() -> ApiBuilder<Tutoring> {
    let sessions =
        ChatSessions::builder(MemoryStore::new()).greeting(Message::assistant("Hi!")).build();
    Api::builder(sessions)
        .field(FieldRoute::new("pending-match", "pendingMatch"))
        .field(FieldRoute::new("booking-info", "bookingInfo"))
        .field(FieldRoute::put_only("search-criteria", "lastSearchCriteria"))
        .field(FieldRoute::put_only("available-tutors", "availableTutorsList"))
}

fn api() -> Api<Tutoring> {
    builder().build().unwrap()
}

/// A service that answers by replies.
fn replying() -> Api<Tutoring> {
    let pause = || tokio::time::sleep(Duration::from_millis(50));
    builder()
        .open_replies(open_reply)
        .reply_with(move |chat, posted, reply| write_reply(chat, posted, reply, pause))
        .build()
        .unwrap()
}

async fn serve(api: &Api<Tutoring>, request: Request<Bytes>) -> Response<Body> {
    match request.uri().path() {
        "/health" => health(request.method(), "test"),
        path if path.starts_with(api.prefix()) => api.handle(request).await,
        _ => Refusal::not_found().response(),
    }
}

#[tokio::test]
async fn the_request_function_follows_the_protocol() {
    for (api, replies) in [(api(), false), (replying(), true)] {
        let play = player::play(replies, |request| {
            let api = api.clone();
            async move { serve(&api, request).await }
        });
        let failures = play.await;
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }
}

/// Plays the golden scenarios through the axum router.
#[cfg(feature = "axum")]
#[tokio::test]
async fn the_router_follows_the_protocol() {
    use axum::response::{IntoResponse, Response};
    use axum::routing::any;
    use durable_session_http::server::{RouterOptions, router};
    use tower::ServiceExt;

    for (api, replies) in [(api(), false), (replying(), true)] {
        let app = router(api, RouterOptions::default())
            .route(
                "/health",
                any(|method: http::Method| async move { health(&method, "test").into_response() }),
            )
            .fallback(|| async { Refusal::not_found().into_response() });
        let play = player::play(replies, |request| {
            let app = app.clone();
            async move {
                let answered: Result<Response, _> =
                    app.oneshot(request.map(axum::body::Body::from)).await;
                answered.unwrap()
            }
        });
        let failures = play.await;
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }
}

/// Shows that the player finds deviations.
#[tokio::test]
async fn a_server_that_breaks_the_protocol_fails_the_scenarios() {
    let api = api();
    let failures = player::play(false, |request| {
        let api = api.clone();
        async move {
            let put = request.method() == http::Method::PUT;
            let mut response = serve(&api, request).await;
            if put && response.status() == 422 {
                *response.status_mut() = http::StatusCode::OK;
            }
            response
        }
    })
    .await;
    assert_eq!(failures.len(), 2, "{}", failures.join("\n"));
}
