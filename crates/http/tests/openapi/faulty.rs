//! A store that fails when told to.

use async_trait::async_trait;
use durable_session::SessionId;
use durable_session::store::{
    Commit, CommitOutcome, DeleteIf, DeleteOutcome, Durability, Loaded, Page, ReadQuery, Salvaged,
    SessionStore, StoreError, StoreErrorKind, StoreLimits, TailBounds,
};
use durable_session_memory::MemoryStore;
use std::sync::Mutex;

pub(crate) struct Faulty {
    memory: MemoryStore,
    fault: Mutex<Option<StoreErrorKind>>,
}

impl Default for Faulty {
    fn default() -> Self {
        Self { memory: MemoryStore::new(), fault: Mutex::default() }
    }
}

impl Faulty {
    /// From now on every operation fails with this, or works.
    pub(crate) fn fail(&self, fault: Option<StoreErrorKind>) {
        *self.fault.lock().unwrap() = fault;
    }

    fn check(&self) -> Result<(), StoreError> {
        let fault = *self.fault.lock().unwrap();
        fault.map_or(Ok(()), |kind| Err(StoreError::new(kind, "as the test wishes")))
    }
}

#[async_trait]
impl SessionStore for Faulty {
    fn limits(&self) -> StoreLimits {
        self.memory.limits()
    }

    fn durability(&self) -> Durability {
        self.memory.durability()
    }

    async fn load(&self, id: &SessionId, tail: TailBounds) -> Result<Option<Loaded>, StoreError> {
        self.check()?;
        self.memory.load(id, tail).await
    }

    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        self.check()?;
        self.memory.read(id, query).await
    }

    async fn salvage(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Salvaged>, StoreError> {
        self.check()?;
        self.memory.salvage(id, query).await
    }

    async fn commit(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        self.check()?;
        self.memory.commit(id, commit).await
    }

    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        self.check()?;
        self.memory.touch(id, at).await
    }

    async fn delete(&self, id: &SessionId, condition: DeleteIf) -> Result<DeleteOutcome, StoreError> {
        self.check()?;
        self.memory.delete(id, condition).await
    }
}
