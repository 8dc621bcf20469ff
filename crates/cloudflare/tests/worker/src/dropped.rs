//! A caller of `add_message` that goes away after one poll, like the request of a client that has
//! disconnected.

use crate::commands::{Answer, id, number, text};
use async_trait::async_trait;
use durable_session::store::{
    ChunkPage, ChunkQuery, Commit, CommitOutcome, DeleteIf, DeleteOutcome, Durability,
    ExtendOutcome, Extension, LoadOutcome, LoadQuery, Opening, Page, ReadQuery, Salvaged,
    SessionStore, Sharing, StoreError, StoreErrorKind, StoreLimits, TailBounds,
};
use durable_session::{ChatSessions, JsonObject, Message, MessageQuery, SessionId};
use durable_session_cloudflare::{DurableObjectStore, WorkerClock, WorkerRandom};
use futures_channel::oneshot;
use serde_json::{Value, json};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use worker::wasm_bindgen_futures::spawn_local;
use worker::{Delay, State};

/// An object's storage whose commits take `ms`. They are accepted on the first poll and finish
/// without further ones (S1), in a task of their own.
struct Slow {
    inner: Arc<DurableObjectStore>,
    ms: u64,
}

/// Adds a message to the session `session`, polled once and dropped, and reads it with `read` half
/// a second later. A commit takes `ms`; 0 is the storage as it is, which commits within that poll.
pub(crate) async fn run(state: &State, body: &Value) -> Answer {
    let inner = Arc::new(DurableObjectStore::new(state.storage()));
    let ms = number(body, "ms")?;
    let store: Arc<dyn SessionStore> = match ms {
        0 => inner.clone(),
        ms => Arc::new(Slow { inner: inner.clone(), ms }),
    };
    let sessions = ChatSessions::<JsonObject>::builder_with(store, WorkerClock, WorkerRandom)
        .greeting(Message::assistant("Hi!"))
        .build();
    let chat = sessions.session(id(body)?);
    chat.snapshot().await?;
    let finished = {
        let mut call = pin!(chat.add_message(Message::user("hello")));
        poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_ready())).await
    };
    Delay::from(Duration::from_millis(500 + ms)).await;
    let loaded = inner.load(chat.id(), LoadQuery::new(TailBounds::new(1, 1))).await?.loaded();
    let read = match text(body, "read")? {
        "snapshot" => chat.snapshot().await?.message_count(),
        "messages" => chat.messages(MessageQuery::last(100)).await?.messages.len() as u64,
        "get_state" => chat.get_state().await?.messages.len() as u64,
        "get_state_json" => {
            let state: Value = serde_json::from_str(&chat.get_state_json().await?.1)?;
            state["messages"].as_array().map_or(0, Vec::len) as u64
        }
        "a new handle" => sessions.session(id(body)?).snapshot().await?.message_count(),
        unknown => return Err(format!("unknown read {unknown}").into()),
    };
    let durable = loaded.map_or(0, |loaded| loaded.head.messages);
    Ok(json!({ "finished": finished, "durable": durable, "read": read }))
}

#[async_trait]
impl SessionStore for Slow {
    async fn load(&self, id: &SessionId, query: LoadQuery) -> Result<LoadOutcome, StoreError> {
        self.inner.load(id, query).await
    }

    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        self.inner.read(id, query).await
    }

    async fn read_chunks(
        &self,
        id: &SessionId,
        query: ChunkQuery,
    ) -> Result<Option<ChunkPage>, StoreError> {
        self.inner.read_chunks(id, query).await
    }

    async fn salvage(
        &self,
        id: &SessionId,
        query: ReadQuery,
    ) -> Result<Option<Salvaged>, StoreError> {
        self.inner.salvage(id, query).await
    }

    async fn commit(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        let (inner, id, ms) = (Arc::clone(&self.inner), id.clone(), self.ms);
        let (tell, told) = oneshot::channel();
        spawn_local(async move {
            Delay::from(Duration::from_millis(ms)).await;
            // The caller may be gone.
            let _ = tell.send(inner.commit(&id, commit).await);
        });
        told.await.unwrap_or_else(|e| {
            Err(StoreError::new(StoreErrorKind::OutcomeUnknown, "the commit's task ended")
                .with_source(e))
        })
    }

    async fn extend(
        &self,
        id: &SessionId,
        extension: Extension,
    ) -> Result<ExtendOutcome, StoreError> {
        self.inner.extend(id, extension).await
    }

    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        self.inner.touch(id, at).await
    }

    async fn delete(
        &self,
        id: &SessionId,
        condition: DeleteIf,
    ) -> Result<DeleteOutcome, StoreError> {
        self.inner.delete(id, condition).await
    }

    fn limits(&self) -> StoreLimits {
        self.inner.limits()
    }

    fn durability(&self) -> Durability {
        self.inner.durability()
    }

    fn sharing(&self) -> Sharing {
        self.inner.sharing()
    }

    fn opening(&self) -> Result<Opening, StoreError> {
        self.inner.opening()
    }
}
