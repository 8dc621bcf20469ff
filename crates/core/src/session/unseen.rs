//! A store in which no session exists, for callers who must not learn whether one does.

use crate::SessionId;
use crate::store::{
    ChunkPage, ChunkQuery, Commit, CommitOutcome, DeleteIf, DeleteOutcome, Durability,
    ExtendOutcome, Extension, LoadOutcome, LoadQuery, Opening, Page, ReadQuery, Salvaged,
    SessionStore, Sharing, StoreError, StoreErrorKind, StoreLimits,
};
use crate::sync::Arc;
use async_trait::async_trait;

/// Reads as a store without sessions, and changes nothing. Its limits are those of the store
/// inside.
pub(super) struct Unseen(pub(super) Arc<dyn SessionStore>);

fn refused(id: &SessionId) -> StoreError {
    let text = "a handle that sees no session changes none";
    StoreError::new(StoreErrorKind::Unavailable, text).in_session(id)
}

#[async_trait]
impl SessionStore for Unseen {
    async fn load(&self, _: &SessionId, _: LoadQuery) -> Result<LoadOutcome, StoreError> {
        Ok(LoadOutcome::Absent)
    }

    async fn read(&self, _: &SessionId, _: ReadQuery) -> Result<Option<Page>, StoreError> {
        Ok(None)
    }

    async fn read_chunks(
        &self,
        _: &SessionId,
        _: ChunkQuery,
    ) -> Result<Option<ChunkPage>, StoreError> {
        Ok(None)
    }

    async fn salvage(&self, _: &SessionId, _: ReadQuery) -> Result<Option<Salvaged>, StoreError> {
        Ok(None)
    }

    async fn commit(&self, id: &SessionId, _: Commit) -> Result<CommitOutcome, StoreError> {
        Err(refused(id))
    }

    async fn extend(&self, id: &SessionId, _: Extension) -> Result<ExtendOutcome, StoreError> {
        Err(refused(id))
    }

    async fn touch(&self, _: &SessionId, _: u64) -> Result<(), StoreError> {
        Ok(())
    }

    async fn delete(&self, id: &SessionId, _: DeleteIf) -> Result<DeleteOutcome, StoreError> {
        Err(refused(id))
    }

    fn limits(&self) -> StoreLimits {
        self.0.limits()
    }

    fn durability(&self) -> Durability {
        self.0.durability()
    }

    fn sharing(&self) -> Sharing {
        self.0.sharing()
    }

    fn opening(&self) -> Result<Opening, StoreError> {
        self.0.opening()
    }
}
