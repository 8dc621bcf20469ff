//! A graceful end, and clients that go away.

use crate::host::{Host, id, listen};
use async_trait::async_trait;
use axum::Router;
use bytes::Bytes;
use durable_session::store::{
    Commit, CommitOutcome, DeleteIf, DeleteOutcome, Durability, Loaded, Page, ReadQuery, Salvaged,
    SessionStore, StoreError, StoreLimits, TailBounds,
};
use durable_session::{ChatSessions, Message, SessionId};
use durable_session_http::client::{ChatSessionClient, Retry};
use durable_session_http::server::{RouterOptions, Shutdown, router};
use durable_session_memory::MemoryStore;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tutoring::Tutoring;

/// A store whose commits wait until they are let go.
struct Slow {
    memory: MemoryStore,
    /// A permit for each commit that was begun.
    begun: Semaphore,
    /// A permit for each commit that may go on.
    go: Semaphore,
}

#[async_trait]
impl SessionStore for Slow {
    fn limits(&self) -> StoreLimits {
        self.memory.limits()
    }

    fn durability(&self) -> Durability {
        self.memory.durability()
    }

    async fn load(&self, id: &SessionId, tail: TailBounds) -> Result<Option<Loaded>, StoreError> {
        self.memory.load(id, tail).await
    }

    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        self.memory.read(id, query).await
    }

    async fn salvage(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Salvaged>, StoreError> {
        self.memory.salvage(id, query).await
    }

    async fn commit(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        self.begun.add_permits(1);
        self.go.acquire().await.unwrap().forget();
        self.memory.commit(id, commit).await
    }

    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        self.memory.touch(id, at).await
    }

    async fn delete(&self, id: &SessionId, condition: DeleteIf) -> Result<DeleteOutcome, StoreError> {
        self.memory.delete(id, condition).await
    }
}

fn slow() -> (Arc<Slow>, ChatSessions<Tutoring>, Shutdown, Router) {
    let slow = Arc::new(Slow { memory: MemoryStore::new(), begun: Semaphore::new(0), go: Semaphore::new(0) });
    let sessions = ChatSessions::builder(Arc::clone(&slow)).build();
    let shutdown = Shutdown::new();
    let mut options = RouterOptions::default();
    options.shutdown = shutdown.clone();
    let app = router(crate::host::api(sessions.clone()), options);
    (slow, sessions, shutdown, app)
}

#[tokio::test]
async fn a_change_under_way_is_finished_and_answered_before_the_server_ends() {
    let (slow, sessions, shutdown, app) = slow();
    let (addr, serving) = listen(app, shutdown.clone()).await;
    let chat = ChatSessionClient::new(&format!("http://{addr}"), id()).unwrap().retry(Retry::never());
    let posting = tokio::spawn({
        let chat = chat.clone();
        async move { chat.add_message(Message::user("last words")).await }
    });
    slow.begun.acquire().await.unwrap().forget();
    shutdown.begin();
    slow.go.add_permits(1);
    posting.await.unwrap().unwrap();
    serving.await.unwrap();
    shutdown.finished().await;
    sessions.close().await.unwrap();
    let stored = slow.memory.load(chat.id(), TailBounds { max_messages: 9, max_bytes: 999 }).await.unwrap();
    assert_eq!(stored.unwrap().tail.len(), 1);
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_stop_its_change() {
    let (slow, sessions, shutdown, app) = slow();
    let (addr, _serving) = listen(app, shutdown.clone()).await;
    let chat = ChatSessionClient::new(&format!("http://{addr}"), id()).unwrap().retry(Retry::never());
    let posting = tokio::spawn({
        let chat = chat.clone();
        async move { chat.add_message(Message::user("and off")).await }
    });
    slow.begun.acquire().await.unwrap().forget();
    posting.abort();
    assert!(posting.await.unwrap_err().is_cancelled());
    slow.go.add_permits(1);
    shutdown.begin();
    shutdown.finished().await;
    assert_eq!(
        slow.memory
            .load(chat.id(), TailBounds { max_messages: 9, max_bytes: 999 })
            .await
            .unwrap()
            .unwrap()
            .tail
            .len(),
        1
    );
    drop(sessions);
}

#[tokio::test]
async fn event_streams_end_with_the_server_and_are_kept_alive_until_then() {
    use http_body_util::BodyExt;
    let host = Host::start().await;
    let url = format!("{}/api/chat/session/{}/events", host.base(), id().as_str());
    let mut answer = reqwest::Body::from(reqwest::get(url).await.unwrap());
    let mut read = Vec::new();
    while !read.ends_with(durable_session_http::PING.as_bytes()) {
        let frame: Bytes = answer.frame().await.unwrap().unwrap().into_data().unwrap();
        read.extend_from_slice(&frame);
    }
    host.shutdown.begin();
    while let Some(frame) = answer.frame().await {
        assert!(frame.is_ok());
    }
    host.serving.await.unwrap();
}
