//! The in-memory reference store for [`durable_session`].
//!
//! [`MemoryStore`] keeps sessions for as long as the process lives: for tests, for demos, and as the model that other
//! stores are compared with. It keeps every clause of the store contract that does not need a disk, in the plainest
//! code that can keep it; its declared durability is [`Durability::Process`].
//!
//! It builds for `wasm32-unknown-unknown` too, where randomness is injected with [`MemoryStore::with`].

mod session;

use async_trait::async_trait;
use durable_session::SessionId;
use durable_session::env::Random;
use durable_session::store::{
    Commit, CommitOutcome, DeleteIf, DeleteOutcome, Durability, Expect, Incarnation, ListPage, ListQuery,
    ListedSession, Loaded, Page, ReadQuery, Salvaged, SessionList, SessionStore, StoreError, StoreErrorKind,
    StoreLimits, TailBounds, Version,
};
use session::Session;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Keeps sessions in memory. A clone is the same store.
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
}

impl MemoryStore {
    /// 16 MiB for a message body and for the app state, 64 MiB and 65,536 operations for a commit.
    pub const DEFAULT_LIMITS: StoreLimits = StoreLimits {
        max_body_bytes: 16 << 20,
        max_app_bytes: 16 << 20,
        max_commit_bytes: 64 << 20,
        max_commit_ops: 1 << 16,
    };

    /// An empty store with the default limits. Not there on `wasm32-unknown-unknown`: see [`with`](Self::with).
    #[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
    pub fn new() -> Self {
        Self::with(durable_session::env::SystemRandom, Self::DEFAULT_LIMITS)
    }

    /// An empty store with the host's randomness, which makes versions unique (S3), and its own limits (S7).
    pub fn with(random: impl Random + 'static, limits: StoreLimits) -> Self {
        Self(Arc::new(Inner { sessions: Mutex::default(), random: Box::new(random), limits }))
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<SessionId, Session>> {
        // Nothing below panics with the lock held, so what a poisoned lock guards is whole.
        self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_incarnation(&self, id: &SessionId) -> Result<Incarnation, StoreError> {
        let mut bytes = [0; 16];
        self.0.random.fill(&mut bytes).map_err(|e| {
            StoreError::new(StoreErrorKind::Unavailable, "could not draw the new session's incarnation")
                .in_session(id)
                .with_source(e)
        })?;
        Ok(Incarnation::from_bytes(bytes))
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
    async fn load(&self, id: &SessionId, tail: TailBounds) -> Result<Option<Loaded>, StoreError> {
        Ok(self.sessions().get(id).map(|session| Loaded {
            head: session.head,
            app: session.app.clone(),
            tail: session.tail(tail),
        }))
    }

    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        Ok(self.sessions().get(id).map(|session| session.page(&query)))
    }

    async fn salvage(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Salvaged>, StoreError> {
        Ok(self.sessions().get(id).map(|session| {
            let page = session.page(&query);
            Salvaged {
                head: Some(page.head),
                app: Some(session.app.clone()),
                rows: page.rows,
                damage: Vec::new(),
                more: page.more,
            }
        }))
    }

    async fn commit(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        self.0.limits.check(id, &commit)?;
        let mut sessions = self.sessions();
        match (commit.expect, sessions.get_mut(id)) {
            (Expect::Version(expected), Some(session)) if session.head.version == expected => {
                Ok(session.apply(commit, expected.next()))
            }
            (Expect::Absent { created_at }, None) => {
                let mut session = Session::new(created_at, Version::new(self.new_incarnation(id)?, 1));
                let first = session.head.version;
                let outcome = session.apply(commit, first);
                if matches!(outcome, CommitOutcome::Committed(_)) {
                    sessions.insert(id.clone(), session);
                }
                Ok(outcome)
            }
            (_, session) => Ok(CommitOutcome::Conflict { current: session.map(|s| s.head.version) }),
        }
    }

    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        if let Some(session) = self.sessions().get_mut(id) {
            session.touch(at);
        }
        Ok(())
    }

    async fn delete(&self, id: &SessionId, condition: DeleteIf) -> Result<DeleteOutcome, StoreError> {
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
}

#[async_trait]
impl SessionList for MemoryStore {
    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        let start = match &query.after {
            Some(after) if after.as_str() >= query.prefix.as_str() => Bound::Excluded(after.as_str()),
            _ => Bound::Included(query.prefix.as_str()),
        };
        let sessions = self.sessions();
        let mut found = sessions
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(|(id, _)| id.as_str().starts_with(&query.prefix))
            .filter(|(_, session)| query.idle_since.is_none_or(|time| session.head.last_accessed_at <= time))
            .map(|(id, session)| ListedSession { id: id.clone(), head: Ok(session.head) });
        let listed: Vec<_> = found.by_ref().take(query.limit.max(1)).collect();
        let next = found.next().and_then(|_| listed.last().map(|last| last.id.clone()));
        Ok(ListPage { sessions: listed, next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use durable_session::env::RandomError;
    use durable_session::store::Op;
    use futures_executor::block_on;

    fn id() -> SessionId {
        SessionId::new("s").unwrap()
    }

    fn create(ops: Vec<Op>) -> Commit {
        Commit { expect: Expect::Absent { created_at: 10 }, ops, at: 10 }
    }

    #[test]
    fn a_clone_is_the_same_store() {
        let store = MemoryStore::new();
        let clone = store.clone();
        block_on(store.commit(&id(), create(vec![Op::Append(Bytes::from("a"))]))).unwrap();
        let tail = TailBounds { max_messages: 1, max_bytes: 1 };
        let loaded = block_on(clone.load(&id(), tail)).unwrap().unwrap();
        assert_eq!(loaded.head.messages, 1);
    }

    #[test]
    fn a_message_appended_removed_and_replaced_in_one_commit_is_refused_without_a_trace() {
        let store = MemoryStore::new();
        let body = || Bytes::from("a");
        let ops = vec![
            Op::Append(body()),
            Op::Replace { seq: 1, body: body() },
            Op::Remove { first: 1, last: 1 },
            Op::Replace { seq: 1, body: body() },
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
    }
}

/// The README's example, compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
