//! The store: sessions in the SQLite storage of one Durable Object.

mod commit;
mod delete;
mod failure;
mod find;
mod list;
mod read;
mod reply;
mod takeover;

use crate::env::WorkerRandom;
use crate::schema;
use crate::sql::{MAX_INTEGER, Sql};
use async_trait::async_trait;
use commit::Object;
use durable_session::SessionId;
use durable_session::env::Random;
use durable_session::rows;
use durable_session::store::{
    ChunkPage, ChunkQuery, Commit, CommitOutcome, DeleteIf, DeleteOutcome, Durability,
    ExtendOutcome, Extension, Head, ListPage, ListQuery, LoadOutcome, LoadQuery, Opening, Page,
    ReadQuery, Salt, Salvaged, SessionList, SessionStore, Sharing, StoreError, StoreErrorKind,
    StoreLimits,
};
use find::Found;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use worker::Storage;

/// Keeps sessions in the SQLite storage of one Durable Object: one session (the object's own) or
/// many.
///
/// # Guarantees
/// - An append of one message writes one row; the platform bills rows. So do an extension of a
///   reply and a beat. The opening of a reply writes one row more than its message.
/// - A commit is one transaction, begun and ended within the first poll of its future (S1). The
///   platform holds back every response of the object until the write is confirmed
///   ([`Durability::Platform`]). The *response* is the acknowledgement, so answer requests from
///   within the object.
/// - The class has to be SQLite-backed (`new_sqlite_classes`); otherwise every call fails with an
///   error of the platform that says so.
/// - The first commit makes the tables. Their names begin with `durable_session_`; the store does
///   not touch the object's other tables and keys.
/// - After you put the object's storage back to an earlier point in time, call
///   [`restored`](Self::restored).
///
/// Make one store per object, in the object's constructor, and keep it.
///
/// ```no_run
/// # fn sessions(state: &worker::State) -> durable_session::ChatSessions {
/// use durable_session::ChatSessions;
/// use durable_session_cloudflare::{DurableObjectStore, WorkerClock, WorkerRandom};
///
/// let store = DurableObjectStore::new(state.storage());
/// ChatSessions::builder_with(store, WorkerClock, WorkerRandom).build()
/// # }
/// ```
pub struct DurableObjectStore {
    sql: Sql,
    /// Unwind safe, because a panic in it leaves nothing half-written.
    random: AssertUnwindSafe<Arc<dyn Random>>,
    /// The tables are known to exist.
    ready: AtomicBool,
    /// The salt (S12), read together with the layout of the tables.
    salt: AtomicU64,
    opening: OnceLock<Opening>,
    /// The session whose state a former object may have left here.
    former: Option<SessionId>,
    /// The former object's state was looked for, and nothing is left to take over.
    looked: AtomicBool,
}

impl DurableObjectStore {
    /// In bytes: 1,950,000 for a message body and for the app state, 16 MiB for a commit, and
    /// 65,536 operations. The platform limits a row to about 2 MB, a little differently by version;
    /// these limits are below all of them.
    pub const LIMITS: StoreLimits = StoreLimits::new(1_950_000, 1_950_000, 16 << 20, 1 << 16);

    /// A store over the storage of an object, with the runtime's randomness.
    pub fn new(storage: Storage) -> Self {
        Self::with_random(storage, Arc::new(WorkerRandom))
    }

    /// A store over the storage of an object, with your randomness, which makes versions unique
    /// (S3).
    pub fn with_random(storage: Storage, random: Arc<dyn Random>) -> Self {
        let random = AssertUnwindSafe(random);
        Self {
            sql: Sql::new(storage),
            random,
            ready: AtomicBool::new(false),
            salt: AtomicU64::new(Salt::NONE.get()),
            opening: OnceLock::new(),
            former: None,
            looked: AtomicBool::new(false),
        }
    }

    /// Takes over the state that a whole-state object in JavaScript left under the key `chatState`,
    /// as session `id`, before the first other operation.
    ///
    /// It happens once per object, in one transaction. `chatState` stays until the session is
    /// deleted, so that rolling back to the former class shows the old conversation rather than
    /// none. A session that exists, or was taken over before, stays as it is.
    ///
    /// If `chatState` is not the state of a session, every operation fails with
    /// [`Corrupt`](StoreErrorKind::Corrupt). If a message or the app state in it is larger than
    /// [`LIMITS`](Self::LIMITS), every operation fails with
    /// [`TooLarge`](StoreErrorKind::TooLarge). Nothing is changed then.
    ///
    /// ```no_run
    /// # use durable_session::{InvalidSessionId, SessionId};
    /// # use durable_session_cloudflare::DurableObjectStore;
    /// # fn store(state: &worker::State) -> Result<DurableObjectStore, InvalidSessionId> {
    /// let id = SessionId::new(state.id().name().unwrap_or_default())?;
    /// Ok(DurableObjectStore::new(state.storage()).succeeding(id))
    /// # }
    /// ```
    pub fn succeeding(self, id: SessionId) -> Self {
        Self { former: Some(id), ..self }
    }

    /// Call it after the object's storage was put back to an earlier point in time (the platform's
    /// point-in-time recovery, `onNextSessionRestoreBookmark`): when the object has started again,
    /// and before it serves anything.
    ///
    /// The sessions go on from an earlier state, and would count their commits as the lost history
    /// counted them. This call gives their versions a new salt (S12). So a client that saw the lost
    /// history is never told that it is up to date, and no commit for one history changes the
    /// other.
    ///
    /// It writes one row. Call it once per recovery; a call without a recovery only changes all
    /// versions.
    ///
    /// ```no_run
    /// # use durable_session::store::StoreError;
    /// # use durable_session_cloudflare::DurableObjectStore;
    /// # fn after_a_recovery(store: &DurableObjectStore) -> Result<(), StoreError> {
    /// store.restored()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`] if there is no randomness, or a failure of the platform. Do
    /// not serve then.
    pub fn restored(&self) -> Result<(), StoreError> {
        // Without tables there are no sessions, and new ones draw their versions.
        if self.tables()?.is_none() {
            return Ok(());
        }
        let mut bits = [0; 8];
        self.random.fill(&mut bits).map_err(|e| {
            StoreError::new(
                StoreErrorKind::Unavailable,
                "could not draw the salt of the restored sessions",
            )
            .with_source(e)
        })?;
        // An integer that passes through JavaScript has 53 bits.
        let salt = u64::from_le_bytes(bits) & MAX_INTEGER;
        schema::set_meta(&self.sql, schema::SALT, salt)
            .map_err(|e| e.into_store("could not write the salt of the restored sessions"))?;
        self.salt.store(salt, Ordering::Relaxed);
        Ok(())
    }

    /// Rows that this store has written since it was made, indexes included. The platform bills
    /// them.
    pub fn rows_written(&self) -> u64 {
        self.sql.rows_written()
    }

    /// Whether the object holds no session.
    ///
    /// # Errors
    /// A failure of the platform.
    pub fn is_empty(&self) -> Result<bool, StoreError> {
        if self.tables()?.is_none() {
            return Ok(true);
        }
        let doing = "could not look for sessions";
        let row = self.sql.first("SELECT 1 FROM durable_session_numbers LIMIT 1", Vec::new());
        Ok(row.map_err(|e| e.into_store(doing))?.is_none())
    }

    /// Waits until the platform has confirmed everything written so far.
    pub(crate) async fn confirmed(&self) -> worker::Result<()> {
        self.sql.confirmed().await
    }

    /// Empties the object's storage, and deletes its alarm, if it holds no session and nothing of
    /// the app; returns whether it did.
    ///
    /// An emptied object costs nothing and ceases to exist.
    ///
    /// # Errors
    /// A failure of the platform; the next call tries again.
    pub async fn purge_if_empty(&self) -> Result<bool, StoreError> {
        if self.tables()?.is_none()
            || !schema::holds_nothing(&self.sql).map_err(|e| e.into_store(PURGE))?
        {
            return Ok(false);
        }
        // The deletion happens here, before anything else can run; the await is for its
        // confirmation.
        let emptied = self.sql.empty().map_err(|e| e.into_store(PURGE))?;
        self.ready.store(false, Ordering::Relaxed);
        self.looked.store(false, Ordering::Relaxed);
        emptied.await.map_err(|e| e.into_store(PURGE))?;
        Ok(true)
    }

    /// The salt of the tables if there are any, after the takeover of a former object's state.
    fn tables(&self) -> Result<Option<Salt>, StoreError> {
        if let Some(id) = &self.former
            && !self.looked.load(Ordering::Relaxed)
        {
            let object = self.object(self.look_for_tables()?);
            takeover::take_over(object, id, Self::LIMITS)?;
            self.looked.store(true, Ordering::Relaxed);
        }
        self.look_for_tables()
    }

    fn look_for_tables(&self) -> Result<Option<Salt>, StoreError> {
        if self.ready.load(Ordering::Relaxed) {
            return Ok(Some(Salt::new(self.salt.load(Ordering::Relaxed))));
        }
        let salt = schema::look(&self.sql)?;
        self.salt.store(salt.unwrap_or_default().get(), Ordering::Relaxed);
        self.ready.store(salt.is_some(), Ordering::Relaxed);
        Ok(salt)
    }

    fn object(&self, salt: Option<Salt>) -> Object<'_> {
        Object { sql: &self.sql, random: &**self.random, salt }
    }

    /// The session and the salt of its versions.
    fn find(&self, id: &SessionId) -> Result<Option<(Found, Salt)>, StoreError> {
        let Some(salt) = self.tables()? else { return Ok(None) };
        Ok(find::session(&self.sql, id)?.map(|found| (found, salt)))
    }

    /// The session's number, without reading its head.
    fn number(&self, id: &SessionId) -> Result<Option<u64>, StoreError> {
        if self.tables()?.is_some() { find::number(&self.sql, id) } else { Ok(None) }
    }
}

impl fmt::Debug for DurableObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableObjectStore").field("limits", &Self::LIMITS).finish_non_exhaustive()
    }
}

#[async_trait]
impl SessionStore for DurableObjectStore {
    async fn load(&self, id: &SessionId, query: LoadQuery) -> Result<LoadOutcome, StoreError> {
        let Some((found, salt)) = self.find(id)? else { return Ok(LoadOutcome::Absent) };
        if query.known == Some(found.current.version.salted(salt)) {
            return Ok(LoadOutcome::Unchanged);
        }
        let mut loaded = read::load(&self.sql, id, found, query.tail)?;
        loaded.head = loaded.head.salted(salt);
        Ok(LoadOutcome::Loaded(loaded))
    }

    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        let Some((found, salt)) = self.find(id)? else { return Ok(None) };
        let page = read::page(&self.sql, id, &found, &query)?;
        Ok(Some(Page { head: page.head.salted(salt), ..page }))
    }

    async fn read_chunks(
        &self,
        id: &SessionId,
        query: ChunkQuery,
    ) -> Result<Option<ChunkPage>, StoreError> {
        let Some(number) = self.number(id)? else { return Ok(None) };
        reply::page(&self.sql, id, number, &query)
    }

    async fn salvage(
        &self,
        id: &SessionId,
        query: ReadQuery,
    ) -> Result<Option<Salvaged>, StoreError> {
        let Some(salt) = self.tables()? else { return Ok(None) };
        read::salvage(&self.sql, salt, id, &query)
    }

    async fn commit(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        Self::LIMITS.check(id, &commit)?;
        let outcome = commit::commit(self.object(self.tables()?), id, commit)?;
        if matches!(outcome, CommitOutcome::Committed(_)) {
            self.ready.store(true, Ordering::Relaxed);
        }
        Ok(outcome)
    }

    async fn extend(
        &self,
        id: &SessionId,
        extension: Extension,
    ) -> Result<ExtendOutcome, StoreError> {
        Self::LIMITS.check_extension(id, &extension)?;
        match self.number(id)? {
            Some(number) => reply::extend(&self.sql, id, number, &extension, Self::LIMITS),
            None => Ok(ExtendOutcome::Ended),
        }
    }

    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        let Some((Found { number, row, current }, _)) = self.find(id)? else { return Ok(()) };
        if at <= current.last_accessed_at {
            return Ok(());
        }
        // Not the current head: version and seqs of the row stay, because the last message carries
        // the later ones.
        let head = Head { last_accessed_at: at, ..row.head };
        commit::write_head(&self.sql, id, number, &head, &row.labels, &row.app)
            .map_err(|e| e.into_store("could not record the use of the session").in_session(id))
    }

    async fn delete(
        &self,
        id: &SessionId,
        condition: DeleteIf,
    ) -> Result<DeleteOutcome, StoreError> {
        let Some(salt) = self.tables()? else { return Ok(DeleteOutcome::Absent) };
        delete::delete(&self.sql, salt, id, condition)
    }

    fn limits(&self) -> StoreLimits {
        Self::LIMITS
    }

    fn durability(&self) -> Durability {
        Durability::Platform
    }

    /// The platform runs one instance of an object.
    fn sharing(&self) -> Sharing {
        Sharing::Exclusive
    }

    fn opening(&self) -> Result<Opening, StoreError> {
        if let Some(opening) = self.opening.get() {
            return Ok(opening.clone());
        }
        let drawn = Opening::draw(&**self.random).map_err(|e| {
            StoreError::new(
                StoreErrorKind::Unavailable,
                "could not draw the id of the store's opening",
            )
            .with_source(e)
        })?;
        Ok(self.opening.get_or_init(|| drawn).clone())
    }
}

#[async_trait]
impl SessionList for DurableObjectStore {
    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        match self.tables()? {
            Some(salt) => list::list(&self.sql, salt, query),
            None => Ok(ListPage { sessions: Vec::new(), next: None }),
        }
    }
}

const PURGE: &str = "could not empty the object's storage";

// The largest message row and head row, with what SQLite and the keys add, stay below 2,000,000
// bytes.
const _: () = assert!(
    DurableObjectStore::LIMITS.max_body_bytes + rows::MESSAGE_OVERHEAD as u64 + 64 < 2_000_000
        && DurableObjectStore::LIMITS.max_app_bytes + rows::MAX_HEAD_OVERHEAD as u64 + 64
            < 2_000_000
);

#[cfg(test)]
mod tests {
    use super::DurableObjectStore;
    use std::panic::{RefUnwindSafe, UnwindSafe};

    #[test]
    fn the_store_is_unwind_safe_send_and_sync() {
        fn fits<T: UnwindSafe + RefUnwindSafe + Send + Sync + 'static>() {}
        fits::<DurableObjectStore>();
    }
}
