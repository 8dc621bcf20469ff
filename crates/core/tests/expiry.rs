//! Sweeps: what they write, delete and leave alone (C10).
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod common;

use async_trait::async_trait;
use common::{ManualClock, Puppet, id};
use durable_session::store::{ListPage, ListQuery, SessionList, SessionStore, StoreError};
use durable_session::{ChatSessions, Expiry, Message};
use std::time::Duration;

/// Ten seconds to live, a touch every second.
fn expiring(store: &Puppet, clock: &ManualClock) -> ChatSessions {
    let expiry = Expiry::after(Duration::from_secs(10), Duration::from_secs(1)).unwrap();
    store.builder(clock.clone()).expiry(expiry).build()
}

async fn create(sessions: &ChatSessions, name: &str) {
    sessions.session(id(name)).add_message(Message::user("x")).await.unwrap();
}

#[tokio::test]
async fn c10_a_sweep_writes_no_use_that_is_written_already() {
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

#[tokio::test]
async fn c10_a_sweep_leaves_sessions_in_use_alone() {
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

/// A list whose sessions are all used by somebody else the moment after.
struct UsedMeanwhile<'a>(&'a Puppet, ManualClock);

#[async_trait]
impl SessionList for UsedMeanwhile<'_> {
    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        let page = self.0.list(query).await?;
        for session in &page.sessions {
            self.0.inner.touch(&session.id, self.1.now()).await?;
        }
        Ok(page)
    }
}

#[tokio::test]
async fn c10_a_sweep_counts_what_was_used_just_in_time() {
    let store = Puppet::new();
    let clock = ManualClock::at(1);
    let sessions = expiring(&store, &clock);
    create(&sessions, "a").await;
    create(&sessions, "b").await;
    clock.advance(10_000);
    let report = sessions.sweep(&UsedMeanwhile(&store, clock.clone())).await.unwrap();
    assert_eq!((report.deleted, report.kept, report.failed.len()), (0, 2, 0));
    assert!(sessions.session(id("a")).snapshot().await.unwrap().exists());
}
