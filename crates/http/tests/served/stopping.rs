//! A graceful shutdown, and clients that disconnect.

use crate::host::{Host, id, listen};
use axum::Router;
use bytes::Bytes;
use durable_session::store::{LoadQuery, SessionStore, TailBounds};
use durable_session::{ChatSessions, Message, SessionId};
use durable_session_http::client::{ChatSessionClient, Retry};
use durable_session_http::server::{RouterOptions, Shutdown, router};
use testkit::Puppet;
use tutoring::Tutoring;

/// The number of stored messages.
async fn stored(store: &Puppet, id: &SessionId) -> usize {
    let query = LoadQuery::new(TailBounds::new(9, 999));
    store.inner.load(id, query).await.unwrap().loaded().unwrap().tail.len()
}

/// A server over a store whose commits wait until a test lets them through.
fn slow() -> (Puppet, ChatSessions<Tutoring>, Shutdown, Router) {
    let store = Puppet::new();
    store.hold_commits();
    let sessions = ChatSessions::builder(store.clone()).build();
    let shutdown = Shutdown::new();
    let mut options = RouterOptions::default();
    options.shutdown = shutdown.clone();
    let app = router(crate::host::api(sessions.clone()), options);
    (store, sessions, shutdown, app)
}

#[tokio::test]
async fn a_change_that_has_begun_is_finished_and_answered_before_the_server_ends() {
    let (store, sessions, shutdown, app) = slow();
    let (addr, serving) = listen(app, shutdown.clone()).await;
    let chat =
        ChatSessionClient::new(&format!("http://{addr}"), id()).unwrap().retry(Retry::never());
    let posting = tokio::spawn({
        let chat = chat.clone();
        async move { chat.add_message(Message::user("last words")).await }
    });
    store.commit_begun().await;
    shutdown.begin();
    store.let_through(1);
    posting.await.unwrap().unwrap();
    serving.await.unwrap();
    shutdown.finished().await;
    sessions.close().await.unwrap();
    assert_eq!(stored(&store, chat.id()).await, 1);
}

#[tokio::test]
async fn a_client_that_disconnects_does_not_stop_its_change() {
    let (store, sessions, shutdown, app) = slow();
    let (addr, _serving) = listen(app, shutdown.clone()).await;
    let chat =
        ChatSessionClient::new(&format!("http://{addr}"), id()).unwrap().retry(Retry::never());
    let posting = tokio::spawn({
        let chat = chat.clone();
        async move { chat.add_message(Message::user("and off")).await }
    });
    store.commit_begun().await;
    posting.abort();
    assert!(posting.await.unwrap_err().is_cancelled());
    store.let_through(1);
    shutdown.begin();
    shutdown.finished().await;
    assert_eq!(stored(&store, chat.id()).await, 1);
    drop(sessions);
}

#[tokio::test]
async fn event_streams_get_pings_and_end_with_the_server() {
    use http_body_util::BodyExt;
    let host = Host::start().await;
    let url = format!("{}/api/chat/session/{}/events", host.base(), id().as_str());
    let mut answer = reqwest::Body::from(reqwest::get(url).await.unwrap());
    let mut read = String::new();
    // The ping of the opening and one after a silence.
    while read.matches(durable_session_http::PING).count() < 2 {
        let frame: Bytes = answer.frame().await.unwrap().unwrap().into_data().unwrap();
        read.push_str(std::str::from_utf8(&frame).unwrap());
    }
    host.shutdown.begin();
    while let Some(frame) = answer.frame().await {
        assert!(frame.is_ok());
    }
    host.serving.await.unwrap();
}
