//! The driver on a store that answers commits and extensions when it is told to.

use super::Wait;
use crate::env::{SystemClock, SystemRandom};
use crate::session::config::Config;
use crate::session::machine::Extended;
use crate::session::registry::{Registry, Session};
use crate::store::{
    ChunkPage, ChunkQuery, Claim, Commit, CommitOutcome, DeleteIf, DeleteOutcome, Durability,
    ExtendOutcome, Extension, Head, Incarnation, Labels, LoadOutcome, LoadQuery, Loaded, Opening,
    Page, ReadQuery, ReplyCounts, Row, Salvaged, SessionStore, Sharing, StoreError, StoreErrorKind,
    StoreLimits, Version,
};
use crate::{Message, SessionId};
use async_trait::async_trait;
use bytes::Bytes;
use futures_executor::block_on;
use futures_util::future::poll_immediate;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

/// A session with one message. Commits and extensions wait until they are let through.
#[derive(Default)]
struct Gated {
    commits: AtomicBool,
    extensions: AtomicBool,
    /// The calls that have begun.
    begun: Mutex<Vec<&'static str>>,
}

impl Gated {
    async fn through(&self, name: &'static str, gate: &AtomicBool) {
        self.begun.lock().unwrap().push(name);
        poll_fn(|_| if gate.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending })
            .await;
    }

    fn begun(&self) -> Vec<&'static str> {
        self.begun.lock().unwrap().clone()
    }
}

fn head() -> Head {
    let first = Version::new(Incarnation::from_bytes([1; 16]), 1);
    Head { next_seq: 2, messages: 1, bytes: 15, ..Head::new(first, 1) }
}

fn unused<T>() -> Result<T, StoreError> {
    Err(StoreError::new(StoreErrorKind::Internal, "no test calls this"))
}

#[async_trait]
impl SessionStore for Gated {
    async fn load(&self, _: &SessionId, _: LoadQuery) -> Result<LoadOutcome, StoreError> {
        Ok(LoadOutcome::Loaded(Loaded {
            head: head(),
            labels: Labels::NONE,
            app: Bytes::new(),
            tail: vec![Row { seq: 1, body: Bytes::from_static(br#"{"role":"user"}"#) }],
            tags: Vec::new(),
            replies: Vec::new(),
        }))
    }

    async fn read(&self, _: &SessionId, _: ReadQuery) -> Result<Option<Page>, StoreError> {
        unused()
    }

    async fn read_chunks(
        &self,
        _: &SessionId,
        _: ChunkQuery,
    ) -> Result<Option<ChunkPage>, StoreError> {
        unused()
    }

    async fn salvage(&self, _: &SessionId, _: ReadQuery) -> Result<Option<Salvaged>, StoreError> {
        unused()
    }

    async fn commit(&self, _: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        self.through("commit", &self.commits).await;
        Ok(CommitOutcome::Committed(head().advanced(&commit)))
    }

    async fn extend(&self, _: &SessionId, _: Extension) -> Result<ExtendOutcome, StoreError> {
        self.through("extend", &self.extensions).await;
        Ok(ExtendOutcome::Extended(ReplyCounts { chunks: 1, beats: 0 }))
    }

    async fn touch(&self, _: &SessionId, _: u64) -> Result<(), StoreError> {
        unused()
    }

    async fn delete(&self, _: &SessionId, _: DeleteIf) -> Result<DeleteOutcome, StoreError> {
        unused()
    }

    fn limits(&self) -> StoreLimits {
        StoreLimits::new(1 << 20, 1 << 20, 1 << 20, 7)
    }

    fn durability(&self) -> Durability {
        Durability::Process
    }

    fn sharing(&self) -> Sharing {
        Sharing::Exclusive
    }

    fn opening(&self) -> Result<Opening, StoreError> {
        unused()
    }
}

fn session() -> (Arc<Gated>, Session) {
    let store = Arc::new(Gated::default());
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
    let registry = Registry::new(Arc::clone(&store) as _, None, Config::small(), clock, random);
    (store, Arc::new(registry).session(SessionId::new("s-1").unwrap()))
}

fn extend(session: &Session) -> Wait<'_, Extended> {
    let chunks = vec![Bytes::from_static(b"1")];
    let extension = Extension::new(1, Claim::from_bytes([1; 32]), 0, chunks);
    let ticket = session.actor.lock().machine.extend(extension);
    Wait::new(session, ticket)
}

#[test]
fn an_extension_is_with_the_store_while_a_commit_is() {
    let (store, session) = session();
    let messages = [Message::user("more")];
    let mut adding = Box::pin(session.apply(|planner, view| planner.add(view, &messages)));
    block_on(async {
        assert!(poll_immediate(&mut adding).await.is_none());
        let mut extending = extend(&session);
        assert!(poll_immediate(&mut extending).await.is_none());
        assert_eq!(store.begun(), ["commit", "extend"]);
        store.extensions.store(true, Ordering::SeqCst);
        let extended = poll_immediate(&mut extending).await.unwrap().unwrap();
        assert_eq!(extended, ExtendOutcome::Extended(ReplyCounts { chunks: 1, beats: 0 }));
        assert!(poll_immediate(&mut adding).await.is_none());
        store.commits.store(true, Ordering::SeqCst);
        assert_eq!(poll_immediate(&mut adding).await.unwrap().unwrap()[0].seq, 2);
    });
}

#[test]
fn a_commit_that_removes_the_message_waits_for_the_extension_of_its_reply() {
    let (store, session) = session();
    store.commits.store(true, Ordering::SeqCst);
    let mut extending = extend(&session);
    let mut removing = Box::pin(session.apply(|planner, view| planner.remove(view, 1)));
    block_on(async {
        assert!(poll_immediate(&mut extending).await.is_none());
        assert!(poll_immediate(&mut removing).await.is_none());
        let mut later = extend(&session);
        assert!(poll_immediate(&mut later).await.is_none());
        assert_eq!(store.begun(), ["extend"], "and a later extension waits for the commit");
        store.extensions.store(true, Ordering::SeqCst);
        assert!(poll_immediate(&mut removing).await.unwrap().is_ok());
        assert!(poll_immediate(&mut extending).await.unwrap().is_ok());
        assert!(poll_immediate(&mut later).await.unwrap().is_ok());
        assert_eq!(store.begun(), ["extend", "commit", "extend"]);
    });
}

#[test]
fn an_extension_whose_caller_went_before_it_was_sent_is_not_made() {
    let (store, session) = session();
    let mut first = extend(&session);
    block_on(async {
        assert!(poll_immediate(&mut first).await.is_none());
        drop(extend(&session));
        store.extensions.store(true, Ordering::SeqCst);
        assert!(poll_immediate(&mut first).await.unwrap().is_ok());
    });
    assert_eq!(store.begun(), ["extend"]);
    assert!(!session.actor.lock().machine.is_busy());
}
