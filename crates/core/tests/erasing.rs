//! Erasing the sessions of a person (C13), and how many deletes an erasure and a sweep have under
//! way at once.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod common;

use async_trait::async_trait;
use common::conversations::{create, exists, over, said};
use common::{ManualClock, Puppet, id, settle, spawn_add};
use durable_session::env::SystemRandom;
use durable_session::store::{
    DeleteIf, DeleteOutcome, Labels, ListPage, ListQuery, SessionList, SessionStore, StoreError,
    StoreErrorKind,
};
use durable_session::{ChatSessions, Error, Expiry, Message, SessionId};
use durable_session_memory::MemoryStore;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use testkit::{Call, Through, Wrapper};

/// Clause C13.
#[tokio::test]
async fn an_erasure_takes_every_session_of_the_owner_and_no_other() {
    let store = Puppet::new();
    let sessions = over(&store);
    for n in 0..600 {
        create(&sessions, &format!("s-{n}"), if n % 2 == 0 { "u-42" } else { "u-43" }).await;
    }
    sessions.session(id("none")).add_message(Message::user("no owner")).await.unwrap();
    let mut seen = Vec::new();
    let report = sessions.erase_owner("u-42").progress(|now| seen.push(now.erased)).await.unwrap();
    assert_eq!((report.erased, report.failed.len()), (300, 0));
    assert_eq!(seen, (1..=300).collect::<Vec<u64>>());
    assert!(sessions.of("u-42").page(None).await.unwrap().sessions.is_empty());
    let left = sessions.of("u-43").by_id().limit(1000).page(None).await.unwrap();
    assert_eq!(left.sessions.len(), 300);
    assert!(exists(&store, "none").await);
    assert_eq!(sessions.erase_owner("u-42").await.unwrap().erased, 0, "again is no error");
}

/// Clause C13.
#[tokio::test]
async fn calls_under_way_fail_as_erased_and_later_ones_begin_a_session_without_labels() {
    let store = Puppet::new();
    let sessions = over(&store);
    let chat = create(&sessions, "s", "u-42").await;
    store.hold_commits();
    let sent = spawn_add(&chat, Message::user("with the store"));
    settle().await;
    let staged: Vec<_> =
        (0..3).map(|n| spawn_add(&chat, Message::user(format!("behind it {n}")))).collect();
    settle().await;
    let erasing = tokio::spawn({
        let sessions = sessions.clone();
        async move { sessions.erase_owner("u-42").await.unwrap() }
    });
    settle().await;
    let later = spawn_add(&chat, Message::user("later"));
    settle().await;
    store.release();
    for call in staged {
        assert!(matches!(call.await.unwrap(), Err(Error::Erased { .. })));
    }
    assert!(sent.await.unwrap().is_ok(), "its commit was durable before the session was deleted");
    assert_eq!(erasing.await.unwrap().erased, 1);
    // The later call came before the delete, and went with it, or began a new session.
    later.await.unwrap().unwrap();
    chat.add_message(Message::user("after it")).await.unwrap();
    let snapshot = chat.snapshot().await.unwrap();
    assert!(snapshot.labels().is_empty());
    let said = said(&chat).await;
    assert!(said == ["later", "after it"] || said == ["after it"], "{said:?}");
}

/// Clause C13: a closure that runs again after the erasure would bring its message back.
#[tokio::test]
async fn a_turn_that_began_before_the_erasure_writes_nothing_after_it() {
    let store = Puppet::new();
    let sessions = over(&store);
    let chat = create(&sessions, "s", "u-42").await;
    let mut runs = 0;
    let turn = chat
        .turn(|draft| {
            runs += 1;
            common::elsewhere(async { sessions.erase_owner("u-42").await.unwrap() });
            draft.add_message(Message::user("too late"))
        })
        .await;
    assert!(matches!(turn, Err(Error::Erased { .. })), "{turn:?}");
    assert_eq!(runs, 1);
    assert!(!exists(&store, "s").await);
}

/// Clause C13.
#[tokio::test]
async fn a_session_whose_creation_is_with_the_store_is_erased_too() {
    let store = Puppet::new();
    let sessions = over(&store);
    store.hold_commits();
    let creating = tokio::spawn({
        let sessions = sessions.clone();
        async move { sessions.create(id("s"), Labels::owner("u-42")).await.map(drop) }
    });
    settle().await;
    let erasing = tokio::spawn({
        let sessions = sessions.clone();
        async move { sessions.erase_owner("u-42").await.unwrap().erased }
    });
    settle().await;
    assert!(!erasing.is_finished());
    store.release();
    creating.await.unwrap().unwrap();
    assert_eq!(erasing.await.unwrap(), 1);
    assert!(!exists(&store, "s").await);
}

/// A store whose deletes fail after the first few.
struct Breaking {
    inner: MemoryStore,
    left: AtomicUsize,
}

#[async_trait]
impl Wrapper for Breaking {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.inner
    }

    fn before(&self, call: Call, id: &SessionId) -> Result<(), StoreError> {
        let less = |left: usize| left.checked_sub(1);
        if call == Call::Delete
            && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_err()
        {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "broken").in_session(id));
        }
        Ok(())
    }

    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        self.inner.list(query).await
    }
}

/// Clause C13.
#[tokio::test]
async fn an_erasure_that_breaks_off_goes_on_when_it_is_run_again() {
    let store =
        Arc::new(Through(Breaking { inner: MemoryStore::new(), left: AtomicUsize::new(20) }));
    let sessions: ChatSessions =
        ChatSessions::builder(Arc::clone(&store)).listing(Arc::clone(&store)).build();
    for n in 0..50 {
        create(&sessions, &format!("s-{n}"), "u-42").await;
    }
    let report = sessions.erase_owner("u-42").await.unwrap();
    assert_eq!((report.erased, report.failed.len()), (20, 30), "each failure is reported");
    store.left.store(usize::MAX, Ordering::SeqCst);
    assert_eq!(sessions.erase_owner("u-42").await.unwrap().erased, 30);
    assert!(sessions.of("u-42").page(None).await.unwrap().sessions.is_empty());
}

/// Clause C13: the condition of a delete is that the session still belongs to the owner.
#[tokio::test]
async fn a_session_that_gets_another_owner_meanwhile_is_not_erased() {
    let store = Puppet::new();
    let sessions = over(&store);
    create(&sessions, "s", "u-42").await;
    // Another process moves it. The state in memory here still has the old owner.
    let elsewhere = store.sessions().session(id("s"));
    elsewhere.set_labels(Labels::owner("u-43")).await.unwrap();
    assert_eq!(sessions.erase_owner("u-42").await.unwrap().erased, 0);
    assert!(exists(&store, "s").await);
    assert_eq!(
        sessions.erase_owner("u-43").await.unwrap().erased,
        1,
        "and for its new owner it is"
    );
    assert!(!exists(&store, "s").await);
}

/// Clause C13: the cost of an erasure does not depend on the messages.
#[tokio::test]
async fn an_erasure_reads_no_message() {
    let store = Puppet::new();
    let sessions = over(&store);
    let chat = create(&sessions, "s", "u-42").await;
    for n in 0..100 {
        chat.add_message(Message::user(format!("{n}"))).await.unwrap();
    }
    let cold = over(&store);
    let (loads, reads) = (store.loads(), store.reads());
    assert_eq!(cold.erase_owner("u-42").await.unwrap().erased, 1);
    assert_eq!((store.loads(), store.reads()), (loads, reads));
    let outcome = store.inner.delete(&id("s"), DeleteIf::Any).await.unwrap();
    assert_eq!(outcome, DeleteOutcome::Absent);
}

/// A store that counts the deletes that are under way.
struct Counting {
    inner: MemoryStore,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Counting {
    fn new() -> Arc<Through<Self>> {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Through(Self { inner: MemoryStore::new(), now, most }))
    }
}

#[async_trait]
impl Wrapper for Counting {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.inner
    }

    async fn delete(
        &self,
        id: &SessionId,
        condition: DeleteIf,
    ) -> Result<DeleteOutcome, StoreError> {
        self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        settle().await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        self.inner.delete(id, condition).await
    }

    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        self.inner.list(query).await
    }
}

/// Deletes that are under way together share a sync of the disk. More would be an unbounded load.
#[tokio::test]
async fn an_erasure_and_a_sweep_delete_sixty_four_sessions_at_once() {
    let store = Counting::new();
    let clock = ManualClock::at(1);
    let expiry = Expiry::after(Duration::from_secs(10), Duration::from_secs(1)).unwrap();
    let sessions: ChatSessions =
        ChatSessions::builder_with(Arc::clone(&store), clock.clone(), SystemRandom)
            .listing(Arc::clone(&store))
            .expiry(expiry)
            .build();
    for n in 0..600 {
        create(&sessions, &format!("s-{n}"), if n % 2 == 0 { "u-42" } else { "u-43" }).await;
    }
    assert_eq!(sessions.erase_owner("u-42").await.unwrap().erased, 300);
    assert_eq!(store.most.swap(0, Ordering::SeqCst), 64);
    clock.advance(11_000);
    assert_eq!(sessions.sweep(&*store).await.unwrap().deleted, 300);
    assert_eq!(store.most.load(Ordering::SeqCst), 64);
}
