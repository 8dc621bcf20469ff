//! A store under the control of a test.

use crate::loaded;
use async_trait::async_trait;
use durable_session::SessionId;
use durable_session::store::{
    ChunkPage, ChunkQuery, Commit, CommitOutcome, ExtendOutcome, Extension, SessionStore,
    StoreError, StoreErrorKind, StoreLimits,
};
use durable_session_memory::MemoryStore;
use std::sync::Mutex;
use testkit::{Through, Wrapper};

/// A memory store that loses writes on command, and records its calls.
pub(crate) struct Steered {
    pub(crate) inner: MemoryStore,
    pub(crate) limits: StoreLimits,
    pub(crate) told: Mutex<Told>,
}

#[derive(Default)]
pub(crate) struct Told {
    /// Commits, extensions and touches so far.
    pub(crate) writes: usize,
    /// The write of this number fails, before it happens or after.
    pub(crate) fails: Option<(usize, bool)>,
    /// At the next read of chunks this happens first.
    pub(crate) meanwhile: Option<(Commit, Option<Extension>)>,
    /// Bounds of the reads of chunks.
    pub(crate) chunk_reads: Vec<(usize, u64)>,
    /// The times of last use after each write.
    pub(crate) used: Vec<u64>,
}

impl Steered {
    pub(crate) fn store() -> Through<Self> {
        let inner = MemoryStore::new();
        Through(Self { limits: inner.limits(), inner, told: Mutex::default() })
    }

    /// Takes little at a time.
    pub(crate) fn narrow(ops: usize) -> Through<Self> {
        let mut steered = Self::store();
        steered.limits.max_commit_ops = ops;
        steered
    }

    async fn write<T>(
        &self,
        id: &SessionId,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let fails = {
            let mut told = self.told.lock().unwrap();
            told.writes += 1;
            told.fails.filter(|(at, _)| *at == told.writes).map(|(_, after)| after)
        };
        let lost = |kind| StoreError::new(kind, "the test says so");
        if fails == Some(false) {
            return Err(lost(StoreErrorKind::Unavailable));
        }
        let done = work.await?;
        let used = loaded(&self.inner, id).await.head.last_accessed_at;
        self.told.lock().unwrap().used.push(used);
        if fails == Some(true) { Err(lost(StoreErrorKind::OutcomeUnknown)) } else { Ok(done) }
    }
}

#[async_trait]
impl Wrapper for Steered {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.inner
    }

    async fn read_chunks(
        &self,
        id: &SessionId,
        query: ChunkQuery,
    ) -> Result<Option<ChunkPage>, StoreError> {
        let meanwhile = {
            let mut told = self.told.lock().unwrap();
            told.chunk_reads.push((query.max_chunks, query.max_bytes));
            told.meanwhile.take()
        };
        if let Some((commit, extension)) = meanwhile {
            let outcome = self.inner.commit(id, commit).await.unwrap();
            assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
            if let Some(extension) = extension {
                self.inner.extend(id, extension).await.unwrap();
            }
        }
        self.inner.read_chunks(id, query).await
    }

    async fn commit(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        self.limits.check(id, &commit)?;
        self.write(id, self.inner.commit(id, commit)).await
    }

    async fn extend(
        &self,
        id: &SessionId,
        extension: Extension,
    ) -> Result<ExtendOutcome, StoreError> {
        self.limits.check_extension(id, &extension)?;
        self.write(id, self.inner.extend(id, extension)).await
    }

    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        self.write(id, self.inner.touch(id, at)).await
    }

    fn limits(&self) -> StoreLimits {
        self.limits
    }
}
