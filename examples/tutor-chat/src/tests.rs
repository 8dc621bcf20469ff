//! What stands around the routes.

use crate::args::Args;
use crate::{backend, service};
use axum::Router;
use axum::body::Body;
use clap::Parser;
use durable_session_http::server::Shutdown;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

fn app(arguments: &[&str]) -> Router {
    let args = ["tutor-chat", "--store", "memory"].iter().chain(arguments);
    let args = Args::try_parse_from(args).unwrap();
    service::app(&args, &backend::open(&args, &Shutdown::new()).unwrap()).unwrap()
}

async fn send(app: &Router, request: http::request::Builder, body: &'static str) -> Response<Body> {
    app.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap()
}

async fn get(app: &Router, path: &str) -> Response<Body> {
    send(app, Request::get(path), "").await
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

const SESSION: &str = "/api/chat/session/session-1-abc";

#[tokio::test]
async fn a_message_is_answered_with_a_tutor() {
    let app = app(&[]);
    let post = Request::post(format!("{SESSION}/messages"));
    let answer =
        text(send(&app, post, r#"{"role":"user","content":"I want help with python tutor","id":"m"}"#).await)
            .await;
    assert_eq!(
        answer,
        r#"{"success":true,"message":{"role":"user","content":"I want help with python tutor","id":"m"},"seq":2}"#
    );
    let messages = text(get(&app, &format!("{SESSION}/messages")).await).await;
    assert!(messages.contains("\"id\":\"answer-to-2\"") && messages.contains("\"tutorMatch\""), "{messages}");
    let pending = text(get(&app, &format!("{SESSION}/pending-match")).await).await;
    assert!(pending.contains("python"), "{pending}");
}

#[tokio::test]
async fn clients_post_what_users_say_unless_they_may_do_everything() {
    let public = [app(&[]), app(&["--client-may", "everything", "--client-may", "public"])];
    let requests = || {
        [
            (Request::post(format!("{SESSION}/messages")), r#"{"role":"assistant","content":"hi"}"#, 403),
            (Request::put(format!("{SESSION}/messages/1")), r#"{"role":"user","content":"hi"}"#, 404),
            (Request::delete(format!("{SESSION}/messages/1")), "", 404),
            (Request::post(format!("{SESSION}/rewind")), r#"{"to":0}"#, 404),
            (Request::put(SESSION), r#"{"messages":[]}"#, 403),
        ]
    };
    for app in public {
        for (request, body, status) in requests() {
            let uri = format!("{request:?}");
            assert_eq!(send(&app, request, body).await.status(), status, "{uri}");
        }
        // What the page asks for.
        for (request, body) in [
            (Request::post(format!("{SESSION}/messages")), r#"{"role":"user","content":"hi","id":"m"}"#),
            (Request::put(SESSION), r#"{"pendingMatch":null,"bookingInfo":null}"#),
            (Request::put(format!("{SESSION}/booking-info")), "null"),
            (Request::delete(format!("{SESSION}/pending-match")), ""),
            (Request::get(format!("{SESSION}/messages?limit=5")), ""),
            (Request::post(format!("{SESSION}/reset")), ""),
        ] {
            let uri = format!("{request:?}");
            assert_eq!(send(&app, request, body).await.status(), 200, "{uri}");
        }
    }
    let everything = app(&["--client-may", "everything"]);
    for (request, body, _) in requests() {
        let uri = format!("{request:?}");
        assert_eq!(send(&everything, request, body).await.status(), 200, "{uri}");
    }
}

#[tokio::test]
async fn the_page_runs_nothing_but_its_own_files() {
    let app = app(&[]);
    let page = get(&app, "/").await;
    assert_eq!(page.status(), StatusCode::OK);
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(page.headers().contains_key("x-request-id"));
    let html = text(page).await;
    for file in ["app.js", "style.css", "icon.svg"] {
        assert!(html.contains(file));
        assert_eq!(get(&app, &format!("/{file}")).await.status(), StatusCode::OK, "{file}");
    }
    for none in ["/index.htm", "/../Cargo.toml", "/%2e%2e/Cargo.toml", "/build.rs"] {
        let refused = get(&app, none).await;
        assert_eq!(refused.status(), StatusCode::NOT_FOUND, "{none}");
        assert!(text(refused).await.starts_with("{\"error\":"), "{none}");
    }
}

#[tokio::test]
async fn a_client_that_asks_too_much_is_told_when_to_come_back() {
    let app = app(&["--rate", "1", "--client-header", "x-forwarded-for"]);
    let from = |client: &str| Request::get(SESSION).header("x-forwarded-for", format!("6.6.6.6, {client}"));
    for _ in 0..10 {
        assert_eq!(send(&app, from("10.0.0.1"), "").await.status(), StatusCode::OK);
    }
    let refused = send(&app, from("10.0.0.1"), "").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let seconds: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=2).contains(&seconds), "{seconds}");
    assert!(text(refused).await.starts_with("{\"error\":"));
    assert_eq!(send(&app, from("10.0.0.2"), "").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn other_origins_may_use_the_routes_only_if_they_are_named() {
    let preflight = || {
        Request::options(SESSION)
            .header("origin", "https://chat.example.com")
            .header("access-control-request-method", "PUT")
    };
    let named = app(&["--cors-origin", "https://chat.example.com"]);
    let allowed = send(&named, preflight(), "").await;
    assert_eq!(allowed.headers()["access-control-allow-origin"], "https://chat.example.com");
    let refused = send(&app(&[]), preflight(), "").await;
    assert!(!refused.headers().contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn with_a_secret_a_session_is_only_for_whoever_began_it() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), [7; 32]).unwrap();
    let app = app(&["--access-secret", secret.path().to_str().unwrap()]);
    let post = || Request::post(format!("{SESSION}/messages"));
    let first = send(&app, post(), r#"{"role":"user","content":"mine"}"#).await;
    assert_eq!(first.status(), StatusCode::OK);
    let cookie = first.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains(&format!("Path={SESSION};")) && cookie.contains("HttpOnly"), "{cookie}");
    let pair = cookie.split(';').next().unwrap();

    let mine = send(&app, Request::get(SESSION).header("cookie", format!("a=b; {pair}")), "").await;
    assert_eq!(mine.status(), StatusCode::OK);
    let forged = format!("{}{}", &pair[..pair.len() - 1], if pair.ends_with('0') { '1' } else { '0' });
    for other in ["", "chat-access=", "chat-access=zz", &forged] {
        let theirs = send(&app, Request::get(SESSION).header("cookie", other), "").await;
        assert_eq!(theirs.status(), StatusCode::FORBIDDEN, "{other}");
        assert!(!text(theirs).await.contains("mine"));
    }
    // A cookie is good for its own session only.
    let elsewhere = "/api/chat/session/session-2-abc";
    let begun = send(&app, Request::post(format!("{elsewhere}/messages")), r#"{"role":"user"}"#).await;
    assert_eq!(begun.status(), StatusCode::OK);
    assert_eq!(
        send(&app, Request::get(elsewhere).header("cookie", pair), "").await.status(),
        StatusCode::FORBIDDEN
    );
    let odd = send(&app, Request::get("/api/chat/session/a;Domain=x"), "").await;
    assert_eq!(odd.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn metrics_count_what_was_done() {
    let app = app(&[]);
    send(&app, Request::post(format!("{SESSION}/messages")), r#"{"role":"user"}"#).await;
    get(&app, "/nothing").await;
    let metrics = text(get(&app, "/metrics").await).await;
    assert!(metrics.contains("durable_session_sessions_commits_total 1\n"), "{metrics}");
    assert!(metrics.contains("http_answers_total{class=\"4xx\"} 1\n"), "{metrics}");
    assert!(!metrics.contains("session-1"), "{metrics}");
}
