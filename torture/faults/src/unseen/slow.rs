//! A store whose commits and extensions take a while, as on a disk of its own: accepted on the
//! first poll, finished without further ones (S1).

use async_trait::async_trait;
use durable_session::SessionId;
use durable_session::store::{
    ChunkPage, ChunkQuery, Commit, CommitOutcome, DeleteIf, DeleteOutcome, Durability,
    ExtendOutcome, Extension, ListPage, ListQuery, LoadOutcome, LoadQuery, Opening, Page,
    ReadQuery, Salvaged, SessionList, SessionStore, Sharing, StoreError, StoreErrorKind,
    StoreLimits,
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
        let (inner, id, time) = (Arc::clone(&self.inner), id.clone(), self.commit);
        let task = tokio::spawn(async move {
            tokio::time::sleep(time).await;
            inner.commit(&id, commit).await
        });
        task.await.unwrap_or_else(|e| {
            Err(StoreError::new(StoreErrorKind::OutcomeUnknown, "the commit's task ended")
                .with_source(e))
        })
    }

    async fn extend(
        &self,
        id: &SessionId,
        extension: Extension,
    ) -> Result<ExtendOutcome, StoreError> {
        let (inner, id, time) = (Arc::clone(&self.inner), id.clone(), self.commit);
        let task = tokio::spawn(async move {
            tokio::time::sleep(time).await;
            inner.extend(&id, extension).await
        });
        task.await.unwrap_or_else(|e| {
            Err(StoreError::new(StoreErrorKind::OutcomeUnknown, "the extension's task ended")
                .with_source(e))
        })
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

#[async_trait]
impl<S: SessionStore + SessionList + 'static> SessionList for Slow<S> {
    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        self.inner.list(query).await
    }
}
