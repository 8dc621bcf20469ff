//! The client against a service that works and one that fails.

use crate::host::{Host, id};
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use durable_session::{JsonObject, Message};
use durable_session_http::Refusal;
use durable_session_http::client::{ChatSessionClient, ClientError, Event, PageFrom, Retry};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

fn quick() -> Retry {
    Retry::default().waits(Duration::from_millis(1), Duration::from_millis(5))
}

/// Handles each request, and loses two of three responses.
async fn lose_answers(count: Arc<AtomicU32>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    match count.fetch_add(1, Ordering::Relaxed) % 3 {
        0 => Refusal::unavailable("lost").retry_after(0).into_response(),
        1 => Response::builder().status(502).body("not even JSON".into()).unwrap(),
        _ => response,
    }
}

#[tokio::test]
async fn a_lost_response_never_stores_a_message_twice() {
    let count = Arc::new(AtomicU32::new(0));
    let host = Host::start_with(|app| {
        app.layer(middleware::from_fn(move |request: Request, next: Next| {
            lose_answers(Arc::clone(&count), request, next)
        }))
    })
    .await;
    let chat = ChatSessionClient::new(&host.base(), id()).unwrap().retry(quick());
    for n in 0..10 {
        let stored = chat.add_message(Message::user(format!("{n}"))).await.unwrap();
        assert_eq!((stored.seq, stored.message.id().is_some()), (Some(n + 2), true));
    }
    let messages = host.sessions.session(chat.id().clone()).get_state().await.unwrap().messages;
    let texts: Vec<_> = messages.iter().skip(1).map(|m| m.text().unwrap().into_owned()).collect();
    assert_eq!(texts, (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(chat.messages().await.unwrap(), messages);
}

#[tokio::test]
async fn a_conditional_change_is_not_sent_again_once_it_may_have_been_made() {
    let count = Arc::new(AtomicU32::new(2));
    let host = Host::start_with(|app| {
        app.layer(middleware::from_fn(move |request: Request, next: Next| {
            lose_answers(Arc::clone(&count), request, next)
        }))
    })
    .await;
    let chat = ChatSessionClient::new(&host.base(), id()).unwrap().retry(quick());
    let (_, version) = chat.get_state_versioned().await.unwrap();
    let change: JsonObject = r#"{"future":1}"#.parse().unwrap();
    let error = chat.update_if(&version.clone().unwrap(), &change).await.unwrap_err();
    assert!(error.may_have_happened() && !error.is_version_changed(), "{error}");
    let state = chat.get_state().await.unwrap();
    assert_eq!(state.app.get::<u8>("future").unwrap(), Some(1));
    let error = chat.update_if(&version.unwrap(), &change).await.unwrap_err();
    assert!(error.is_version_changed() || error.may_have_happened(), "{error}");
}

/// Each response is lost once. A removal that was made is then not an error, and messages that
/// others added meanwhile stay.
#[tokio::test]
async fn a_removal_is_sent_again_only_if_it_names_what_it_removes() {
    let lost = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&lost);
    let host = Host::start_with(|app| {
        app.layer(middleware::from_fn(move |request: Request, next: Next| {
            let count = Arc::clone(&count);
            async move {
                let response = next.run(request).await;
                let taken = count
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                    .is_ok();
                if taken {
                    Refusal::unavailable("lost").retry_after(0).into_response()
                } else {
                    response
                }
            }
        }))
    })
    .await;
    let chat = ChatSessionClient::new(&host.base(), id()).unwrap().retry(quick());
    for n in 0..6 {
        chat.add_message(Message::user(format!("{n}"))).await.unwrap();
    }
    let texts = async || {
        let messages = chat.messages().await.unwrap();
        messages
            .iter()
            .skip(1)
            .map(|m| m.text().unwrap().into_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    lost.store(1, Ordering::SeqCst);
    chat.remove(2, None).await.unwrap();
    lost.store(2, Ordering::SeqCst);
    chat.edit(3, &Message::user("edited"), None).await.unwrap();
    assert_eq!(texts().await, "edited 2 3 4 5");
    assert!(chat.remove(2, None).await.unwrap_err().is_not_found(), "it was gone before");

    let (mut state, version) = chat.get_state_versioned().await.unwrap();
    state.messages.truncate(2);
    let once = |result: Result<(), ClientError>| {
        let error = result.unwrap_err();
        assert!(error.may_have_happened() && error.is_transient(), "{error}");
        assert_eq!(lost.swap(1, Ordering::SeqCst), 0, "sent once");
    };
    lost.store(1, Ordering::SeqCst);
    once(chat.remove(7, version.as_deref()).await);
    once(chat.rewind(5, None).await);
    once(chat.update(&state).await.map(drop));
    once(chat.reset().await);
    once(chat.delete().await);
    lost.store(0, Ordering::SeqCst);
    assert!(!host.sessions.session(chat.id().clone()).snapshot().await.unwrap().exists());
}

#[tokio::test]
async fn every_call_of_the_client_works_against_a_service() {
    let host = Host::start().await;
    let chat = ChatSessionClient::new(&host.base(), id()).unwrap().retry(Retry::never());
    let before = chat.get_state().await.unwrap();
    assert_eq!(before.messages.len(), 1);
    chat.add_message(Message::user("hello").with_id("m-1")).await.unwrap();
    let error = chat.add_message(Message::user("other").with_id("m-1")).await.unwrap_err();
    assert!(error.is_id_reused() && !error.is_transient(), "{error}");

    let criteria: JsonObject = r#"{"skill":"python"}"#.parse().unwrap();
    chat.set_field("search-criteria", &criteria).await.unwrap();
    assert!(chat.field::<Option<JsonObject>>("pending-match").await.unwrap().is_none());
    let refused = chat.set_field("booking-info", &7).await.unwrap_err();
    assert!(
        matches!(&refused, ClientError::Refused { status, .. } if status.as_u16() == 422),
        "{refused}"
    );
    let two = r#"{"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]}"#;
    let change: JsonObject = two.parse().unwrap();
    let state = chat.update(&change).await.unwrap();
    assert_eq!(state.messages.len(), 2);
    assert_eq!(state.app.get::<JsonObject>("lastSearchCriteria").unwrap(), Some(criteria));

    let mut whole = chat.get_state().await.unwrap();
    whole.messages.push(Message::user("c"));
    assert_eq!(chat.update(&whole).await.unwrap().messages, whole.messages);
    chat.edit(4, &Message::user("edited"), None).await.unwrap();
    chat.rewind(4, None).await.unwrap();
    chat.edit(4, &Message::user("b"), None).await.unwrap();
    let missing = chat.edit(5, &Message::user("x"), None).await.unwrap_err();
    assert!(missing.is_not_found(), "{missing}");
    assert!(chat.rewind(5, None).await.unwrap_err().is_not_found());

    let page = chat.page(&PageFrom::End, 1).await.unwrap();
    assert_eq!(page.messages[0].1.text().unwrap(), "b");
    let older = chat.page(&PageFrom::Before(page.next.clone().unwrap()), 5).await.unwrap();
    assert_eq!((older.messages.len(), older.next), (1, None));
    chat.reset().await.unwrap();
    assert_eq!(chat.messages().await.unwrap(), before.messages);
    chat.delete().await.unwrap();
    let gone = chat.page(&PageFrom::Before(page.next.unwrap()), 5).await.unwrap_err();
    assert!(gone.is_gone(), "{gone}");
}

#[tokio::test]
async fn events_continue_after_a_break_without_a_gap() {
    let host = Host::start().await;
    let chat = ChatSessionClient::new(&host.base(), id()).unwrap().retry(quick());
    chat.add_message(Message::user("before")).await.unwrap();
    let mut events = chat.events(None);
    events.open().await.unwrap();
    chat.add_message(Message::user("one")).await.unwrap();
    let Event::Message { seq, message } = events.next().await.unwrap() else {
        panic!("a message is expected")
    };
    assert_eq!((seq, message.text().unwrap().into_owned()), (3, "one".to_owned()));

    let cursor = events.cursor().unwrap().to_owned();
    drop(events);
    chat.add_message(Message::user("two")).await.unwrap();
    let mut events = chat.events(Some(cursor.clone()));
    let Event::Message { message, .. } = events.next().await.unwrap() else {
        panic!("a message is expected")
    };
    assert_eq!(message.text().unwrap(), "two");
    chat.set_field("search-criteria", &r#"{"skill":"java"}"#.parse::<JsonObject>().unwrap())
        .await
        .unwrap();
    let Event::State(state) = events.next().await.unwrap() else { panic!("a state is expected") };
    assert!(state.contains("lastSearchCriteria"));

    chat.edit(3, &Message::user("edited"), None).await.unwrap();
    let Event::Edited { seq, message } = events.next().await.unwrap() else {
        panic!("an edit is expected")
    };
    assert_eq!((seq, message.text().unwrap().into_owned()), (3, "edited".to_owned()));

    let mut late = chat.events(Some(cursor));
    assert_eq!(late.next().await.unwrap(), Event::Resync);
    chat.delete().await.unwrap();
    assert_eq!(late.next().await.unwrap(), Event::Resync);
    let mut gone = chat.events(events.cursor().map(str::to_owned));
    assert!(gone.next().await.unwrap_err().is_gone());
}

#[tokio::test]
async fn the_error_of_an_unreachable_service_has_no_session_id() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let chat = ChatSessionClient::new(&base, id()).unwrap().retry(quick().tries(2));
    let error = chat.get_state().await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { sent: false, .. }), "{error:?}");
    assert!(!format!("{error:?}").contains(chat.id().as_str()));
    for base in ["", "ftp://example.com", "http://", "example.com", "http://example.com/?q"] {
        assert!(ChatSessionClient::new(base, id()).is_err(), "{base}");
    }
}
