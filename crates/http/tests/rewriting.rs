//! Changing stored messages through the request function: a state of any size can be put back,
//! cursors name messages, and clients make only the permitted changes.

#![allow(clippy::unwrap_used, clippy::panic)]

use bytes::Bytes;
use durable_session::env::SystemRandom;
use durable_session::store::StoreLimits;
use durable_session::{ChatSession, ChatSessions, Limits, Message, SessionId};
use durable_session_http::{Api, ApiBuilder, Body, ClientPermissions, FieldRoute};
use durable_session_memory::MemoryStore;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};

const ROOT: &str = "/api/chat/session/s";

struct Service {
    api: Api,
    chat: ChatSession,
}

/// A service over a store whose commits are smaller than a session may be.
fn service(limits: Limits, set: impl FnOnce(ApiBuilder) -> ApiBuilder) -> Service {
    let store_limits = StoreLimits::new(16 << 20, 16 << 20, 16 << 20, 4096);
    let store = MemoryStore::with(SystemRandom, store_limits);
    let sessions: ChatSessions = ChatSessions::builder(store).limits(limits).build();
    let chat = sessions.session(SessionId::new("s").unwrap());
    Service { api: set(Api::builder(sessions)).build().unwrap(), chat }
}

impl Service {
    fn plain() -> Self {
        service(Limits::default(), |api| api)
    }

    /// A service with `count` messages of about `bytes` each.
    async fn filled(count: usize, bytes: usize) -> Self {
        let service = Self::plain();
        let text = "x".repeat(bytes);
        let messages: Vec<_> = (0..count).map(|n| Message::user(format!("{n} {text}"))).collect();
        for batch in messages.chunks(500) {
            service.chat.add_messages(batch.to_vec()).await.unwrap();
        }
        service
    }

    async fn send(&self, method: &str, rest: &str, body: impl Into<Bytes>) -> Response<Body> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{ROOT}{rest}"))
            .body(body.into())
            .unwrap();
        self.api.handle(request).await
    }

    /// The status and the JSON of the response.
    async fn ask(&self, method: &str, rest: &str, body: impl Into<Bytes>) -> (u16, Value) {
        let response = self.send(method, rest, body).await;
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&full(response).await).unwrap())
    }

    async fn etag(&self) -> String {
        self.send("GET", "", "").await.headers()["etag"].to_str().unwrap().to_owned()
    }
}

async fn full(response: Response<Body>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn a_state_of_any_size_can_be_read_and_put_back() {
    for (count, bytes) in [(0, 0), (1, 10), (6000, 10), (100, 10), (6000, 1500), (5, 1_000_000)] {
        let service = Service::filled(count, bytes).await;
        let state = full(service.send("GET", "", "").await).await;
        let etag = service.etag().await;
        let put = service.send("PUT", "", state.clone()).await;
        assert_eq!(put.status(), 200, "{count} of {bytes}");
        assert_eq!(put.headers()["etag"], etag);
        // One edited, one removed and one added message are a small difference.
        let mut edited: Value = serde_json::from_slice(&state).unwrap();
        let list = edited["messages"].as_array_mut().unwrap();
        if list.len() > 2 {
            list[0]["content"] = "edited".into();
            list.remove(2);
        }
        list.push(json!({ "role": "user", "content": "one more" }));
        let (status, answer) = service.ask("PUT", "", edited.to_string()).await;
        assert_eq!((status, &answer["state"]["messages"]), (200, &edited["messages"]));
        assert_ne!(service.etag().await, etag);
    }
}

#[tokio::test]
async fn a_difference_larger_than_one_commit_is_refused_with_the_limit() {
    /// This many messages of a megabyte are more than one commit may have.
    const MANY: usize = 17;
    let service = Service::filled(6000, 1).await;
    let max = service.api.sessions().store().limits().max_commit_ops;
    let state: Value =
        serde_json::from_slice(&full(service.send("GET", "", "").await).await).unwrap();
    let edited = |count: usize| {
        let mut state = state.clone();
        for message in state["messages"].as_array_mut().unwrap().iter_mut().take(count) {
            message["content"] = "edited".into();
        }
        state.to_string()
    };
    let (status, answer) = service.ask("PUT", "", edited(max + 1)).await;
    let expected = format!(
        "the difference to the stored messages needs {} operations; \
         the limit of one commit is {max}",
        max + 1
    );
    assert_eq!((status, &answer["error"]), (413, &Value::from(expected)));
    assert_eq!(service.ask("PUT", "", edited(max)).await.0, 200);

    let large = "x".repeat(1_000_000);
    let many: Vec<_> = (0..MANY).map(|_| json!({ "role": "user", "content": large })).collect();
    let limit = service.api.sessions().store().limits().max_commit_bytes;
    let bytes: usize = many.iter().map(|message| message.to_string().len()).sum();
    assert!(bytes as u64 > limit, "{limit}");
    let (status, answer) = service.ask("PUT", "", json!({ "messages": many }).to_string()).await;
    let expected = format!(
        "the difference to the stored messages needs {bytes} bytes; \
         the limit of one commit is {limit}"
    );
    assert_eq!((status, &answer["error"]), (413, &Value::from(expected)));
}

#[tokio::test]
async fn the_limit_of_a_body_follows_from_its_route() {
    let limits =
        Limits { session_bytes: 5000, session_messages: 100, app_bytes: 300, ..Limits::default() };
    let small = |api: ApiBuilder| api.max_body_bytes(1000);
    let service = service(limits, small);
    let bound = |method: Method, path: &str| service.api.body_limit(&method, path);
    let state = 5000 + 100 + 300 + 128;
    for path in [ROOT, &format!("{ROOT}/"), "/", "/state", "/api/chat/session/state"] {
        assert_eq!(bound(Method::PUT, path), state, "{path}");
        assert_eq!(bound(Method::POST, path), 1000, "{path}");
    }
    for path in ["/messages", "/messages/1", "/booking-info", "/state/x"] {
        assert_eq!(bound(Method::PUT, path), 1000, "{path}");
        assert_eq!(bound(Method::PUT, &format!("{ROOT}{path}")), 1000, "{path}");
    }
    assert_eq!(service.ask("PUT", "", format!("{{}}{}", " ".repeat(state - 2))).await.0, 200);
    assert_eq!(service.ask("PUT", "", format!("{{}}{}", " ".repeat(state - 1))).await.0, 413);
    assert_eq!(service.ask("POST", "/messages", " ".repeat(1001)).await.0, 413);
    // The largest possible session is read and put back.
    let fill = |bytes: usize| Message::user("x".repeat(bytes - Message::user("").bytes()));
    service.chat.add_messages(vec![fill(50); 99]).await.unwrap();
    service.chat.add_message(fill(50)).await.unwrap();
    let app = format!("{{\"a\":\"{}\"}}", "y".repeat(300 - 8));
    assert_eq!(service.ask("PUT", "", app).await.0, 200);
    let whole = full(service.send("GET", "", "").await).await;
    assert!(whole.len() > 5000 + 99 + 298 && whole.len() <= state, "{}", whole.len());
    assert_eq!(service.ask("PUT", "", whole).await.0, 200);
    // A client that may not set messages has a smaller limit.
    let public =
        self::service(limits, |api| small(api).client_permissions(ClientPermissions::public()));
    assert_eq!(public.api.body_limit(&Method::PUT, ROOT), 1000);
    let large_app = Limits { app_bytes: 2000, ..limits };
    let public =
        self::service(large_app, |api| small(api).client_permissions(ClientPermissions::public()));
    assert_eq!(public.api.body_limit(&Method::PUT, ROOT), 2128);
}

/// A page has at most 4 MiB. The message of its cursor does not count, even if it is large.
#[tokio::test]
async fn paging_passes_messages_as_large_as_a_page() {
    let limits = Limits { message_bytes: 8 << 20, ..Limits::default() };
    let service = service(limits, |api| api);
    for bytes in [10, 5 << 20, 6 << 20, 10, 5 << 20, 10] {
        service.chat.add_message(Message::user("x".repeat(bytes))).await.unwrap();
    }
    for (first, step) in [("limit=2", "before"), ("limit=2&after=", "after")] {
        let (mut seqs, mut query) = (Vec::new(), first.to_owned());
        for _ in 0..20 {
            let (status, page) = service.ask("GET", &format!("/messages?{query}"), "").await;
            assert_eq!(status, 200, "{page}");
            let rows = page["messages"].as_array().unwrap();
            seqs.extend(rows.iter().map(|row| row["seq"].as_u64().unwrap()));
            match page["next"].as_str() {
                Some(next) if !rows.is_empty() => query = format!("limit=2&{step}={next}"),
                _ => break,
            }
        }
        seqs.sort_unstable();
        assert_eq!(seqs, [1, 2, 3, 4, 5, 6], "{step}");
    }
}

#[tokio::test]
async fn the_refusal_of_a_cursor_gives_the_reason() {
    let service = Service::plain();
    let begin = service.ask("GET", "/messages?after=", "").await.1;
    let absent = begin["next"].as_str().unwrap().to_owned();
    assert_eq!(service.ask("GET", &format!("/messages?after={absent}"), "").await.0, 200);
    service.chat.add_messages(vec![Message::user("x"); 3]).await.unwrap();
    let next = service.ask("GET", "/messages?limit=2", "").await.1;
    let cursor = next["next"].as_str().unwrap().to_owned();
    let refused = async |cursor: &str| {
        let (status, answer) =
            service.ask("GET", &format!("/messages?limit=2&before={cursor}"), "").await;
        assert_eq!(status, 410);
        answer["error"].as_str().unwrap().to_owned()
    };
    assert!(refused(&absent).await.starts_with("the session did not exist when"));
    service.chat.remove(2).await.unwrap();
    assert!(refused(&cursor).await.starts_with("the message that this cursor names was removed"));
    service.chat.delete().await.unwrap();
    assert!(refused(&cursor).await.starts_with("the session was deleted since"));
}

#[tokio::test]
async fn clients_make_only_the_permitted_changes() {
    let fields = |api: ApiBuilder| api.field(FieldRoute::new("step", "step"));
    let message = |role: &str| json!({ "role": role, "content": "x" }).to_string();
    let list = json!({ "messages": [{ "role": "user" }], "step": 2 }).to_string();
    let all: &[&str] = &["user", "assistant", "system", "tool", "", "User"];
    for (may, roles, rewrites) in [
        (None, all, true),
        (Some(ClientPermissions::everything()), all, true),
        (Some(ClientPermissions::public()), &["user"][..], false),
        (Some(ClientPermissions::public().roles(["user", "tool"])), &["user", "tool"], false),
        (Some(ClientPermissions::public().rewrite(true)), &["user"], true),
        (Some(ClientPermissions::everything().rewrite(false)), all, false),
    ] {
        let name = format!("{may:?}");
        let service = service(Limits::default(), |api| {
            let api = fields(api);
            if let Some(may) = may { api.client_permissions(may) } else { api }
        });
        service.chat.add_messages(vec![Message::assistant("1"), Message::user("2")]).await.unwrap();
        for role in all {
            let (status, answer) = service.ask("POST", "/messages", message(role)).await;
            if roles.contains(role) {
                assert_eq!(status, 200, "{name} {role}");
            } else {
                let expected = format!("only with these roles: {}", roles.join(", "));
                assert!(
                    status == 403 && answer["error"].as_str().unwrap().contains(&expected),
                    "{name} {answer}"
                );
            }
        }
        let before = service.etag().await;
        let edit = service.ask("PUT", "/messages/2", message("user")).await.0;
        let edit_role = service.ask("PUT", "/messages/2", message("assistant")).await.0;
        let remove = service.ask("DELETE", "/messages/1", "").await.0;
        let rewind = service.ask("POST", "/rewind", r#"{"to":2}"#).await.0;
        let (put, answer) = service.ask("PUT", "", list.clone()).await;
        if rewrites {
            let edit_role_expected = if roles.contains(&"assistant") { 200 } else { 403 };
            assert_eq!(
                (edit, edit_role, remove, rewind, put),
                (200, edit_role_expected, 200, 200, 200),
                "{name}"
            );
        } else {
            assert_eq!((edit, edit_role, remove, rewind, put), (404, 404, 404, 404, 403), "{name}");
            assert!(answer["error"].as_str().unwrap().contains("`messages`"), "{answer}");
            assert_eq!(service.etag().await, before);
        }
        let owner = json!({ "messages": [{ "role": "owner" }] }).to_string();
        let any_role = rewrites && roles == all;
        assert_eq!(
            service.ask("PUT", "", owner).await.0,
            if any_role { 200 } else { 403 },
            "{name}"
        );
        // These routes stay open.
        for (method, rest, body) in [
            ("PUT", "", r#"{"step":3}"#),
            ("PUT", "/step", "4"),
            ("GET", "/messages?limit=1", ""),
            ("POST", "/reset", ""),
            ("DELETE", "", ""),
        ] {
            assert_eq!(service.ask(method, rest, body).await.0, 200, "{name} {method} {rest}");
        }
    }
}

#[tokio::test]
async fn a_message_outside_the_window_is_edited_and_removed_by_its_seq() {
    let service = Service::filled(300, 10).await;
    for seq in [1, 100, 236, 237, 300] {
        let edited = json!({ "role": "user", "content": "edited" });
        let (status, answer) =
            service.ask("PUT", &format!("/messages/{seq}"), edited.to_string()).await;
        assert_eq!(
            (status, answer),
            (200, json!({ "success": true, "message": edited, "seq": seq }))
        );
        for expected in [200, 404] {
            assert_eq!(
                service.ask("DELETE", &format!("/messages/{seq}"), "").await.0,
                expected,
                "{seq}"
            );
        }
        let (status, answer) =
            service.ask("PUT", &format!("/messages/{seq}"), edited.to_string()).await;
        assert_eq!(
            (status, &answer["error"]),
            (404, &format!("there is no message at seq {seq}").into())
        );
        let to = format!("{{\"to\":{seq}}}");
        assert_eq!(service.ask("POST", "/rewind", to).await.0, 404, "{seq}");
    }
    assert_eq!(service.ask("POST", "/rewind", r#"{"to":99}"#).await.0, 200);
    assert_eq!(service.chat.get_state().await.unwrap().messages.len(), 98);
}
