//! Logs and errors contain no session id, message, app state, JSON key of a client, or idempotency
//! key.
#![allow(clippy::unwrap_used, missing_docs)]

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::IntoResponse;
use durable_session::store::{StoreError, StoreErrorKind};
use durable_session::{ChatSessions, Error, JsonObject, Message, SessionId};
use durable_session_http::client::{ChatSessionClient, ClientError, PageFrom, Retry};
use durable_session_http::server::{RouterOptions, ServeOptions, router, serve};
use durable_session_http::{Api, FieldRoute, Refusal};
use durable_session_redb::RedbStore;
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;
use std::time::Duration;
use testkit::Written;
use tokio::net::TcpListener;
use tower::ServiceExt as _;

const ID: &str = "session-1-capability";
const TEXT: &str = "secret-diagnosis";
const KEY: &str = "secret-key";
const IDEMPOTENCY: &str = "secret-idempotency";
const NUMBER: &str = "9876543210";

fn assert_hidden(told: &str) {
    for line in told.lines() {
        for hidden in ["capability", "secret", NUMBER] {
            assert!(!line.contains(hidden), "{hidden} is told: {line}");
        }
    }
}

/// The log of this process at every level.
fn log() -> Written {
    static LOG: OnceLock<Written> = OnceLock::new();
    LOG.get_or_init(|| {
        let log = Written::default();
        let writer = log.clone();
        tracing_subscriber::fmt()
            .with_max_level(tracing::level_filters::LevelFilter::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .init();
        log
    })
    .clone()
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed {
    count: u32,
}

fn id() -> SessionId {
    SessionId::new(ID).unwrap()
}

/// Sends a request and returns the response.
async fn ask(app: &Router, method: &str, rest: &str, body: String) -> (StatusCode, String) {
    let request = Request::builder()
        .method(method)
        .uri(format!("/api/chat/session/{ID}{rest}"))
        .header("idempotency-key", IDEMPOTENCY)
        .header("last-event-id", "")
        .body(Body::from(body))
        .unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&bytes).into_owned())
}

/// Requests that are not valid, with a client's text in every place.
fn wrong() -> Vec<(&'static str, &'static str, String)> {
    let message = |fields: &str| format!("{{\"role\":\"user\",\"content\":\"{TEXT}\"{fields}}}");
    vec![
        ("POST", "/messages", TEXT.to_owned()),
        ("POST", "/messages", format!("\"{TEXT}\"")),
        ("POST", "/messages", message("").replace("\"user\"", NUMBER)),
        ("POST", "/messages", message("").replace(&format!("\"{TEXT}\""), NUMBER)),
        ("POST", "/messages", message(&format!(",\"{KEY}\":\"{TEXT}\\ud83d\""))),
        ("POST", "/messages", message(&format!(",\"{KEY}\":{TEXT}"))),
        ("POST", "/messages", message(&format!(",\"x\":\"{}\"", "x".repeat(2000)))),
        ("POST", "/messages", message("")[..30].to_owned()),
        ("PUT", "", TEXT.to_owned()),
        ("PUT", "", format!("[\"{TEXT}\"]")),
        ("PUT", "", format!("{{\"messages\":\"{TEXT}\"}}")),
        ("PUT", "", format!("{{\"messages\":[{{\"{KEY}\":\"{TEXT}\"}}]}}")),
        ("PUT", "", format!("{{\"{KEY}\":1}}")),
        ("PUT", "", format!("{{\"count\":\"{TEXT}\"}}")),
        ("PUT", "", format!("{{\"count\":{NUMBER}}}")),
        ("PUT", "/count", format!("\"{TEXT}\"")),
        ("PUT", "/count", TEXT.to_owned()),
        ("GET", "/messages?before=secret-cursor", String::new()),
        ("GET", "/messages?limit=secret", String::new()),
        ("GET", "/secret-route", String::new()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_quote_no_request_and_the_log_names_sessions_by_fingerprint() {
    let log = log();
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::open(folder.path().join("store.redb")).unwrap();
    let open: ChatSessions = ChatSessions::builder(store.clone()).build();
    let chat = open.session(id());
    chat.add_message(Message::user(TEXT).with_id(IDEMPOTENCY)).await.unwrap();
    let typed: ChatSessions<Typed> = ChatSessions::builder(store.clone()).build();
    let limits =
        durable_session::Limits { message_bytes: 1000, ..durable_session::Limits::default() };
    let fresh: ChatSessions<Typed> =
        ChatSessions::builder(durable_session_memory::MemoryStore::new()).limits(limits).build();
    let service = |sessions| {
        let field = FieldRoute::new("count", "count");
        router(Api::builder(sessions).field(field).build().unwrap(), RouterOptions::default())
    };
    let app = service(fresh);
    for (method, rest, body) in wrong() {
        let (status, answer) = ask(&app, method, rest, body.clone()).await;
        assert!(status.is_client_error(), "{status} for {method} {rest} {body}: {answer}");
        assert!(answer.starts_with("{\"error\":\""), "{answer}");
        assert_hidden(&answer);
    }
    let app = service(typed);
    store.close().await.unwrap();
    let (status, answer) = ask(&app, "PUT", "", "{\"count\":2}".to_owned()).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    assert_hidden(&answer);

    let logged = log.text();
    assert!(logged.contains("a session failed"), "{logged}");
    assert!(logged.contains(&format!("session={}", id().fingerprint())), "{logged}");
    assert_hidden(&logged);
}

#[tokio::test]
async fn app_state_of_another_type_is_logged_without_its_values() {
    let log = log();
    let store = durable_session_memory::MemoryStore::new();
    let open: ChatSessions = ChatSessions::builder(store.clone()).build();
    open.session(id())
        .update(|app: &mut JsonObject| app.set("count", TEXT).unwrap())
        .await
        .unwrap();
    let typed: ChatSessions<Typed> = ChatSessions::builder(store).build();
    let answering =
        Api::builder(typed).on_message(|draft, _| draft.app().map(drop)).build().unwrap();
    let app = router(answering, RouterOptions::default());
    let body = format!("{{\"role\":\"user\",\"content\":\"{TEXT}\"}}");
    let (status, answer) = ask(&app, "POST", "/messages", body).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{answer}");
    assert_hidden(&answer);
    let logged = log.text();
    let told =
        "app state does not fit the app's type at its field `count`: found a string, expected u32";
    assert!(logged.contains(told), "{logged}");
    assert_hidden(&logged);
}

/// Checks that no way to print an error shows a secret, and that no text quotes its source.
fn check<E: std::error::Error + Send + Sync + 'static>(error: E) {
    assert_hidden(&format!("{error} {error:?} {error:#?}"));
    let error = anyhow::Error::new(error);
    let told = format!("{error:#}");
    assert_hidden(&format!("{told} {error:?}"));
    let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
    for (i, text) in chain.iter().enumerate() {
        for source in &chain[i + 1..] {
            assert!(!text.contains(source.as_str()), "a text repeats its source: {told}");
        }
    }
    for error in error.chain() {
        assert_hidden(&format!("{error:?}"));
    }
}

/// A server that gives this response to every request.
async fn answering(status: u16, body: &str) -> String {
    let body = body.to_owned();
    let app = Router::new().fallback(move || {
        let body = body.clone();
        async move { (StatusCode::from_u16(status).unwrap(), body).into_response() }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(listener, app, ServeOptions::default()));
    base
}

fn client(base: &str) -> ChatSessionClient {
    let retry = Retry::default().tries(1).waits(Duration::from_millis(1), Duration::from_millis(1));
    ChatSessionClient::new(base, id()).unwrap().retry(retry).timeout(Duration::from_millis(500))
}

/// The errors of every kind of call.
async fn errors(base: &str) -> Vec<ClientError> {
    let chat = client(base);
    assert_hidden(&format!("{chat:?} {:?}", chat.events(None)));
    let message = Message::user(TEXT).with_id(IDEMPOTENCY);
    let mut errors = Vec::new();
    errors.extend(chat.add_message(message).await.err());
    errors.extend(chat.get_state().await.err());
    errors.extend(chat.get_state_versioned().await.err());
    errors.extend(chat.messages().await.err());
    errors.extend(chat.page(&PageFrom::Before(KEY.to_owned()), 3).await.err());
    errors.extend(chat.update(&Typed::default()).await.err());
    errors.extend(chat.field::<u32>("count").await.err());
    errors.extend(chat.set_field("count", TEXT).await.err());
    errors.extend(chat.reset().await.err());
    errors.extend(chat.delete().await.err());
    errors
}

#[tokio::test]
async fn errors_of_the_client_quote_no_id_and_no_response() {
    for (status, body) in [
        (200, TEXT.to_owned()),
        (200, format!("\"{TEXT}\"")),
        (200, format!("[\"{TEXT}\"]")),
        (200, format!("[{{\"{KEY}\":\"{TEXT}\"}}]")),
        (200, format!("{{\"message\":\"{TEXT}\",\"state\":{NUMBER}")),
        (502, format!("<html>{TEXT}</html>")),
        (500, format!("{{\"{KEY}\":\"{TEXT}\"}}")),
        (400, format!("{{\"error\":{NUMBER}}}")),
    ] {
        let found = errors(&answering(status, &body).await).await;
        assert_eq!(found.len(), 10, "{status} {body}");
        for error in found {
            check(error);
        }
    }
    let password = client("http://user:secret-password@127.0.0.1:1/secret-path");
    assert_hidden(&format!("{password:?}"));
    check(password.get_state().await.unwrap_err());
    // No server listens there.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let found = errors(&base).await;
    assert_eq!(found.len(), 10);
    for error in found {
        check(error);
    }
    // A server listens there and never responds.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = client(&format!("http://{}", listener.local_addr().unwrap()))
        .get_state()
        .await
        .unwrap_err();
    check(error);
    let chat = client(&base);
    check(chat.update_if("\u{1}", &Typed::default()).await.unwrap_err());
    let unwritable = std::collections::HashMap::from([(vec![TEXT], 1)]);
    check(chat.update(&unwritable).await.unwrap_err());
}

#[test]
fn other_errors_quote_no_source() {
    let below = StoreError::new(StoreErrorKind::Internal, "below").in_session(&id());
    check(Error::from(
        StoreError::new(StoreErrorKind::Corrupt, "above").in_session(&id()).with_source(below),
    ));
    check(Refusal::new(StatusCode::CONFLICT, "already booked"));
    let sessions =
        || ChatSessions::<JsonObject>::builder(durable_session_memory::MemoryStore::new()).build();
    check(Api::builder(sessions()).prefix("x").build().unwrap_err());
    check(Api::builder(sessions()).field(FieldRoute::new("messages", "x")).build().unwrap_err());
    check(Api::builder(sessions()).field(FieldRoute::new("x", "messages")).build().unwrap_err());
}
