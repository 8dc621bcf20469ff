//! A store whose commits take a while, as on a disk of its own: accepted on the first poll, finished
//! without further ones (S1).

use async_trait::async_trait;
use durable_session::SessionId;
use durable_session::store::{
    Commit, CommitOutcome, DeleteIf, DeleteOutcome, Durability, ListPage, ListQuery, Loaded, Page, ReadQuery,
    Salvaged, SessionList, SessionStore, StoreError, StoreErrorKind, StoreLimits, TailBounds,
};
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Slow<S> {
    inner: Arc<S>,
    commit: Duration,
}

impl<S> Slow<S> {
    pub(super) fn new(inner: S, commit: Duration) -> Self {
        Self { inner: Arc::new(inner), commit }
    }
}

#[async_trait]
impl<S: SessionStore + 'static> SessionStore for Slow<S> {
    async fn load(&self, id: &SessionId, tail: TailBounds) -> Result<Option<Loaded>, StoreError> {
        self.inner.load(id, tail).await
    }

    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        self.inner.read(id, query).await
    }

    async fn salvage(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Salvaged>, StoreError> {
        self.inner.salvage(id, query).await
    }

    async fn commit(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        let (inner, id, time) = (Arc::clone(&self.inner), id.clone(), self.commit);
        let task = tokio::spawn(async move {
            tokio::time::sleep(time).await;
            inner.commit(&id, commit).await
        });
        task.await.unwrap_or_else(|e| {
            Err(StoreError::new(StoreErrorKind::OutcomeUnknown, "the commit's task ended").with_source(e))
        })
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

#[async_trait]
impl<S: SessionStore + SessionList + 'static> SessionList for Slow<S> {
    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        self.inner.list(query).await
    }
}
