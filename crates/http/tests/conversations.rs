//! The conversations of a person over HTTP, and who may use which session (C13).
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use bytes::Bytes;
use durable_session::{ChatSessions, Message, SessionId};
use durable_session_http::client::{ChatSessionClient, ClientError, OwnerClient};
use durable_session_http::server::{RouterOptions, ServeOptions, router, serve};
use durable_session_http::{Api, Body, Caller, FieldRoute, InvalidConfig, Refusal};
use durable_session_memory::MemoryStore;
use futures_util::StreamExt;
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use testkit::ManualClock;
use tower::ServiceExt;

fn sessions(clock: &ManualClock) -> ChatSessions {
    let store = MemoryStore::new();
    ChatSessions::builder_with(store.clone(), clock.clone(), durable_session::env::SystemRandom)
        .listing(store)
        .greeting(Message::assistant("Hi!"))
        .build()
}

/// The header `x-user` names the owner; `service` is the service itself, and `guest-…` a guest.
fn api(sessions: ChatSessions) -> Api {
    Api::builder(sessions)
        .field(FieldRoute::new("step", "step"))
        .conversations("/api/chat", |headers| {
            match headers.get("x-user").and_then(|name| name.to_str().ok()) {
                Some("service") => Ok(Caller::Service),
                Some("guest") => Ok(Caller::guest(None)),
                Some(name) if name.starts_with("guest-") => Ok(Caller::guest(Some(name))),
                Some(name) => Ok(Caller::owner(name)),
                None => Err(Refusal::new(StatusCode::UNAUTHORIZED, "log in first")),
            }
        })
        .build()
        .unwrap()
}

async fn send(api: &Api, user: &str, method: &str, path: &str, body: &str) -> Response<Body> {
    let request = Request::builder().method(method).uri(format!("/api/chat{path}"));
    let body = Bytes::copy_from_slice(body.as_bytes());
    api.handle(request.header("x-user", user).body(body).unwrap()).await
}

async fn bytes(response: Response<Body>) -> Bytes {
    match response.into_body() {
        Body::Full(bytes) => bytes,
        Body::Parts(parts) => {
            let parts: Vec<_> = parts.map(Result::unwrap).collect().await;
            parts.concat().into()
        }
        // A stream has no end; its beginning has the state.
        Body::Events(mut events) => events.next().await.unwrap(),
    }
}

async fn ok(api: &Api, user: &str, method: &str, path: &str, body: &str) -> Value {
    let response = send(api, user, method, path, body).await;
    let status = response.status();
    let body = bytes(response).await;
    assert_eq!(status, StatusCode::OK, "{method} {path}: {body:?}");
    serde_json::from_slice(&body).unwrap()
}

async fn status(api: &Api, user: &str, method: &str, path: &str, body: &str) -> u16 {
    send(api, user, method, path, body).await.status().as_u16()
}

async fn post(api: &Api, user: &str, id: &str, text: &str) {
    let message = json!({"role": "user", "content": text}).to_string();
    ok(api, user, "POST", &format!("/session/{id}/messages"), &message).await;
}

/// Clause C13.
#[tokio::test]
async fn an_owner_sees_its_own_sessions_newest_first() {
    let clock = ManualClock::at(1_000);
    let api = api(sessions(&clock));
    for n in 0..5 {
        clock.advance(10);
        post(&api, "u-42", &format!("s-{n}"), &format!("hello {n}")).await;
        post(&api, "u-43", &format!("t-{n}"), "theirs").await;
    }
    let named = r#"{"owner":"u-42","title":"Lifetimes"}"#;
    ok(&api, "u-42", "PUT", "/session/s-1/labels", named).await;
    let first = ok(&api, "u-42", "GET", "/sessions?owner=u-42&limit=3", "").await;
    assert_eq!(
        first["sessions"][0],
        json!({
            "id": "s-4", "owner": "u-42", "title": null, "messages": 2, "changedAt": 1_050,
            "last": {"seq": 2, "message": {"role": "user", "content": "hello 4"}},
        })
    );
    let cursor = first["next"].as_str().unwrap();
    let path = format!("/sessions?owner=u-42&limit=3&cursor={cursor}");
    let second = ok(&api, "u-42", "GET", &path, "").await;
    let ids: Vec<_> = [&first, &second]
        .iter()
        .flat_map(|page| page["sessions"].as_array().unwrap())
        .map(|session| session["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["s-4", "s-3", "s-2", "s-1", "s-0"]);
    assert_eq!(second["sessions"][0]["title"], "Lifetimes");
    assert_eq!(second["next"], Value::Null);
    // Without `owner`, one's own; the service may ask for anybody's.
    let own = ok(&api, "u-43", "GET", "/sessions", "").await;
    assert_eq!(own["sessions"].as_array().unwrap().len(), 5);
    assert_eq!(ok(&api, "service", "GET", "/sessions?owner=u-42&limit=3", "").await, first);
    for (user, path, expected) in [
        ("u-43", "/sessions?owner=u-42".to_owned(), 403),
        ("u-43", format!("/sessions?owner=u-43&cursor={cursor}"), 400),
        ("u-42", format!("/sessions?owner=u-42&cursor={cursor}0"), 400),
        ("u-42", "/sessions?owner=u-42&owner=u-42".to_owned(), 400),
        ("u-42", "/sessions?limit=0".to_owned(), 400),
        ("service", "/sessions".to_owned(), 400),
    ] {
        assert_eq!(status(&api, user, "GET", &path, "").await, expected, "{user} {path}");
    }
    assert_eq!(status(&api, "u-42", "POST", "/sessions", "").await, 405);
    let nobody = Request::get("/api/chat/sessions?owner=u-42").body(Bytes::new()).unwrap();
    assert_eq!(api.handle(nobody).await.status(), 401);
    let nobody = Request::get("/api/chat/session/s-1").body(Bytes::new()).unwrap();
    assert_eq!(api.handle(nobody).await.status(), 401, "the hook guards sessions, too");
}

/// Clause C13.
#[tokio::test]
async fn somebody_elses_session_and_one_that_never_existed_answer_every_read_byte_equal() {
    let clock = ManualClock::at(1_000);
    let api = api(sessions(&clock));
    post(&api, "u-42", "theirs", "a secret").await;
    ok(&api, "u-42", "PUT", "/session/theirs/step", "1").await;
    let state = ok(&api, "u-42", "GET", "/session/theirs", "").await;
    assert_eq!(state["messages"].as_array().unwrap().len(), 2);
    clock.advance(5);
    for rest in [
        "",
        "/",
        "/messages",
        "/messages?limit=5",
        "/messages?after=",
        "/step",
        "/events",
        "/events?edited=true",
        "/none",
        "/messages/1",
    ] {
        for method in [Method::GET, Method::HEAD] {
            let mut answers = Vec::new();
            for id in ["theirs", "never"] {
                let path = format!("/session/{id}{rest}");
                let response = send(&api, "u-43", method.as_str(), &path, "").await;
                let (head, events) = (
                    (response.status(), response.headers().clone()),
                    matches!(response.body(), Body::Events(_)),
                );
                let body = if events && method == Method::HEAD {
                    Bytes::new()
                } else {
                    bytes(response).await
                };
                answers.push((head, body));
            }
            assert_eq!(answers[0], answers[1], "{method} {rest}");
        }
    }
    // It cannot be changed either.
    for (method, rest, body) in [
        ("POST", "/messages", r#"{"role":"user","content":"mine"}"#),
        ("PUT", "", r#"{"step":2}"#),
        ("PUT", "/labels", r#"{"owner":"u-43"}"#),
        ("POST", "/fork", r#"{"id":"mine","through":2}"#),
        ("POST", "/reset", ""),
        ("DELETE", "", ""),
    ] {
        let path = format!("/session/theirs{rest}");
        assert_eq!(status(&api, "u-43", method, &path, body).await, 403, "{method} {rest}");
    }
    assert_eq!(ok(&api, "service", "GET", "/session/theirs", "").await, state);
}

/// Clause C13.
#[tokio::test]
async fn labels_are_set_and_cannot_be_given_away() {
    let api = api(sessions(&ManualClock::at(1_000)));
    let title = r#"{"title":"Lifetimes"}"#;
    ok(&api, "u-42", "PUT", "/session/s/labels", title).await;
    let page = ok(&api, "u-42", "GET", "/sessions", "").await;
    assert_eq!(page["sessions"][0]["owner"], "u-42");
    assert_eq!(page["sessions"][0]["messages"], 1, "the session is there, with its greeting");
    let other = r#"{"owner":"u-43"}"#;
    assert_eq!(status(&api, "u-42", "PUT", "/session/s/labels", other).await, 403);
    ok(&api, "service", "PUT", "/session/s/labels", other).await;
    assert_eq!(ok(&api, "u-43", "GET", "/sessions", "").await["sessions"][0]["title"], Value::Null);
    for bad in ["", "[]", r#"{"title":1}"#, r#"{"owner":{}}"#] {
        assert_eq!(status(&api, "u-43", "PUT", "/session/s/labels", bad).await, 400, "{bad}");
    }
    let long = json!({"title": "t".repeat(1025)}).to_string();
    assert_eq!(status(&api, "u-43", "PUT", "/session/s/labels", &long).await, 413);
    assert_eq!(status(&api, "u-43", "GET", "/session/s/labels", "").await, 405);
}

/// Clause C13.
#[tokio::test]
async fn a_guest_uses_what_it_knows_the_id_of_and_lists_what_it_created() {
    let api = api(sessions(&ManualClock::at(1_000)));
    post(&api, "guest-a", "s", "hello").await;
    post(&api, "guest-b", "s", "hello, too").await;
    post(&api, "guest", "open", "without an owner").await;
    let listed = async |user: &str| {
        let page = ok(&api, user, "GET", "/sessions", "").await;
        let all = page["sessions"].as_array().unwrap();
        all.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed("guest-a").await, ["s"]);
    assert!(listed("guest-b").await.is_empty());
    let state = ok(&api, "guest-b", "GET", "/session/s", "").await;
    assert_eq!(state["messages"].as_array().unwrap().len(), 3, "the id is enough to read");

    // A fork belongs to whoever makes it; the source stays where it is.
    ok(&api, "guest-a", "PUT", "/session/s/labels", r#"{"title":"Greetings"}"#).await;
    ok(&api, "guest-b", "POST", "/session/s/fork", r#"{"id":"f","through":2}"#).await;
    let forks = ok(&api, "guest-b", "GET", "/sessions", "").await;
    assert_eq!(forks["sessions"][0]["id"], "f");
    assert_eq!(forks["sessions"][0]["title"], "Greetings");
    assert_eq!(listed("guest-a").await, ["s"]);

    for (user, method, path, body, expected) in [
        ("guest-b", "PUT", "/session/s/labels", r#"{"title":"mine"}"#, 403),
        ("guest", "PUT", "/session/s/labels", r#"{"title":"mine"}"#, 403),
        ("guest-b", "PUT", "/session/f/labels", r#"{"owner":"guest-a"}"#, 403),
        ("guest", "PUT", "/session/open/labels", r#"{"title":"open"}"#, 200),
        ("guest-b", "GET", "/sessions?owner=guest-a", "", 403),
        ("guest", "GET", "/sessions?owner=guest-a", "", 403),
        ("guest", "GET", "/sessions", "", 400),
        ("guest-b", "DELETE", "/owners/guest-a", "", 403),
        ("guest", "DELETE", "/owners/guest-a", "", 403),
        ("u-42", "POST", "/session/s/messages", r#"{"role":"user","content":"no"}"#, 403),
        ("guest-a", "DELETE", "/owners/guest-a", "", 200),
    ] {
        assert_eq!(status(&api, user, method, path, body).await, expected, "{user} {path} {body}");
    }
    assert!(listed("guest-a").await.is_empty());
    assert_eq!(listed("guest-b").await, ["f"]);
}

/// Clause C13.
#[tokio::test]
async fn a_fork_is_made_once_and_a_collision_is_told() {
    let api = api(sessions(&ManualClock::at(1_000)));
    for text in ["one", "two", "three"] {
        post(&api, "u-42", "s", text).await;
    }
    let fork = r#"{"id":"f","through":3}"#;
    let made = json!({"success": true, "id": "f"});
    for _ in 0..2 {
        assert_eq!(ok(&api, "u-42", "POST", "/session/s/fork", fork).await, made);
    }
    let copied = ok(&api, "u-42", "GET", "/session/f", "").await;
    let source = ok(&api, "u-42", "GET", "/session/s", "").await;
    let messages = |state: &Value| state["messages"].as_array().unwrap().clone();
    assert_eq!(messages(&copied)[..], messages(&source)[..3]);
    assert_eq!(
        ok(&api, "u-42", "GET", "/sessions", "").await["sessions"].as_array().unwrap().len(),
        2
    );
    for (body, expected) in [
        (r#"{"id":"f","through":2}"#, 409),
        (r#"{"id":"s","through":3}"#, 409),
        (r#"{"id":"g","through":5}"#, 404),
        (r#"{"id":"g"}"#, 400),
        (r#"{"through":2}"#, 400),
        (r#"{"id":"a b","through":2}"#, 400),
        (r#"{"id":"g","through":-1}"#, 400),
    ] {
        assert_eq!(status(&api, "u-42", "POST", "/session/s/fork", body).await, expected, "{body}");
    }
    let absent = r#"{"id":"g","through":0}"#;
    assert_eq!(status(&api, "u-42", "POST", "/session/absent/fork", absent).await, 404);
}

/// Clause C13.
#[tokio::test]
async fn an_owner_is_erased_by_itself_or_the_service() {
    let api = api(sessions(&ManualClock::at(1_000)));
    for n in 0..3 {
        post(&api, "u-42", &format!("s-{n}"), "hello").await;
        post(&api, "a/b c", &format!("t-{n}"), "hello").await;
    }
    let erased = json!({"success": true, "sessions": 3});
    assert_eq!(status(&api, "a", "DELETE", "/owners/u-42", "").await, 403);
    assert_eq!(status(&api, "u-42", "GET", "/owners/u-42", "").await, 405);
    assert_eq!(ok(&api, "u-42", "DELETE", "/owners/u-42", "").await, erased);
    let again = ok(&api, "u-42", "DELETE", "/owners/u-42", "").await;
    assert_eq!(again, json!({"success": true, "sessions": 0}));
    let left = ok(&api, "service", "GET", "/sessions?owner=a%2Fb+c", "").await;
    assert_eq!(left["sessions"].as_array().unwrap().len(), 3);
    assert_eq!(ok(&api, "service", "DELETE", "/owners/a%2Fb%20c", "").await, erased);
    assert_eq!(status(&api, "service", "DELETE", "/owners/%FF", "").await, 400);
}

#[tokio::test]
async fn a_router_serves_the_routes_and_a_service_without_the_hook_has_none_of_them() {
    let clock = ManualClock::at(1_000);
    let with = router(api(sessions(&clock)), RouterOptions::default());
    let without = Api::builder(sessions(&clock)).build().unwrap();
    let without = router(without, RouterOptions::default());
    for (method, path, body, expected) in [
        ("GET", "/api/chat/sessions?owner=u-42", "", 200),
        ("DELETE", "/api/chat/owners/u-42", "", 200),
        ("PUT", "/api/chat/session/s/labels", "{}", 200),
        ("POST", "/api/chat/session/s/fork", r#"{"id":"f","through":1}"#, 200),
    ] {
        for (app, expected) in [(&with, expected), (&without, 404)] {
            let request = Request::builder().method(method).uri(path).header("x-user", "u-42");
            let request = request.body(axum::body::Body::from(body)).unwrap();
            let response = app.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status().as_u16(), expected, "{method} {path}");
        }
    }
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let service = |_: &http::HeaderMap| Ok(Caller::Service);
    let builder = || Api::builder(sessions(&ManualClock::at(1)));
    for base in ["chat", "/chat/", "/", "/api/chat/session"] {
        let refused = builder().conversations(base, service).build().map(drop);
        assert!(matches!(refused, Err(InvalidConfig::ConversationsBase { .. })), "{base}");
    }
    assert!(builder().conversations("", service).build().is_ok());
    let unlisted: ChatSessions = ChatSessions::builder(MemoryStore::new()).build();
    let refused = Api::builder(unlisted).conversations("/api/chat", service).build().map(drop);
    assert_eq!(refused, Err(InvalidConfig::NoListing));
}

/// Clause C13.
#[tokio::test]
async fn a_client_labels_forks_lists_and_erases() {
    let app = router(api(sessions(&ManualClock::at(1_000))), RouterOptions::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(serve(listener, app, ServeOptions::default()));
    let mut headers = http::HeaderMap::new();
    headers.insert("x-user", "a/b c".parse().unwrap());
    let http = reqwest::Client::builder().default_headers(headers).build().unwrap();
    let id = |text: &str| SessionId::new(text).unwrap();
    let chat = ChatSessionClient::with_http(http.clone(), &base, id("s")).unwrap();
    chat.add_message(Message::user("hello")).await.unwrap();
    chat.set_labels(None, Some("Lifetimes")).await.unwrap();
    for _ in 0..2 {
        let fork = chat.fork(id("f"), 2).await.unwrap();
        assert_eq!(fork.id(), &id("f"));
        assert_eq!(fork.get_state().await.unwrap().messages.len(), 2);
    }
    let taken = chat.fork(id("f"), 1).await.unwrap_err();
    assert!(matches!(taken, ClientError::Refused { status, .. } if status == 409), "{taken}");
    let owner = OwnerClient::with_http(http, &base, "a/b c").unwrap();
    let first = owner.sessions(1, None).await.unwrap();
    let second = owner.sessions(1, first.next.as_deref()).await.unwrap();
    let both = [&first.sessions[0], &second.sessions[0]];
    let mut ids = both.map(|listed| listed.id.clone());
    ids.sort();
    assert_eq!((ids, second.next.as_deref()), ([id("f"), id("s")], None));
    for listed in both {
        assert_eq!(listed.title.as_deref(), Some("Lifetimes"));
        assert_eq!(listed.last.as_ref().unwrap().message.text().as_deref(), Some("hello"));
    }
    assert!(!format!("{first:?}").contains("Lifetimes"));
    assert_eq!(owner.erase().await.unwrap(), 2);
    assert!(owner.sessions(30, None).await.unwrap().sessions.is_empty());
    serving.abort();
}
