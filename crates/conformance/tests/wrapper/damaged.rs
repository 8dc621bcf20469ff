//! A store with one damaged message in every session.

use async_trait::async_trait;
use durable_session::SessionId;
use durable_session::store::{
    LoadOutcome, LoadQuery, Page, ReadQuery, Row, SessionStore, StoreError, StoreErrorKind,
};
use durable_session_memory::MemoryStore;
use testkit::Wrapper;

pub(crate) struct Damaged {
    pub(crate) inner: MemoryStore,
    /// The seq of the damaged message.
    pub(crate) seq: u64,
}

impl Damaged {
    fn check(&self, id: &SessionId, rows: &[Row]) -> Result<(), StoreError> {
        if rows.iter().all(|row| row.seq != self.seq) {
            return Ok(());
        }
        Err(StoreError::new(StoreErrorKind::Corrupt, "this message is damaged")
            .in_session(id)
            .at_seq(self.seq))
    }
}

#[async_trait]
impl Wrapper for Damaged {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.inner
    }

    async fn load(&self, id: &SessionId, query: LoadQuery) -> Result<LoadOutcome, StoreError> {
        let outcome = self.inner.load(id, query).await?;
        if let LoadOutcome::Loaded(loaded) = &outcome {
            self.check(id, &loaded.tail)?;
        }
        Ok(outcome)
    }

    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        let page = self.inner.read(id, query).await?;
        if let Some(page) = &page {
            self.check(id, &page.rows)?;
        }
        Ok(page)
    }
}
