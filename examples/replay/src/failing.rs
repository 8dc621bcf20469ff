//! Tests over a store that fails for one session.

use crate::add::Work;
use crate::input::Conversations;
use crate::told::Told;
use crate::verify;
use async_trait::async_trait;
use durable_session::store::{
    Commit, CommitOutcome, DeleteIf, DeleteOutcome, Durability, Loaded, Page, ReadQuery, Salvaged,
    SessionStore, StoreError, StoreErrorKind, StoreLimits, TailBounds,
};
use durable_session::{ChatSessions, SessionId};
use durable_session_memory::MemoryStore;
use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Fails so for the session `bad`, in commits or in loads.
#[derive(Clone)]
struct Failing {
    inner: MemoryStore,
    commits: Option<StoreErrorKind>,
    loads: Option<StoreErrorKind>,
}

fn fail(id: &SessionId, kind: Option<StoreErrorKind>) -> Result<(), StoreError> {
    kind.filter(|_| id.as_str() == "bad")
        .map_or(Ok(()), |kind| Err(StoreError::new(kind, "the test says so")))
}

#[async_trait]
impl SessionStore for Failing {
    async fn load(&self, id: &SessionId, tail: TailBounds) -> Result<Option<Loaded>, StoreError> {
        fail(id, self.loads)?;
        self.inner.load(id, tail).await
    }

    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        self.inner.read(id, query).await
    }

    async fn salvage(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Salvaged>, StoreError> {
        self.inner.salvage(id, query).await
    }

    async fn commit(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        fail(id, self.commits)?;
        self.inner.commit(id, commit).await
    }

    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        self.inner.touch(id, at).await
    }

    async fn delete(&self, id: &SessionId, condition: DeleteIf) -> Result<DeleteOutcome, StoreError> {
        self.inner.delete(id, condition).await
    }

    fn limits(&self) -> StoreLimits {
        self.inner.limits()
    }

    fn durability(&self) -> Durability {
        self.inner.durability()
    }
}

fn three() -> Conversations {
    let line = |id: &str| {
        format!("{{\"id\":\"{id}\",\"messages\":[{{\"role\":\"user\"}},{{\"role\":\"tool\"}}]}}\n")
    };
    Conversations::new(Cursor::new([line("a"), line("bad"), line("c")].concat()))
}

/// Adds one conversation after the other: whether that went well, how many were stored, how many
/// messages and skips.
async fn added(store: &Failing) -> (bool, u64, u64, u64) {
    let told = Told::new("test");
    let work = Work::new(ChatSessions::builder(store.clone()).build(), told.clone(), false);
    let done = Arc::clone(&work.done);
    let ran = work.run(three(), 1).await;
    let stored = done.conversations.load(Ordering::Relaxed);
    (ran.is_ok(), stored, done.messages.load(Ordering::Relaxed), told.skipped())
}

#[tokio::test]
async fn an_error_of_one_conversation_skips_it_and_an_error_of_the_store_ends_the_run() {
    use StoreErrorKind::{Closed, Corrupt, Internal, OutcomeUnknown, TooLarge, Unavailable};
    let failing = |commits, loads| Failing { inner: MemoryStore::new(), commits, loads };
    for kind in [TooLarge, Corrupt] {
        assert_eq!(added(&failing(Some(kind), None)).await, (true, 2, 4, 1), "{kind:?}");
        assert_eq!(added(&failing(None, Some(kind))).await, (true, 2, 4, 1), "{kind:?}");
    }
    for kind in [Unavailable, OutcomeUnknown, Closed, Internal] {
        assert_eq!(added(&failing(Some(kind), None)).await, (false, 1, 2, 0), "{kind:?}");
        assert_eq!(added(&failing(None, Some(kind))).await, (false, 1, 2, 0), "{kind:?}");
    }
}

#[tokio::test]
async fn what_is_stored_and_cannot_be_read_is_lost() {
    let mut store = Failing { inner: MemoryStore::new(), commits: None, loads: None };
    assert_eq!(added(&store).await, (true, 3, 6, 0));
    for (kind, lost) in [
        (None, Some(0)),
        (Some(StoreErrorKind::Corrupt), Some(2)),
        (Some(StoreErrorKind::Unavailable), None),
        (Some(StoreErrorKind::Closed), None),
    ] {
        store.loads = kind;
        let sessions = ChatSessions::builder(store.clone()).build();
        let verified = verify::all(&sessions, three(), &Told::new("test")).await.ok();
        assert_eq!(verified.map(|verified| verified.faults.lost), lost, "{kind:?}");
        assert!(verified.is_none_or(|verified| verified.conversations == 3 && verified.messages == 6));
    }
}
