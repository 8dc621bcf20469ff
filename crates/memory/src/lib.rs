//! The in-memory reference store for [`durable_session`].
//!
//! [`MemoryStore`] keeps sessions as long as the process lives: for tests and demos, and as the
//! model for other stores. It keeps every clause of the store contract that needs no disk, in
//! plain code. Its declared durability is [`Durability::Process`].
//!
//! The crate also builds for `wasm32-unknown-unknown`. There, [`MemoryStore::with`] takes the
//! host's randomness.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod session;

use async_trait::async_trait;
use durable_session::SessionId;
use durable_session::env::Random;
use durable_session::store::{
    ChunkPage, ChunkQuery, Commit, CommitOutcome, DeleteIf, DeleteOutcome, Durability, Expect,
    ExtendOutcome, Extension, Head, Incarnation, ListOrder, ListPage, ListPlace, ListQuery,
    ListScope, ListedSession, LoadOutcome, LoadQuery, Opening, Page, ReadQuery, Salvaged,
    SessionList, SessionStore, Sharing, StoreError, StoreErrorKind, StoreLimits, Version,
};
use session::Session;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// A store that keeps sessions in memory. A clone is the same store.
///
/// Every operation completes on its first poll.
///
/// ```
/// use durable_session::store::SessionStore;
/// use durable_session_memory::MemoryStore;
/// use std::sync::Arc;
///
/// let store: Arc<dyn SessionStore> = Arc::new(MemoryStore::new());
/// assert_eq!(store.limits(), MemoryStore::DEFAULT_LIMITS);
/// ```
#[derive(Clone)]
pub struct MemoryStore(Arc<Inner>);

struct Inner {
    sessions: Mutex<BTreeMap<SessionId, Session>>,
    random: Box<dyn Random>,
    limits: StoreLimits,
    opening: OnceLock<Opening>,
}

impl MemoryStore {
    /// 16 MiB for a message body and for the app state; 64 MiB and 65,536 operations for a commit.
    pub const DEFAULT_LIMITS: StoreLimits = StoreLimits::new(16 << 20, 16 << 20, 64 << 20, 1 << 16);

    /// An empty store with the default limits. On `wasm32-unknown-unknown` use
    /// [`with`](Self::with).
    ///
    /// ```
    /// use durable_session::{ChatSessions, JsonObject};
    /// use durable_session_memory::MemoryStore;
    ///
    /// let sessions = ChatSessions::<JsonObject>::builder(MemoryStore::new()).build();
    /// # let _ = sessions;
    /// ```
    #[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
    pub fn new() -> Self {
        Self::with(durable_session::env::SystemRandom, Self::DEFAULT_LIMITS)
    }

    /// An empty store with this randomness, which makes versions unique (S3), and these limits
    /// (S7).
    ///
    /// ```
    /// use durable_session::env::SystemRandom;
    /// use durable_session::store::{SessionStore, StoreLimits};
    /// use durable_session_memory::MemoryStore;
    ///
    /// let limits = StoreLimits::new(1 << 10, 1 << 10, 1 << 14, 16);
    /// let store = MemoryStore::with(SystemRandom, limits);
    /// assert_eq!(store.limits(), limits);
    /// ```
    pub fn with(random: impl Random + 'static, limits: StoreLimits) -> Self {
        Self(Arc::new(Inner {
            sessions: Mutex::default(),
            random: Box::new(random),
            limits,
            opening: OnceLock::new(),
        }))
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<SessionId, Session>> {
        // No code panics while it holds the lock, so the sessions of a poisoned lock are whole.
        self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_incarnation(&self, id: &SessionId) -> Result<Incarnation, StoreError> {
        Incarnation::draw(&*self.0.random).map_err(|e| {
            StoreError::new(
                StoreErrorKind::Unavailable,
                "could not draw the new session's incarnation",
            )
            .in_session(id)
            .with_source(e)
        })
    }
}

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("sessions", &self.sessions().len())
            .field("limits", &self.0.limits)
            .finish()
    }
}

#[async_trait]
impl SessionStore for MemoryStore {
    async fn load(&self, id: &SessionId, query: LoadQuery) -> Result<LoadOutcome, StoreError> {
        Ok(match self.sessions().get(id) {
            None => LoadOutcome::Absent,
            Some(session) if query.known == Some(session.head.version) => LoadOutcome::Unchanged,
            Some(session) => LoadOutcome::Loaded(session.load(query.tail)),
        })
    }

    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        Ok(self.sessions().get(id).map(|session| session.page(&query)))
    }

    async fn read_chunks(
        &self,
        id: &SessionId,
        query: ChunkQuery,
    ) -> Result<Option<ChunkPage>, StoreError> {
        Ok(self.sessions().get(id).and_then(|session| session.chunks(query)))
    }

    async fn salvage(
        &self,
        id: &SessionId,
        query: ReadQuery,
    ) -> Result<Option<Salvaged>, StoreError> {
        Ok(self.sessions().get(id).map(|session| {
            let page = session.page(&query);
            Salvaged {
                head: Some(page.head),
                labels: Some(session.labels.clone()),
                app: Some(session.app.clone()),
                rows: page.rows,
                replies: page.replies,
                damage: Vec::new(),
                more: page.more,
            }
        }))
    }

    async fn commit(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        self.0.limits.check(id, &commit)?;
        let mut sessions = self.sessions();
        match (commit.expect, sessions.get_mut(id)) {
            (Expect::Version { .. }, Some(session)) if commit.expect == session.head.expect() => {
                let head = session.head.advanced(&commit);
                Ok(session.apply(commit, head))
            }
            (Expect::Absent { created_at, incarnation }, None) => {
                let incarnation = match incarnation {
                    Some(incarnation) => incarnation,
                    None => self.new_incarnation(id)?,
                };
                let head = Head::created(&commit, Version::new(incarnation, 1), created_at);
                let mut session = Session::new(head);
                let outcome = session.apply(commit, head);
                if matches!(outcome, CommitOutcome::Committed(_)) {
                    sessions.insert(id.clone(), session);
                }
                Ok(outcome)
            }
            (_, session) => {
                Ok(CommitOutcome::Conflict { current: session.map(|s| s.head.version) })
            }
        }
    }

    async fn extend(
        &self,
        id: &SessionId,
        extension: Extension,
    ) -> Result<ExtendOutcome, StoreError> {
        self.0.limits.check_extension(id, &extension)?;
        match self.sessions().get_mut(id) {
            Some(session) => {
                session.extend(&extension, |bytes| self.0.limits.check_reply(id, bytes))
            }
            None => Ok(ExtendOutcome::Ended),
        }
    }

    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        if let Some(session) = self.sessions().get_mut(id) {
            session.touch(at);
        }
        Ok(())
    }

    async fn delete(
        &self,
        id: &SessionId,
        condition: DeleteIf,
    ) -> Result<DeleteOutcome, StoreError> {
        let mut sessions = self.sessions();
        let Some(head) = sessions.get(id).map(|session| session.head) else {
            return Ok(DeleteOutcome::Absent);
        };
        let holds = match condition {
            DeleteIf::Any => true,
            DeleteIf::Version(expected) => head.version == expected,
            DeleteIf::IdleSince(time) => head.last_accessed_at <= time,
        };
        if !holds {
            return Ok(DeleteOutcome::Conflict { current: head.version });
        }
        sessions.remove(id);
        Ok(DeleteOutcome::Deleted)
    }

    fn limits(&self) -> StoreLimits {
        self.0.limits
    }

    fn durability(&self) -> Durability {
        Durability::Process
    }

    fn sharing(&self) -> Sharing {
        Sharing::Exclusive
    }

    fn opening(&self) -> Result<Opening, StoreError> {
        if let Some(opening) = self.0.opening.get() {
            return Ok(opening.clone());
        }
        let drawn = Opening::draw(&*self.0.random).map_err(|e| {
            StoreError::new(
                StoreErrorKind::Unavailable,
                "could not draw the id of the store's opening",
            )
            .with_source(e)
        })?;
        Ok(self.0.opening.get_or_init(|| drawn).clone())
    }
}

#[async_trait]
impl SessionList for MemoryStore {
    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        let sessions = self.sessions();
        let prefix = match &query.scope {
            ListScope::Prefix(prefix) => &**prefix,
            _ => "",
        };
        let start = match &query.after {
            Some(place) if query.order == ListOrder::ById && place.id.as_str() >= prefix => {
                Bound::Excluded(place.id.as_str())
            }
            _ => Bound::Included(prefix),
        };
        let by_id = sessions
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(|(id, _)| id.as_str().starts_with(prefix))
            .filter(|(id, session)| {
                belongs(&query.scope, session)
                    && query.takes(&session.head)
                    && query.is_after(id, session.head.changed_at)
            });
        Ok(match query.order {
            ListOrder::ById => page(by_id, query.limit),
            ListOrder::NewestFirst => {
                let mut newest_first: Vec<_> = by_id.collect();
                // The sort is stable, so sessions with equal times stay in the order of ids.
                newest_first.sort_by_key(|(_, session)| Reverse(session.head.changed_at));
                page(newest_first.into_iter(), query.limit)
            }
        })
    }
}

fn belongs(scope: &ListScope, session: &Session) -> bool {
    match scope {
        ListScope::Owner(owner) => session.labels.get_owner() == Some(&**owner),
        ListScope::OpenReplies => session.has_open_replies(),
        _ => true,
    }
}

fn page<'a>(
    mut found: impl Iterator<Item = (&'a SessionId, &'a Session)>,
    limit: usize,
) -> ListPage {
    let listed: Vec<_> = found
        .by_ref()
        .take(limit.max(1))
        .map(|(id, session)| ListedSession {
            id: id.clone(),
            head: Ok(session.head),
            labels: session.labels.clone(),
        })
        .collect();
    let place = |last: &ListedSession| {
        let changed_at = last.head.as_ref().map_or(0, |head| head.changed_at);
        ListPlace { changed_at, id: last.id.clone() }
    };
    let next = found.next().and_then(|_| listed.last().map(place));
    ListPage { sessions: listed, next }
}

#[cfg(test)]
mod tests {
    use super::MemoryStore;
    use bytes::Bytes;
    use durable_session::SessionId;
    use durable_session::env::{Random, RandomError};
    use durable_session::store::{
        Commit, CommitOutcome, Expect, LoadQuery, Op, SessionStore, StoreErrorKind, TailBounds,
    };
    use futures_executor::block_on;

    fn id() -> SessionId {
        SessionId::new("s").unwrap()
    }

    fn create(ops: Vec<Op>) -> Commit {
        Commit::new(Expect::absent(10), ops, 10)
    }

    #[test]
    fn a_clone_is_the_same_store() {
        let store = MemoryStore::new();
        let clone = store.clone();
        block_on(store.commit(&id(), create(vec![Op::append(Bytes::from("a"))]))).unwrap();
        let query = LoadQuery::new(TailBounds::new(1, 1));
        let loaded = block_on(clone.load(&id(), query)).unwrap().loaded().unwrap();
        assert_eq!(loaded.head.messages, 1);
    }

    #[test]
    fn a_message_appended_removed_and_replaced_in_one_commit_is_refused_without_a_trace() {
        let store = MemoryStore::new();
        let body = || Bytes::from("a");
        let ops = vec![
            Op::append(body()),
            Op::replace(1, body()),
            Op::Remove { first: 1, last: 1 },
            Op::replace(1, body()),
        ];
        let outcome = block_on(store.commit(&id(), create(ops))).unwrap();
        assert_eq!(outcome, CommitOutcome::NoSuchSeq { seq: 1 });
        assert!(store.sessions().is_empty());
    }

    #[test]
    fn without_randomness_a_session_is_not_created() {
        struct Dry;
        impl Random for Dry {
            fn fill(&self, _: &mut [u8]) -> Result<(), RandomError> {
                Err(RandomError::new("dry"))
            }
        }
        let store = MemoryStore::with(Dry, MemoryStore::DEFAULT_LIMITS);
        let error = block_on(store.commit(&id(), create(Vec::new()))).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert!(store.sessions().is_empty());
        assert_eq!(store.opening().unwrap_err().kind(), StoreErrorKind::Unavailable);
    }
}

/// The README's example, compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
