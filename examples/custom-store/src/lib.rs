//! A session store in one append-only file: an example of a store by a third party.
//!
//! `docs/custom-store.md` walks through it. Every change is one frame at the end of a log, synced
//! before it is acknowledged. An index in memory has the place of every row in the log. One thread
//! owns both, so commits have one order and no disk work happens on an async executor.

mod commit;
pub mod log;
mod read;
mod sessions;

use async_trait::async_trait;
use durable_session::SessionId;
use durable_session::env::{Random, RandomError, SystemRandom};
use durable_session::store::{
    ChunkPage, ChunkQuery, Commit, CommitOutcome, DeleteIf, DeleteOutcome, Durability,
    ExtendOutcome, Extension, ListPage, ListQuery, LoadOutcome, LoadQuery, Opening, Page,
    ReadQuery, Salt, Salvaged, SessionList, SessionStore, Sharing, StoreError, StoreErrorKind,
    StoreLimits,
};
use futures_channel::oneshot;
use sessions::Sessions;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

type Request = Box<dyn FnOnce(&mut Sessions) + Send>;

/// A store in one append-only file. Clones share the file; dropping the last clone closes it.
#[derive(Debug, Clone)]
pub struct LogStore(Arc<Worker>);

/// The thread that owns the log.
#[derive(Debug)]
struct Worker {
    opening: Opening,
    requests: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The thread ends after it has answered all requests.
        self.requests = None;
        // The thread itself drops the last handle if it wakes a caller that holds it. It cannot
        // wait for itself.
        let other = |thread: &JoinHandle<()>| thread.thread().id() != thread::current().id();
        if let Some(thread) = self.thread.take().filter(other) {
            let _ = thread.join();
        }
    }
}

/// 1 MiB for a message body and for the app state, 8 MiB and 4,096 operations for a commit.
pub(crate) const LIMITS: StoreLimits = StoreLimits::new(1 << 20, 1 << 20, 8 << 20, 4096);

impl LogStore {
    /// Opens the file or creates it. Blocks while it reads the whole file once.
    ///
    /// # Errors
    /// Unavailable if the file cannot be opened or is open already; corrupt if it has a damaged
    /// frame.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("sessions.log");
    /// use durable_session::ChatSessions;
    /// use log_store::LogStore;
    ///
    /// let store = LogStore::open(&path)?;
    /// let sessions: ChatSessions = ChatSessions::builder(store).build();
    /// # Ok(())
    /// # }
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::start(path.as_ref(), None)
    }

    /// Opens a copy of the file in the place of the original. The copy may be from any moment.
    ///
    /// A new salt keeps versions that the original made after the copy from being made again (S12).
    ///
    /// # Errors
    /// As [`open`](Self::open); unavailable also if the system has no randomness.
    pub fn open_restored(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let mut bits = [0; 8];
        SystemRandom.fill(&mut bits).map_err(no_randomness)?;
        Self::start(path.as_ref(), Some(Salt::new(u64::from_le_bytes(bits))))
    }

    fn start(path: &Path, salt: Option<Salt>) -> Result<Self, StoreError> {
        let opening = Opening::draw(&SystemRandom).map_err(no_randomness)?;
        let mut sessions = Sessions::open(path, salt)?;
        let (requests, inbox) = mpsc::channel::<Request>();
        let thread = thread::Builder::new()
            .name("log-store".into())
            .spawn(move || inbox.into_iter().for_each(|request| request(&mut sessions)))
            .map_err(|e| {
                StoreError::new(StoreErrorKind::Unavailable, "could not start a thread")
                    .with_source(e)
            })?;
        Ok(Self(Arc::new(Worker { opening, requests: Some(requests), thread: Some(thread) })))
    }

    /// Does `work` on the thread. The first poll accepts it, and it is done even if the future is
    /// dropped then (S1).
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Sessions) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let request: Request = Box::new(move |sessions| drop(reply.send(work(sessions))));
        let sent = self.0.requests.as_ref().is_some_and(|requests| requests.send(request).is_ok());
        if !sent {
            return Err(StoreError::new(StoreErrorKind::Closed, "the store's thread has ended"));
        }
        answer.await.map_err(|_| {
            StoreError::new(StoreErrorKind::OutcomeUnknown, "the store's thread panicked")
        })?
    }
}

fn no_randomness(e: RandomError) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "the system has no randomness").with_source(e)
}

#[async_trait]
impl SessionStore for LogStore {
    async fn load(&self, id: &SessionId, query: LoadQuery) -> Result<LoadOutcome, StoreError> {
        let id = id.clone();
        self.run(move |sessions| sessions.load(&id, query)).await
    }

    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        let id = id.clone();
        self.run(move |sessions| sessions.read(&id, query)).await
    }

    async fn read_chunks(
        &self,
        id: &SessionId,
        query: ChunkQuery,
    ) -> Result<Option<ChunkPage>, StoreError> {
        let id = id.clone();
        self.run(move |sessions| sessions.read_chunks(&id, query)).await
    }

    async fn salvage(
        &self,
        id: &SessionId,
        query: ReadQuery,
    ) -> Result<Option<Salvaged>, StoreError> {
        let id = id.clone();
        self.run(move |sessions| sessions.salvage(&id, query)).await
    }

    async fn commit(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        LIMITS.check(id, &commit)?;
        let id = id.clone();
        self.run(move |sessions| sessions.commit(&id, commit)).await
    }

    async fn extend(
        &self,
        id: &SessionId,
        extension: Extension,
    ) -> Result<ExtendOutcome, StoreError> {
        LIMITS.check_extension(id, &extension)?;
        let id = id.clone();
        self.run(move |sessions| sessions.extend(&id, &extension)).await
    }

    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        let id = id.clone();
        self.run(move |sessions| sessions.touch(&id, at)).await
    }

    async fn delete(
        &self,
        id: &SessionId,
        condition: DeleteIf,
    ) -> Result<DeleteOutcome, StoreError> {
        let id = id.clone();
        self.run(move |sessions| sessions.delete(&id, condition)).await
    }

    fn limits(&self) -> StoreLimits {
        LIMITS
    }

    fn durability(&self) -> Durability {
        Durability::Synced
    }

    fn sharing(&self) -> Sharing {
        Sharing::Exclusive
    }

    fn opening(&self) -> Result<Opening, StoreError> {
        Ok(self.0.opening.clone())
    }
}

#[async_trait]
impl SessionList for LogStore {
    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        let query = query.clone();
        self.run(move |sessions| Ok(sessions.list(&query))).await
    }
}
