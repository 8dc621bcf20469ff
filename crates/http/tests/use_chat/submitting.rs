//! Sending, sending again, editing and writing anew.

use super::{Service, message, text, text_of, types, user};
use durable_session::{ChatSessions, Message};
use durable_session_http::{Api, Body, InvalidConfig};
use durable_session_memory::MemoryStore;
use serde_json::{Value, json};

#[tokio::test]
async fn a_message_is_stored_and_answered_by_a_stream_with_the_headers_of_the_protocol() {
    let service = Service::open();
    let answer = service.ask("m-1", "one two").await;
    assert_eq!(answer.status, 200);
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-cache"),
        ("x-vercel-ai-ui-message-stream", "v1"),
        ("x-accel-buffering", "no"),
    ] {
        assert_eq!(answer.headers[name], value);
    }
    let Body::Events(events) = &answer.body else { panic!("no stream") };
    assert_eq!(events.keep_alive(), ": keep-alive\n\n", "a ping is no chunk");
    let chunks = answer.all().await;
    assert_eq!(chunks[0], json!({"type": "start", "messageId": "reply-0-to-m-1"}));
    assert_eq!(text(&chunks), "one two");
    assert_eq!(chunks.last(), Some(&json!({"type": "finish"})));
    let stored = service.stored().await;
    assert_eq!(stored[0], user("m-1", "one two"));
    let parts =
        json!([{"type": "step-start"}, {"type": "text", "text": "one two", "state": "done"}]);
    let reply = json!({"role": "assistant", "id": "reply-0-to-m-1", "parts": parts});
    assert_eq!(stored[1], reply);
}

#[tokio::test]
async fn a_message_that_is_sent_again_is_answered_once() {
    let service = Service::gated();
    let mut first = service.ask("m-1", "one two").await;
    first.take(3).await;
    service.gate.add_permits(1);
    first.next().await;
    // The first request broke off in the middle, and the client sends it again.
    drop(first);
    let again = service.ask("m-1", "one two").await;
    service.gate.add_permits(1);
    assert_eq!(text(&again.all().await), "one two");
    let ended = service.ask("m-1", "one two").await.all().await;
    assert_eq!(
        (text(&ended), &ended[0]["messageId"]),
        ("one two".into(), &json!("reply-0-to-m-1"))
    );
    assert_eq!(
        types(&ended),
        ["start", "start-step", "text-start", "text-delta", "text-end", "finish"]
    );
    assert_eq!(service.runs(), 1);
    assert_eq!(service.ids().await, ["m-1", "reply-0-to-m-1"]);
    // The same id with other content is no edit.
    assert_eq!(service.ask("m-1", "three").await.status, 409);
}

#[tokio::test]
async fn an_edit_replaces_the_message_and_drops_what_follows() {
    let service = Service::open();
    for (id, words) in [("m-1", "one"), ("m-2", "two"), ("m-3", "three")] {
        service.ask(id, words).await.all().await;
    }
    let edited = [user("m-1", "one"), user("m-2", "other")];
    let chunks = service.submit("submit-message", Some("m-2"), &edited).await.all().await;
    assert_eq!(chunks[0]["messageId"], "reply-1-to-m-2");
    assert_eq!(text(&chunks), "other");
    let ids = ["m-1", "reply-0-to-m-1", "m-2", "reply-1-to-m-2"];
    assert_eq!(service.ids().await, ids);
    assert_eq!(service.stored().await[2], user("m-2", "other"));
    // The edit is sent again.
    let again = service.submit("submit-message", Some("m-2"), &edited).await.all().await;
    assert_eq!((&again[0], text(&again)), (&chunks[0], "other".into()));
    assert_eq!((service.runs(), service.ids().await.len()), (4, 4));
}

#[tokio::test]
async fn an_answer_is_written_anew_by_its_id_by_the_users_message_or_by_none() {
    let service = Service::open();
    service.ask("m-1", "one").await.all().await;
    service.ask("m-2", "two").await.all().await;
    let regenerate = async |id: Option<&str>| {
        let messages = [user("m-1", "one"), user("m-2", "two")];
        let chunks = service.submit("regenerate-message", id, &messages).await.all().await;
        (chunks[0]["messageId"].as_str().unwrap().to_owned(), text(&chunks))
    };
    let wrote = |attempt: u64, text: &str| (format!("reply-{attempt}-to-m-2"), text.to_owned());
    assert_eq!(regenerate(None).await, wrote(1, "two"));
    assert_eq!(regenerate(Some("m-2")).await, wrote(2, "two"));
    assert_eq!(regenerate(Some("reply-2-to-m-2")).await, wrote(3, "two"));
    // The same request again finds what has taken the place of the message.
    assert_eq!(regenerate(Some("reply-2-to-m-2")).await, wrote(3, "two"));
    assert_eq!(service.runs(), 5);
    assert_eq!(service.ids().await, ["m-1", "reply-0-to-m-1", "m-2", "reply-3-to-m-2"]);
    // An earlier answer, with all that follows.
    assert_eq!(regenerate(Some("reply-0-to-m-1")).await, ("reply-1-to-m-1".into(), "one".into()));
    assert_eq!(service.ids().await, ["m-1", "reply-1-to-m-1"]);
    for unknown in ["m-9", "reply-0-to-m-9", "reply-9-to-m-1"] {
        let answer = service.submit("regenerate-message", Some(unknown), &[]).await;
        assert_eq!(answer.status, 404, "{unknown}");
    }
}

#[tokio::test]
async fn an_answer_that_is_being_written_ends_when_it_is_written_anew() {
    let service = Service::gated();
    let mut first = service.ask("m-1", "one two").await;
    first.take(2).await;
    let second = service.submit("regenerate-message", None, &[user("m-1", "one two")]).await;
    let ended = first.all().await;
    assert_eq!(ended.iter().filter(|chunk| chunk["type"] == "abort").count(), 1, "{ended:?}");
    service.gate.add_permits(9);
    assert_eq!(text(&second.all().await), "one two");
    assert_eq!(service.ids().await, ["m-1", "reply-1-to-m-1"]);
}

#[tokio::test]
async fn messages_far_back_are_found_by_their_ids() {
    let service = Service::open();
    for n in 0..300 {
        let parts = json!([{"type": "text", "text": n.to_string()}]);
        let old = json!({"id": format!("old-{n}"), "role": "user", "parts": parts});
        service.chat.add_message(message(&old)).await.unwrap();
    }
    let edited = service.submit("submit-message", Some("old-7"), &[user("old-7", "new")]).await;
    assert_eq!(text(&edited.all().await), "new");
    let stored = service.stored().await;
    assert_eq!((stored.len(), text_of(&stored[8])), (9, "new".into()));
}

#[tokio::test]
async fn what_is_stored_counts_and_not_what_the_client_sends_besides() {
    let service = Service::open();
    service.ask("m-1", "one").await.all().await;
    let forged = [user("m-1", "forged"), user("m-0", "forged"), user("m-2", "two")];
    service.submit("submit-message", None, &forged).await.all().await;
    assert_eq!(service.stored().await[0], user("m-1", "one"));
    assert_eq!(service.ids().await, ["m-1", "reply-0-to-m-1", "m-2", "reply-0-to-m-2"]);
    // The last message alone, as services that store messages ask their clients to send it.
    let body =
        json!({"id": "chat-1", "message": user("m-3", "three"), "trigger": "submit-message"});
    let chunks = service.send("POST", "/api/chat", body).await.all().await;
    assert_eq!(text(&chunks), "three");
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_and_change_nothing() {
    let service = Service::open();
    let assistant = json!({"id": "x", "role": "assistant", "parts": []});
    let with = |body: Value| service.send("POST", "/api/chat", body);
    let one = user("m-1", "one");
    for (body, status) in [
        (json!([]), 400),
        (json!({"messages": [one]}), 400),
        (json!({"id": "a/b", "messages": [one]}), 400),
        (json!({"id": "chat-1"}), 400),
        (json!({"id": "chat-1", "messages": []}), 400),
        (json!({"id": "chat-1", "messages": 1}), 400),
        (json!({"id": "chat-1", "messages": [1]}), 400),
        (json!({"id": "chat-1", "messages": [one], "trigger": "resume-stream"}), 400),
        (json!({"id": "chat-1", "messages": [one], "messageId": 1}), 400),
        (json!({"id": "chat-1", "messages": [{"role": "user", "parts": []}]}), 400),
        (json!({"id": "chat-1", "messages": [assistant]}), 404),
        (json!({"id": "chat-1", "messages": [{"id": "s", "role": "system", "parts": []}]}), 403),
        (json!({"id": "chat-1", "messages": [{"id": "s", "role": "user", "content": ""}]}), 403),
        (json!({"id": "chat-1", "messages": [], "trigger": "regenerate-message"}), 404),
    ] {
        assert_eq!(with(body.clone()).await.status, status, "{body}");
    }
    for (method, path, status) in [
        ("GET", "/api/chat", 405),
        ("POST", "/api/chat/chat-1/stream", 405),
        ("GET", "/api/chat/chat-1/stop", 405),
        ("GET", "/api/chat/chat-1", 404),
        ("GET", "/api/chat/a%2Fb/stream", 400),
        ("GET", "/api/chat/session/chat-1", 200),
        ("GET", "/api/chat/session/stream", 200),
    ] {
        let answer = service.send(method, path, Value::Null).await;
        assert_eq!(answer.status, status, "{method} {path}");
    }
    assert_eq!(service.stored().await, Vec::<Value>::new());
    service.chat.add_message(Message::assistant("Hi!").with_id("greeting")).await.unwrap();
    let answer = service.submit("regenerate-message", None, &[]).await;
    assert_eq!(answer.status, 409, "a greeting answers nothing");
    assert_eq!(service.runs(), 0);
}

#[test]
fn the_path_must_be_usable_and_somebody_must_answer() {
    let builder = || {
        let sessions: ChatSessions = ChatSessions::builder(MemoryStore::new()).build();
        Api::builder(sessions)
    };
    for base in ["", "/", "chat", "/chat/", "/api/chat/session"] {
        let built = builder().use_chat(base).reply_with(|_, _, _| async { Ok(()) }).build();
        assert!(matches!(built.map(drop), Err(InvalidConfig::ChatBase { .. })), "{base}");
    }
    assert_eq!(builder().use_chat("/chat").build().map(drop), Err(InvalidConfig::NoHandler));
}
