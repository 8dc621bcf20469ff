//! The store and its handles.

use crate::builder::PostgresStoreBuilder;
use crate::connection::Connection;
use crate::error::Failure;
use crate::queue::{Answer, Change, Request};
use crate::shared::{LIMITS, Shared};
use crate::stats::{self, Stats};
use crate::{hints, list, read};
use async_trait::async_trait;
use durable_session::SessionId;
use durable_session::store::{
    ChunkPage, ChunkQuery, Commit, CommitOutcome, DeleteIf, DeleteOutcome, Durability,
    ExtendOutcome, Extension, Hint, Hints, ListPage, ListQuery, LoadOutcome, LoadQuery, Opening,
    Page, ReadQuery, Salvaged, SessionList, SessionStore, Sharing, StoreError, StoreErrorKind,
    StoreLimits,
};
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use std::fmt;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long dropping the last handle waits for changes that were accepted.
const LAST_CHANGES: Duration = Duration::from_secs(10);

/// How often a read is tried, each time on another connection.
const READ_ATTEMPTS: usize = 3;

/// A store in a schema of a PostgreSQL database. A clone is the same store.
///
/// Several processes may open one schema and write to the same sessions. A change is accepted on
/// the first poll of its future. Dropping the last handle waits for the changes that were accepted,
/// at most ten seconds.
#[derive(Clone)]
pub struct PostgresStore(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    /// Closed when the thread of the store has ended.
    ended: Mutex<Receiver<()>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.queue.close();
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        // An answer can wake a caller that drops the last handle on the thread of the store, which
        // cannot wait for itself.
        if tokio::runtime::Handle::try_current()
            .is_ok_and(|current| current.id() == self.shared.connector.runtime.id())
        {
            return;
        }
        let _ = ended.recv_timeout(LAST_CHANGES);
    }
}

impl PostgresStore {
    /// The most bytes of a body and of the app state (16 MiB), and the most bytes and operations of
    /// a commit (64 MiB and 65,536).
    pub const LIMITS: StoreLimits = LIMITS;

    /// Configures a store in the database of this URL, such as `postgres://user@host/database`, or
    /// `postgres://user@host/database?schema=chat` with the [schema](PostgresStoreBuilder::schema).
    ///
    /// ```no_run
    /// use durable_session::ChatSessions;
    /// use durable_session_postgres::PostgresStore;
    ///
    /// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
    /// let url = "postgres://chat@localhost/chat";
    /// let store = PostgresStore::builder(url).schema("chat").open().await?;
    /// let sessions: ChatSessions = ChatSessions::builder(store).build();
    /// # let _ = sessions;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(url: impl Into<String>) -> PostgresStoreBuilder {
        PostgresStoreBuilder::new(&url.into())
    }

    /// The statements that make the tables and functions of a schema, for a role that may do so.
    ///
    /// [`open`](PostgresStoreBuilder::open) runs them itself if the schema has no tables yet.
    ///
    /// ```
    /// use durable_session_postgres::PostgresStore;
    ///
    /// assert!(PostgresStore::migration("chat")?.contains("CREATE TABLE chat.message"));
    /// # Ok::<(), durable_session::store::StoreError>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`] if the name is no schema that the store can use: it has only
    /// lower-case letters, digits and underscores.
    pub fn migration(schema: &str) -> Result<String, StoreError> {
        Ok(crate::sql::Sql::new(schema)?.migration())
    }

    /// Counters since the store was opened.
    ///
    /// ```no_run
    /// # fn example(store: &durable_session_postgres::PostgresStore) {
    /// let stats = store.stats();
    /// println!("{} changes in {} batches", stats.changes, stats.batches);
    /// # }
    /// ```
    pub fn stats(&self) -> Stats {
        Stats::of(&self.0.shared)
    }

    pub(crate) fn new(shared: Arc<Shared>, ended: Receiver<()>) -> Self {
        Self(Arc::new(Handle { shared, ended: Mutex::new(ended) }))
    }

    /// Sends a change to the tasks of the store, on the first poll of the future. It is made even
    /// if the future is dropped then (S1).
    async fn change<T>(
        &self,
        id: &SessionId,
        change: impl FnOnce(Answer<T>) -> Change,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.0.shared.queue.push(Request { id: id.clone(), change: change(answer) })?;
        answered.await.unwrap_or_else(|_| {
            let context = "the store ended before it answered";
            Err(StoreError::new(StoreErrorKind::OutcomeUnknown, context).in_session(id))
        })
    }

    /// Reads on one of the connections for reads. A read whose connection ends is made again.
    async fn read<T>(
        &self,
        id: Option<&SessionId>,
        read: impl for<'a> Fn(&'a Connection, &'a Shared) -> BoxFuture<'a, Result<T, Failure>>,
    ) -> Result<T, StoreError> {
        let shared = &*self.0.shared;
        let in_session = |error: StoreError| match id {
            Some(id) => error.in_session(id),
            None => error,
        };
        stats::add(&shared.counters.reads, 1);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let connection = shared.pool.connection(shared).await.map_err(in_session)?;
            if let Some(id) = id
                && let Err(failure) = shared.settle(&connection, id).await
            {
                if failure.is_broken() && attempts < READ_ATTEMPTS {
                    continue;
                }
                return Err(in_session(failure.nothing_changed()));
            }
            match read(&connection, shared).await {
                Ok(answer) => return Ok(answer),
                Err(failure) if failure.is_broken() && attempts < READ_ATTEMPTS => {}
                Err(failure) => return Err(in_session(failure.nothing_changed())),
            }
        }
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("schema", &self.0.shared.sql.schema)
            .field("durability", &self.0.shared.durability)
            .field("opening", &self.0.shared.opening)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl SessionStore for PostgresStore {
    async fn load(&self, id: &SessionId, query: LoadQuery) -> Result<LoadOutcome, StoreError> {
        self.read(Some(id), |connection, shared| {
            let id = id.clone();
            Box::pin(async move { read::load(connection, shared, &id, query).await })
        })
        .await
    }

    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        self.read(Some(id), |connection, shared| {
            let id = id.clone();
            Box::pin(async move { read::read(connection, shared, &id, query).await })
        })
        .await
    }

    async fn read_chunks(
        &self,
        id: &SessionId,
        query: ChunkQuery,
    ) -> Result<Option<ChunkPage>, StoreError> {
        self.read(Some(id), |connection, shared| {
            let id = id.clone();
            Box::pin(async move { read::read_chunks(connection, shared, &id, query).await })
        })
        .await
    }

    async fn salvage(
        &self,
        id: &SessionId,
        query: ReadQuery,
    ) -> Result<Option<Salvaged>, StoreError> {
        self.read(Some(id), |connection, shared| {
            let id = id.clone();
            Box::pin(async move { read::salvage(connection, shared, &id, query).await })
        })
        .await
    }

    async fn commit(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        LIMITS.check(id, &commit)?;
        self.change(id, |answer| Change::Commit(commit, answer)).await
    }

    async fn extend(
        &self,
        id: &SessionId,
        extension: Extension,
    ) -> Result<ExtendOutcome, StoreError> {
        LIMITS.check_extension(id, &extension)?;
        self.change(id, |answer| Change::Extend(extension, answer)).await
    }

    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        self.change(id, |answer| Change::Touch(at, answer)).await
    }

    async fn delete(
        &self,
        id: &SessionId,
        condition: DeleteIf,
    ) -> Result<DeleteOutcome, StoreError> {
        self.change(id, |answer| Change::Delete(condition, answer)).await
    }

    fn limits(&self) -> StoreLimits {
        LIMITS
    }

    fn durability(&self) -> Durability {
        self.0.shared.durability
    }

    fn sharing(&self) -> Sharing {
        Sharing::Shared
    }

    fn opening(&self) -> Result<Opening, StoreError> {
        Ok(self.0.shared.opening.clone())
    }
}

#[async_trait]
impl SessionList for PostgresStore {
    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        self.read(None, |connection, shared| {
            let query = query.clone();
            Box::pin(async move { list::list(connection, shared, &query).await })
        })
        .await
    }
}

/// Hints come by `NOTIFY`, on a connection for each stream. A change costs no more while no stream
/// is open at any opening. The changes of the store's own opening are left out.
///
/// Opening a stream takes one and a half seconds: after them, every other opening knows of it. It
/// fails where notifications do not arrive, as through a pooler that gives each transaction another
/// connection: see [`listen_url`](PostgresStoreBuilder::listen_url).
#[async_trait]
impl Hints for PostgresStore {
    async fn hints(&self) -> Result<BoxStream<'static, Hint>, StoreError> {
        hints::listen(Arc::clone(&self.0.shared)).await
    }
}
