//! The store and its handles.

use crate::backup::{self, Progress};
use crate::error::{BackupError, Fault, OpenError, closed, is_contradiction};
use crate::layout::Snapshot;
use crate::limits::LIMITS;
use crate::readers::Readers;
use crate::shared_store::SharedStore;
use crate::stats::Stats;
use crate::verify::{self, Verification};
use crate::writer::{Control, Deadlines, Queue, Write, WriteOutcome, submit};
use async_trait::async_trait;
use durable_session::SessionId;
use durable_session::store::{
    ChunkPage, ChunkQuery, Commit, CommitOutcome, DeleteIf, DeleteOutcome, Durability, Expect,
    ExtendOutcome, Extension, ListPage, ListQuery, LoadOutcome, LoadQuery, Opening, Page,
    ReadQuery, Salvaged, SessionList, SessionStore, Sharing, StoreError, StoreErrorKind,
    StoreLimits,
};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Chat sessions in a file on the local disk, by [redb](https://www.redb.org), and a write-ahead
/// log beside it.
///
/// One process opens a file at a time. Handles are cheap to clone and share the store. The store
/// needs no executor and blocks none: one thread writes, and gathers all waiting changes into one
/// batch, which is one write and one sync of the log; another moves them to the file later, and a
/// few others read.
///
/// When the last handle is dropped, the store finishes accepted writes and closes in the
/// background; [`close`](Self::close) waits for that. To open a file that is still being closed,
/// use [`wait_for_lock`](crate::RedbStoreBuilder::wait_for_lock).
///
/// Build one `ChatSessions` over a store and clone that. Two `ChatSessions` over one store, even in
/// one process, do not see each other's changes: each shows a session as it loaded it, until it
/// writes to the session or drops it from memory.
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

/// Shared by all handles and dropped with the last of them.
pub(crate) struct Handle {
    pub(crate) shared: Arc<SharedStore>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) readers: Readers,
    pub(crate) deadlines: Deadlines,
    pub(crate) opening: Opening,
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

    /// Finishes the accepted writes, moves all changes from the log to the file and closes both,
    /// which can then be opened at once. Later calls fail as [`Closed`](StoreErrorKind::Closed).
    /// Closing twice is fine.
    ///
    /// A file whose verification takes another second or more is left as it is, and the log keeps
    /// the changes. Otherwise an empty log stays beside the file. Both together are the store.
    ///
    /// # Errors
    /// The store could not be closed in order. All acknowledged changes are stored.
    ///
    /// ```
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("chat.redb");
    /// # futures_executor::block_on(async {
    /// let store = durable_session_redb::RedbStore::open(path)?;
    /// store.close().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn close(&self) -> Result<(), StoreError> {
        let (result, closed) = oneshot::channel();
        match self.0.queue.control(Control::Close(result)) {
            Ok(()) => closed.await.unwrap_or(Ok(())),
            Err(_) => Ok(()),
        }
    }

    /// Opens the file and its log again as they are on the disk, and verifies the file.
    ///
    /// The store does this by itself after an I/O error, and again with a later call if it fails.
    /// Call it to have it done now, for instance once the disk has room again, or another file is
    /// in the place of a damaged one.
    ///
    /// # Errors
    /// [`OpenError`]; all calls then fail until a later attempt succeeds. A store built by
    /// [`open_backend`](crate::RedbStoreBuilder::open_backend) fails as
    /// [`HostMustReopen`](OpenError::HostMustReopen) and stays as it is.
    ///
    /// ```
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("chat.redb");
    /// # futures_executor::block_on(async {
    /// let store = durable_session_redb::RedbStore::open(path)?;
    /// store.reopen().await?;
    /// # Ok::<(), durable_session_redb::OpenError>(())
    /// # }).unwrap();
    /// ```
    pub async fn reopen(&self) -> Result<(), OpenError> {
        let (result, reopened) = oneshot::channel();
        let was_closed =
            || OpenError::io("the store cannot be opened again", std::io::Error::other(closed()));
        self.0.queue.control(Control::Reopen(result)).map_err(|_| was_closed())?;
        reopened.await.unwrap_or_else(|_| Err(was_closed()))
    }

    /// Moves all changes from the log to the file, moves the stored data to the front of the file,
    /// shortens the file and empties the log. Returns `false` if the file could not be shortened.
    ///
    /// It removes most of the text of deleted, removed and replaced messages from the file, but not
    /// all: use [`scrub`](Self::scrub) for that. All other calls wait for a compaction, so run it
    /// while the service is idle.
    ///
    /// # Errors
    /// [`Unavailable`](StoreErrorKind::Unavailable) while a backup or a verification reads the
    /// file, or if the storage fails.
    ///
    /// ```
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("chat.redb");
    /// # futures_executor::block_on(async {
    /// let store = durable_session_redb::RedbStore::open(path)?;
    /// let shortened = store.compact().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn compact(&self) -> Result<bool, StoreError> {
        self.verified().await?;
        let (result, compacted) = oneshot::channel();
        self.0.queue.control(Control::Compact(result))?;
        compacted.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Removes deleted text from the files: afterwards no file of the store contains a byte of a
    /// message, an app state or a label that was deleted, removed or replaced before the call.
    ///
    /// It moves all changes from the log to the file, writes all tables anew, [compacts] the file,
    /// fills the pages that are free then with zeros, and empties the log. So it needs as much free
    /// space as the file has bytes, and takes as long as reading and writing them. All other calls
    /// wait meanwhile. If it breaks off, nothing is lost: run it again.
    ///
    /// Backups, and disk blocks that the file system has taken back, may still hold the text.
    ///
    /// [compacts]: Self::compact
    ///
    /// # Errors
    /// [`Unavailable`](StoreErrorKind::Unavailable) while a backup or a verification reads the
    /// file, or if the storage fails.
    ///
    /// ```
    /// # use durable_session::store::{DeleteIf, SessionStore};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("chat.redb");
    /// # futures_executor::block_on(async {
    /// let store = durable_session_redb::RedbStore::open(path)?;
    /// store.delete(&"s-1".parse()?, DeleteIf::Any).await?;
    /// store.scrub().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn scrub(&self) -> Result<(), StoreError> {
        self.verified().await?;
        let (result, scrubbed) = oneshot::channel();
        self.0.queue.control(Control::Scrub(result))?;
        scrubbed.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Copies the store, as of this moment, into a new file that can be opened as a store. The
    /// store serves calls meanwhile; closing or reopening it ends the backup.
    ///
    /// To restore a copy, put it in the place of the store's file and open it. The first opening of
    /// a copy gives all its sessions new versions, so that no version of a commit that the copy
    /// lacks is ever used again. A copy of the plain file does not do so by itself, see
    /// [`restored`](crate::RedbStoreBuilder::restored).
    ///
    /// `progress` is called every few megabytes, on the thread that copies. The file appears under
    /// its name only when it is complete and on the disk. Rows are copied as they are stored: a
    /// damaged row stays damaged, and [`verify`](Self::verify) on the copy names it.
    ///
    /// # Errors
    /// [`BackupError::Target`] if there is a file at `path` already or it cannot be written;
    /// [`BackupError::Store`] if the store cannot be read. No new file is at `path` then, and the
    /// store goes on.
    ///
    /// ```
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("chat.redb");
    /// # let copy = folder.path().join("backup.redb");
    /// # futures_executor::block_on(async {
    /// let store = durable_session_redb::RedbStore::open(path)?;
    /// store.backup(copy, |progress| println!("{} of {}", progress.done, progress.total)).await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn backup(
        &self,
        path: impl Into<PathBuf>,
        progress: impl FnMut(Progress) + Send + 'static,
    ) -> Result<(), BackupError> {
        let path = path.into();
        self.verified_or_read_only().await?;
        self.on_own_thread("backup", move |shared| backup::backup(shared, &path, progress)).await
    }

    /// Reads and checks every row, and changes nothing. The store serves calls meanwhile.
    ///
    /// `progress` is called every 10,000 messages, on the thread that reads.
    ///
    /// # Errors
    /// [`Corrupt`](StoreErrorKind::Corrupt) if redb cannot read its own structures, which ends the
    /// verification. Rows that cannot be read are not an error; [`Verification::damage`] lists
    /// them.
    ///
    /// ```
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("chat.redb");
    /// # futures_executor::block_on(async {
    /// let store = durable_session_redb::RedbStore::open(path)?;
    /// let found = store.verify(|_| {}).await?;
    /// assert!(found.damage.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn verify(
        &self,
        progress: impl FnMut(Progress) + Send + 'static,
    ) -> Result<Verification, StoreError> {
        // A file that is damaged is one of the findings.
        let _ = self.verified().await;
        self.on_own_thread("verify", move |shared| verify::verify(shared, progress)).await
    }

    /// Runs long work on a thread of its own, to keep the reader threads free.
    async fn on_own_thread<T: Send + 'static, E: From<StoreError> + Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&SharedStore) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let (sender, receiver) = oneshot::channel();
        let shared = Arc::clone(&self.0.shared);
        std::thread::Builder::new()
            .name(format!("durable-session-{name}"))
            .spawn(move || {
                let _ = sender.send(work(&shared));
            })
            .map_err(|e| {
                StoreError::new(StoreErrorKind::Unavailable, "no thread could be started")
                    .with_source(e)
            })?;
        receiver.await.unwrap_or_else(|_| {
            let text = format!("the {name} thread ended unexpectedly");
            Err(StoreError::new(StoreErrorKind::Internal, text).into())
        })
    }

    /// Returns counters since the store was opened, and the current sizes of queue, log and
    /// memtable.
    ///
    /// ```
    /// use durable_session_redb::RedbStore;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("chat.redb");
    /// let store = RedbStore::open(path)?;
    /// assert_eq!(store.stats().commits, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stats(&self) -> Stats {
        let Handle { shared, queue, .. } = &*self.0;
        Stats {
            queue_depth: queue.depth(),
            memtable_bytes: shared.memtable().bytes(),
            verifying: shared.gate.is_pending(),
            ..Stats::of(&shared.counters)
        }
    }

    /// Reads a snapshot. What is not found counts only once the file is verified: before that,
    /// `is_there` is asked, and the read is made again after the verification.
    async fn read_with<T: Send + 'static>(
        &self,
        read: impl Fn(&Snapshot<'_>) -> Result<T, Fault> + Clone + Send + 'static,
        is_there: impl Fn(&T) -> bool,
    ) -> Result<T, StoreError> {
        let Handle { shared, readers, .. } = &*self.0;
        let sound = shared.gate.is_sound();
        let again = read.clone();
        let found = readers.run(move |shared| shared.read(read)).await?;
        if sound || is_there(&found) {
            return Ok(found);
        }
        self.verified().await?;
        readers.run(move |shared| shared.read(again)).await
    }

    async fn write(&self, id: &SessionId, write: Write) -> Result<WriteOutcome, StoreError> {
        submit(&self.0.queue, &self.0.deadlines, id, write).await
    }

    /// Waits until the file is verified. Until then, damage may hide sessions and messages.
    async fn verified(&self) -> Result<(), StoreError> {
        let Handle { shared, queue, .. } = &*self.0;
        let passed = shared.gate.passed().await;
        if shared.gate.may_try_again() {
            shared.suspect();
            queue.attend();
        }
        passed
    }

    /// Like [`verified`](Self::verified), but the rest of a damaged file can be read if the store
    /// is open for that.
    async fn verified_or_read_only(&self) -> Result<(), StoreError> {
        match self.verified().await {
            Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                if self.0.shared.is_read_only() { Ok(()) } else { Err(error) }
            }
            verified => verified,
        }
    }
}

fn unexpected(id: &SessionId) -> StoreError {
    StoreError::new(StoreErrorKind::Internal, "the writer sent the outcome of another call")
        .in_session(id)
}

fn named(id: &SessionId) -> impl Fn(StoreError) -> StoreError + '_ {
    move |error| if error.session().is_none() { error.in_session(id) } else { error }
}

#[async_trait]
impl SessionStore for RedbStore {
    async fn load(&self, id: &SessionId, query: LoadQuery) -> Result<LoadOutcome, StoreError> {
        let key = id.clone();
        let load = move |tables: &Snapshot<'_>| tables.load(&key, query);
        let is_there = |outcome: &LoadOutcome| !matches!(outcome, LoadOutcome::Absent);
        self.read_with(load, is_there).await.map_err(named(id))
    }

    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        let key = id.clone();
        let read = move |tables: &Snapshot<'_>| tables.read(&key, query);
        self.read_with(read, Option::is_some).await.map_err(named(id))
    }

    async fn read_chunks(
        &self,
        id: &SessionId,
        query: ChunkQuery,
    ) -> Result<Option<ChunkPage>, StoreError> {
        let key = id.clone();
        let read = move |tables: &Snapshot<'_>| tables.read_chunks(&key, query);
        self.read_with(read, Option::is_some).await.map_err(named(id))
    }

    async fn salvage(
        &self,
        id: &SessionId,
        query: ReadQuery,
    ) -> Result<Option<Salvaged>, StoreError> {
        let key = id.clone();
        let salvage = move |tables: &Snapshot<'_>| tables.salvage(&key, query);
        self.read_with(salvage, Option::is_some).await.map_err(named(id))
    }

    async fn commit(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        LIMITS.check(id, &commit)?;
        let sound = self.0.shared.gate.is_sound();
        if !sound && matches!(commit.expect, Expect::Absent { .. }) {
            self.verified().await.map_err(named(id))?;
        }
        let again = (!sound).then(|| commit.clone());
        let committed = |outcome| match outcome {
            WriteOutcome::Committed(outcome) => Ok(outcome),
            _ => Err(unexpected(id)),
        };
        let outcome = committed(self.write(id, Write::Commit(commit)).await?)?;
        match again {
            Some(again) if misses_something(outcome) => {
                self.verified().await.map_err(named(id))?;
                committed(self.write(id, Write::Commit(again)).await?)
            }
            _ => Ok(outcome),
        }
    }

    async fn extend(
        &self,
        id: &SessionId,
        extension: Extension,
    ) -> Result<ExtendOutcome, StoreError> {
        LIMITS.check_extension(id, &extension)?;
        let again = (!self.0.shared.gate.is_sound()).then(|| extension.clone());
        let extended = |outcome| match outcome {
            WriteOutcome::Extended(outcome) => Ok(outcome),
            _ => Err(unexpected(id)),
        };
        let outcome = extended(self.write(id, Write::Extend(extension)).await?)?;
        match again {
            Some(again) if outcome == ExtendOutcome::Ended => {
                self.verified().await.map_err(named(id))?;
                extended(self.write(id, Write::Extend(again)).await?)
            }
            _ => Ok(outcome),
        }
    }

    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        self.write(id, Write::Touch(at)).await.map(drop)
    }

    async fn delete(
        &self,
        id: &SessionId,
        condition: DeleteIf,
    ) -> Result<DeleteOutcome, StoreError> {
        let sound = self.0.shared.gate.is_sound();
        let deleted = |outcome| match outcome {
            WriteOutcome::Deleted(outcome) => Ok(outcome),
            _ => Err(unexpected(id)),
        };
        let outcome = deleted(self.write(id, Write::Delete(condition)).await?)?;
        if sound || outcome != DeleteOutcome::Absent {
            return Ok(outcome);
        }
        self.verified().await.map_err(named(id))?;
        deleted(self.write(id, Write::Delete(condition)).await?)
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
impl SessionList for RedbStore {
    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        self.verified_or_read_only().await?;
        let query = query.clone();
        let list = move |shared: &SharedStore| {
            let listed = shared.read(|tables| tables.list(&query));
            listed.inspect(|page| {
                let mut damage =
                    page.sessions.iter().filter_map(|listed| listed.head.as_ref().err());
                if let Some(found) = damage.find(|error| is_contradiction(error)) {
                    shared.poison(found);
                }
            })
        };
        self.0.readers.run(list).await
    }
}

/// Whether the outcome says that something is not there which damage may hide.
fn misses_something(outcome: CommitOutcome) -> bool {
    matches!(
        outcome,
        CommitOutcome::Conflict { current: None }
            | CommitOutcome::NoSuchSeq { .. }
            | CommitOutcome::ReplyEnded { .. }
    )
}
