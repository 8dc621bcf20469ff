//! Sweeps: the sessions that they write, delete and leave alone (C10).
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod common;

use async_trait::async_trait;
use common::{ManualClock, Puppet, id};
use durable_session::env::SystemRandom;
use durable_session::store::{SessionStore, StoreError};
use durable_session::{ChatSessions, Expiry, Message, SessionId};
use futures_util::future::poll_immediate;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use testkit::{Through, Wrapper};

/// Ten seconds to live, a touch every second.
fn expiring(store: &Puppet, clock: &ManualClock) -> ChatSessions {
    let expiry = Expiry::after(Duration::from_secs(10), Duration::from_secs(1)).unwrap();
    store.builder(clock.clone()).expiry(expiry).build()
}

async fn create(sessions: &ChatSessions, name: &str) {
    sessions.session(id(name)).add_message(Message::user("x")).await.unwrap();
}

/// Clause C10.
#[tokio::test]
async fn a_sweep_writes_no_use_that_is_already_written() {
    let store = Puppet::new();
    let clock = ManualClock::at(1);
    let sessions = expiring(&store, &clock);
    create(&sessions, "s").await;
    clock.advance(1_000);
    sessions.session(id("s")).snapshot().await.unwrap();
    assert_eq!(store.touches(), 1);
    assert_eq!(sessions.sweep(&store).await.unwrap().touched, 0);
    assert_eq!(store.touches(), 1);
}

/// Clause C10.
#[tokio::test]
async fn a_sweep_leaves_sessions_in_use_alone() {
    let store = Puppet::new();
    let clock = ManualClock::at(1);
    let sessions = expiring(&store, &clock);
    create(&sessions, "old").await;
    clock.advance(9_000);
    create(&sessions, "young").await;
    clock.advance(1_000);
    let report = sessions.sweep(&store).await.unwrap();
    assert_eq!((report.deleted, report.kept), (1, 0));
    let loads = store.loads();
    assert!(sessions.session(id("young")).snapshot().await.unwrap().exists());
    assert_eq!(store.loads(), loads, "it is still in memory");
}

/// Clause C10.
#[tokio::test]
async fn a_sweep_counts_sessions_that_were_used_just_in_time() {
    let store = Puppet::new();
    let clock = ManualClock::at(1);
    let sessions = expiring(&store, &clock);
    create(&sessions, "a").await;
    create(&sessions, "b").await;
    clock.advance(10_000);
    store.use_listed_sessions(&clock);
    let report = sessions.sweep(&store).await.unwrap();
    assert_eq!((report.deleted, report.kept, report.failed.len()), (0, 2, 0));
    assert!(sessions.session(id("a")).snapshot().await.unwrap().exists());
}

/// A store that does not answer touches while it is told so.
struct Hanging {
    inner: Puppet,
    hangs: Arc<AtomicBool>,
}

#[async_trait]
impl Wrapper for Hanging {
    type Inner = Puppet;

    fn inner(&self) -> &Puppet {
        &self.inner
    }

    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        while self.hangs.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        self.inner.touch(id, at).await
    }
}

/// Clause C10.
#[tokio::test]
async fn a_read_does_not_wait_for_the_touch_that_it_sends() {
    let (store, hangs) = (Puppet::new(), Arc::new(AtomicBool::new(true)));
    let hanging = Through(Hanging { inner: store.clone(), hangs: Arc::clone(&hangs) });
    let clock = ManualClock::at(1);
    let expiry = Expiry::after(Duration::from_secs(10), Duration::from_secs(1)).unwrap();
    let sessions: ChatSessions =
        ChatSessions::builder_with(hanging, clock.clone(), SystemRandom).expiry(expiry).build();
    create(&sessions, "s").await;
    let chat = sessions.session(id("s"));
    for _ in 0..2 {
        clock.advance(1_000);
        assert!(poll_immediate(chat.snapshot()).await.is_some());
    }
    assert_eq!(store.touches(), 0);
    hangs.store(false, Ordering::SeqCst);
    // The next read that is due takes the answer in, and the one after it sends a new touch.
    chat.snapshot().await.unwrap();
    assert_eq!(chat.snapshot().await.unwrap().last_accessed_at(), 1_001);
    assert_eq!((store.touches(), sessions.stats().touches), (2, 2));
}

/// The first touch wakes its callers once before it ends. Later ones never end.
struct Yielding {
    inner: Puppet,
    touches: AtomicU64,
}

#[async_trait]
impl Wrapper for Yielding {
    type Inner = Puppet;

    fn inner(&self) -> &Puppet {
        &self.inner
    }

    async fn touch(&self, session: &SessionId, at: u64) -> Result<(), StoreError> {
        if self.touches.fetch_add(1, Ordering::SeqCst) > 0 {
            std::future::pending::<()>().await;
        }
        let mut woken = false;
        std::future::poll_fn(|cx| {
            if std::mem::replace(&mut woken, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        self.inner.touch(session, at).await
    }
}

#[derive(Default)]
struct Wakes(AtomicU64);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_watcher_sleeps_while_the_store_works_on_a_touch() {
    let store = Through(Yielding { inner: Puppet::new(), touches: AtomicU64::new(0) });
    let clock = ManualClock::at(1);
    let expiry = Expiry::after(Duration::from_secs(10), Duration::from_secs(1)).unwrap();
    let sessions: ChatSessions =
        ChatSessions::builder_with(store, clock.clone(), SystemRandom).expiry(expiry).build();
    create(&sessions, "s").await;
    let chat = sessions.session(id("s"));
    let mut watcher = chat.watch();
    let mut next = pin!(watcher.next());
    let told = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&told));
    for _ in 0..4 {
        clock.advance(1_000);
        chat.snapshot().await.unwrap();
        assert!(next.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    let before = told.0.load(Ordering::SeqCst);
    for _ in 0..5 {
        assert!(next.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    assert_eq!(told.0.load(Ordering::SeqCst), before, "a watcher that only waits wakes itself");
}
