//! A session store in one append-only file: an example of a store that a third party writes.
//!
//! `docs/custom-store.md` walks through it. Every change is one frame at the end of a log, synced before its caller is
//! told; an index in memory says where each message lies. One thread owns both, so commits have one order and no disk
//! work happens on an async executor.

mod commit;
pub mod log;
mod sessions;

use async_trait::async_trait;
use durable_session::SessionId;
use durable_session::store::{
    Commit, CommitOutcome, DeleteIf, DeleteOutcome, Durability, ListPage, ListQuery, Loaded, Page, ReadQuery,
    Salvaged, SessionList, SessionStore, StoreError, StoreErrorKind, StoreLimits, TailBounds,
};
use futures_channel::oneshot;
use sessions::Sessions;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

type Request = Box<dyn FnOnce(&mut Sessions) + Send>;

/// Keeps sessions in one append-only file. A clone is the same store; dropping the last one closes the file.
#[derive(Debug, Clone)]
pub struct LogStore(Arc<Worker>);

/// The thread that owns the log.
#[derive(Debug)]
struct Worker {
    requests: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The thread ends when it has answered everything that was sent.
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

const LIMITS: StoreLimits = StoreLimits {
    max_body_bytes: 1 << 20,
    max_app_bytes: 1 << 20,
    max_commit_bytes: 8 << 20,
    max_commit_ops: 4096,
};

impl LogStore {
    /// Opens the file, or creates it, and reads it once from beginning to end. It blocks meanwhile.
    ///
    /// # Errors
    /// Unavailable if the file cannot be opened or another process has it; corrupt if it cannot be understood.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let mut sessions = Sessions::open(path.as_ref())?;
        let (requests, inbox) = mpsc::channel::<Request>();
        let thread = thread::Builder::new()
            .name("log-store".into())
            .spawn(move || inbox.into_iter().for_each(|request| request(&mut sessions)))
            .map_err(|e| {
                StoreError::new(StoreErrorKind::Unavailable, "could not start a thread").with_source(e)
            })?;
        Ok(Self(Arc::new(Worker { requests: Some(requests), thread: Some(thread) })))
    }

    /// Has the thread do something. It is accepted with the first poll, and done whether anybody waits or not (S1).
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
        answer
            .await
            .map_err(|_| StoreError::new(StoreErrorKind::OutcomeUnknown, "the store's thread panicked"))?
    }
}

#[async_trait]
impl SessionStore for LogStore {
    async fn load(&self, id: &SessionId, tail: TailBounds) -> Result<Option<Loaded>, StoreError> {
        let id = id.clone();
        self.run(move |sessions| sessions.load(&id, tail)).await
    }

    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        let id = id.clone();
        self.run(move |sessions| sessions.read(&id, query)).await
    }

    async fn salvage(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Salvaged>, StoreError> {
        let id = id.clone();
        self.run(move |sessions| sessions.salvage(&id, query)).await
    }

    async fn commit(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        LIMITS.check(id, &commit)?;
        let id = id.clone();
        self.run(move |sessions| sessions.commit(&id, commit)).await
    }

    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        let id = id.clone();
        self.run(move |sessions| sessions.touch(&id, at)).await
    }

    async fn delete(&self, id: &SessionId, condition: DeleteIf) -> Result<DeleteOutcome, StoreError> {
        let id = id.clone();
        self.run(move |sessions| sessions.delete(&id, condition)).await
    }

    fn limits(&self) -> StoreLimits {
        LIMITS
    }

    fn durability(&self) -> Durability {
        Durability::Synced
    }
}

#[async_trait]
impl SessionList for LogStore {
    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        let query = query.clone();
        self.run(move |sessions| Ok(sessions.list(&query))).await
    }
}
