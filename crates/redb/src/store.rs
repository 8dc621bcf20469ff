//! The store and its handles.

use crate::backup::{self, Progress};
use crate::builder::RedbStoreBuilder;
use crate::engine::Engine;
use crate::error::{BackupError, OpenError, closed, is_contradiction};
use crate::layout::{Logged, Tail};
use crate::readers::Readers;
use crate::stats::Stats;
use crate::verify::{self, Verification};
use crate::writer::{Change, Control, Deadlines, Done, Queue, submit};
use async_trait::async_trait;
use durable_session::SessionId;
use durable_session::planted::bug;
use durable_session::store::{
    Commit, CommitOutcome, DeleteIf, DeleteOutcome, Durability, ListPage, ListQuery, Loaded, Order, Page,
    ReadQuery, Salvaged, SessionList, SessionStore, StoreError, StoreErrorKind, StoreLimits, TailBounds,
};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::oneshot;

const LIMITS: StoreLimits = StoreLimits {
    max_body_bytes: 16 * 1024 * 1024,
    max_app_bytes: 16 * 1024 * 1024,
    max_commit_bytes: 64 * 1024 * 1024,
    max_commit_ops: 4096,
};

/// Chat sessions in one file on the local disk, by [redb](https://www.redb.org).
///
/// One process opens a file at a time. Handles are cheap to clone and share everything. Nothing here blocks the
/// executor and none is needed: all writes are made by one thread, which gathers what is waiting into one transaction,
/// reads by a few others.
///
/// When the last handle is dropped, accepted changes are still finished and the file is closed, in the background;
/// [`close`](Self::close) waits for that. To open a file that is just being closed, by this or another process, see
/// [`wait_for_lock`](RedbStoreBuilder::wait_for_lock).
///
/// Build one `ChatSessions` over it and clone that. Two `ChatSessions` over one store, even in one process, do not tell
/// each other of changes: each shows a session as it loaded it, until it writes to it or drops it from memory.
///
/// ```
/// use durable_session_redb::RedbStore;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("chat.redb");
/// let store = RedbStore::open(&path)?;
/// # drop(store);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct RedbStore(Arc<Handle>);

/// What the handles share; dropped with the last of them.
pub(crate) struct Handle {
    pub(crate) engine: Arc<Engine>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) readers: Readers,
    pub(crate) deadlines: Deadlines,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue.end();
    }
}

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStore").finish_non_exhaustive()
    }
}

impl RedbStore {
    pub(crate) fn new(handle: Handle) -> Self {
        Self(Arc::new(handle))
    }

    /// Opens the store in the file at `path` with the default options; creates it if there is no file.
    ///
    /// Blocks on the disk: see [`RedbStoreBuilder::open`].
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with the file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::builder().open(path)
    }

    /// The options.
    pub fn builder() -> RedbStoreBuilder {
        RedbStoreBuilder::default()
    }

    /// Finishes the accepted changes and closes the file; later calls are
    /// [`Closed`](StoreErrorKind::Closed). When this returns, the file can be opened at once. Closing twice is fine.
    ///
    /// # Errors
    /// The file could not be closed in order. What was acknowledged is stored all the same; opening it again will take
    /// as long as after a crash.
    pub async fn close(&self) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        match self.0.queue.control(Control::Close(answer)) {
            Ok(()) => answered.await.unwrap_or(Ok(())),
            Err(_) => Ok(()),
        }
    }

    /// Opens the file again, from the disk, and checks every page of it.
    ///
    /// The store does this by itself after an I/O error, and again with a later write if it fails; call it to have it
    /// done now, for instance once the disk has room again. Other calls wait meanwhile, for as long as reading the whole
    /// file takes.
    ///
    /// # Errors
    /// [`OpenError`]; the store then answers nothing until a later attempt succeeds. A store over a host's database
    /// or storage backend cannot do this.
    pub async fn reopen(&self) -> Result<(), OpenError> {
        let (answer, answered) = oneshot::channel();
        let was_closed = || OpenError::io("reopening it", std::io::Error::other(closed()));
        self.0.queue.control(Control::Reopen(answer)).map_err(|_| was_closed())?;
        answered.await.unwrap_or_else(|_| Err(was_closed()))
    }

    /// Folds the logs, moves what is stored to the front of the file and gives the rest back to the disk. `false` if
    /// there was nothing to gain. All other calls wait meanwhile, so do this when the service is idle.
    ///
    /// Until then, the text of deleted, removed and replaced messages stays in the file.
    ///
    /// # Errors
    /// [`Unavailable`](StoreErrorKind::Unavailable) over a database that the host uses as well, and while a backup or a
    /// verification reads; otherwise as the I/O fails.
    pub async fn compact(&self) -> Result<bool, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.0.queue.control(Control::Compact(answer))?;
        answered.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Copies the store, as it is at this moment, into a new file that opens as a store of its own. The store goes on
    /// working meanwhile; closing or reopening it ends the backup.
    ///
    /// `progress` is called now and then, on the thread that copies. The file appears under its name only when it is
    /// complete and on the disk. Rows are copied as they are stored: a damaged one stays damaged, and `verify` on the
    /// copy names it.
    ///
    /// # Errors
    /// [`BackupError::Target`] if there is a file at `path` already or it cannot be written;
    /// [`BackupError::Store`] if the store cannot be read. There is no new file at `path` then, and the store goes on.
    pub async fn backup(
        &self,
        path: impl Into<PathBuf>,
        progress: impl FnMut(Progress) + Send + 'static,
    ) -> Result<(), BackupError> {
        let path = path.into();
        self.on_own_thread("backup", move |engine| backup::backup(engine, &path, progress)).await
    }

    /// Reads and checks every row, while the store goes on working, and changes nothing.
    ///
    /// # Errors
    /// [`Corrupt`](StoreErrorKind::Corrupt) if redb cannot read its own file so that the walk had to stop. Rows that
    /// cannot be read are no error but in [`Verification::damage`].
    pub async fn verify(
        &self,
        progress: impl FnMut(Progress) + Send + 'static,
    ) -> Result<Verification, StoreError> {
        self.on_own_thread("verify", move |engine| verify::verify(engine, progress)).await
    }

    /// For what takes so long that the reader threads should not be kept by it.
    async fn on_own_thread<T: Send + 'static, E: From<StoreError> + Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&Engine) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let (answer, answered) = oneshot::channel();
        let engine = Arc::clone(&self.0.engine);
        std::thread::Builder::new()
            .name(format!("durable-session-{name}"))
            .spawn(move || {
                let _ = answer.send(work(&engine));
            })
            .map_err(|e| {
                StoreError::new(StoreErrorKind::Unavailable, "no thread could be started").with_source(e)
            })?;
        answered.await.unwrap_or_else(|_| {
            let what = format!("the {name} thread ended unexpectedly");
            Err(StoreError::new(StoreErrorKind::Internal, what).into())
        })
    }

    /// What the store has done since it was opened, and how much waits.
    pub fn stats(&self) -> Stats {
        let Handle { engine, queue, .. } = &*self.0;
        Stats::of(&engine.counters, queue.depth(), engine.logged().len())
    }

    async fn read_with<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Engine) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.0.readers.run(read).await
    }

    async fn change(&self, id: &SessionId, change: Change) -> Result<Done, StoreError> {
        submit(&self.0.queue, &self.0.deadlines, id, change).await
    }
}

fn unexpected(id: &SessionId) -> StoreError {
    StoreError::new(StoreErrorKind::Internal, "the writer answered another question").in_session(id)
}

fn named(id: &SessionId) -> impl Fn(StoreError) -> StoreError + '_ {
    move |error| if error.session().is_none() { error.in_session(id) } else { error }
}

/// The logged messages that an answer may need: one more than it holds tells that there are more.
fn wanted(logged: &Logged, id: &SessionId, seqs: (u64, u64), max_messages: usize, order: Order) -> Tail {
    let max = max_messages.max(1).saturating_add(1);
    logged.tail(id, seqs.0..=seqs.1, max, order == Order::Forward)
}

#[async_trait]
impl SessionStore for RedbStore {
    async fn load(&self, id: &SessionId, tail: TailBounds) -> Result<Option<Loaded>, StoreError> {
        let key = id.clone();
        self.read_with(move |engine| {
            engine.read(
                |logged| wanted(logged, &key, (1, u64::MAX), tail.max_messages, Order::Backward),
                |tables, logged| tables.load(&key, tail, logged),
            )
        })
        .await
        .map_err(named(id))
    }

    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        let key = id.clone();
        self.read_with(move |engine| {
            engine.read(
                |logged| wanted(logged, &key, (query.first, query.last), query.max_messages, query.order),
                |tables, logged| tables.read(&key, query, logged),
            )
        })
        .await
        .map_err(named(id))
    }

    async fn salvage(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Salvaged>, StoreError> {
        let key = id.clone();
        self.read_with(move |engine| {
            engine.read(
                |logged| wanted(logged, &key, (query.first, query.last), query.max_messages, query.order),
                |tables, logged| tables.salvage(&key, query, logged),
            )
        })
        .await
        .map_err(named(id))
    }

    async fn commit(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        LIMITS.check(id, &commit)?;
        if bug("log-what-is-written") {
            tracing::trace!(?commit, "committing");
        }
        match self.change(id, Change::Commit(commit)).await? {
            Done::Committed(outcome) => Ok(outcome),
            _ => Err(unexpected(id)),
        }
    }

    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        self.change(id, Change::Touch(at)).await.map(drop)
    }

    async fn delete(&self, id: &SessionId, condition: DeleteIf) -> Result<DeleteOutcome, StoreError> {
        match self.change(id, Change::Delete(condition)).await? {
            Done::Deleted(outcome) => Ok(outcome),
            _ => Err(unexpected(id)),
        }
    }

    fn limits(&self) -> StoreLimits {
        LIMITS
    }

    fn durability(&self) -> Durability {
        Durability::Synced
    }
}

#[async_trait]
impl SessionList for RedbStore {
    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        let query = query.clone();
        self.read_with(move |engine| {
            let listed =
                engine.read(|logged| logged.tails(false), |tables, logged| tables.list(&query, logged));
            listed.inspect(|page| {
                let mut damage = page.sessions.iter().filter_map(|listed| listed.head.as_ref().err());
                if let Some(found) = damage.find(|error| is_contradiction(error)) {
                    engine.condemn(found);
                }
            })
        })
        .await
    }
}
