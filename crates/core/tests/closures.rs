//! A closure is run again on fresh state if its changes would not stand on the state that it read
//! (C5).
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod common;

use common::{Fault, ManualClock, Puppet, elsewhere, id};
use durable_session::{ChatSession, ChatSessions, Error, JsonObject, Memory, Message};
use futures_util::future::poll_immediate;
use std::pin::pin;
use std::time::Duration;

fn count(app: &mut JsonObject) {
    let n = app.get::<u64>("n").unwrap().unwrap_or(0);
    app.set("n", &(n + 1)).unwrap();
}

/// Counts one up, with something else going on while the closure runs for the first time; gives how
/// often it ran, and the count that is stored then.
async fn count_while(chat: &ChatSession, meanwhile: impl FnOnce()) -> (u32, u64) {
    let (mut runs, mut meanwhile) = (0, Some(meanwhile));
    chat.update(|app| {
        runs += 1;
        if let Some(meanwhile) = meanwhile.take() {
            meanwhile();
        }
        count(app);
    })
    .await
    .unwrap();
    (runs, chat.get_state().await.unwrap().app.get::<u64>("n").unwrap().unwrap())
}

/// Clause C5.
#[tokio::test]
async fn a_closure_runs_again_when_another_call_wrote() {
    let chat = Puppet::new().sessions().session(id("s"));
    chat.update(count).await.unwrap();
    assert_eq!(count_while(&chat, || elsewhere(chat.update(count)).unwrap()).await, (2, 3));
}

/// Clause C5.
#[tokio::test]
async fn a_closure_runs_again_when_the_session_was_loaded_again() {
    let store = Puppet::new();
    let (ours, theirs): (ChatSession, ChatSession) = {
        let sessions = store.with_window(1, 10_000);
        (sessions.session(id("s")), store.sessions().session(id("s")))
    };
    ours.add_messages(vec![Message::user("x"); 4]).await.unwrap();
    ours.update(count).await.unwrap();
    let load = || {
        elsewhere(async {
            theirs.update(count).await.unwrap();
            // This takes more than the window, and then changes nothing.
            let looked = ours.turn(|draft| {
                draft.pop()?;
                draft.pop()?;
                Err::<(), _>(Error::rejected("only looked"))
            });
            looked.await.unwrap_err();
        });
    };
    assert_eq!(count_while(&ours, load).await, (2, 3));
}

/// Clause C5.
#[tokio::test]
async fn a_closure_runs_again_when_the_session_left_memory_and_was_loaded() {
    let store = Puppet::new();
    let clock = ManualClock::at(0);
    let memory = Memory { idle: Duration::from_secs(1), ..Memory::default() };
    let sessions: ChatSessions = store.builder(clock.clone()).memory(memory).build();
    let (ours, theirs) = (sessions.session(id("s")), store.sessions().session(id("s")));
    ours.update(count).await.unwrap();
    let away = || {
        elsewhere(async {
            theirs.update(count).await.unwrap();
            clock.advance(1_000);
            sessions.sweep(&store).await.unwrap();
            assert_eq!(sessions.stats().live_sessions, 0);
            ours.snapshot().await.unwrap();
        });
    };
    assert_eq!(count_while(&ours, away).await, (2, 3));
}

/// Clause C5.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_closure_runs_again_when_the_changes_it_read_failed() {
    for fault in [Fault::Before, Fault::After] {
        let store = Puppet::new();
        let chat = store.sessions().session(id("s"));
        chat.update(count).await.unwrap();
        store.hold_commits();
        store.fail_commits(&[fault]);
        let mut failing = Box::pin(chat.update(count));
        assert!(poll_immediate(&mut failing).await.is_none());
        let fail = || {
            elsewhere(async {
                store.release();
                failing.await.unwrap_err();
                chat.snapshot().await.unwrap();
            });
        };
        let stored = if matches!(fault, Fault::Before) { 1 } else { 2 };
        assert_eq!(count_while(&chat, fail).await, (2, stored + 1));
    }
}

/// Clause C5.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_closure_runs_again_when_the_changes_it_read_were_abandoned() {
    for then_another in [false, true] {
        let store = Puppet::new();
        let chat = store.sessions().session(id("s"));
        chat.update(count).await.unwrap();
        store.hold_commits();
        let mut flying = Box::pin(chat.add_message(Message::user("in flight")));
        assert!(poll_immediate(&mut flying).await.is_none());
        {
            let mut leaving = pin!(chat.update(count));
            assert!(poll_immediate(&mut leaving).await.is_none());
        }
        let land = || {
            elsewhere(async {
                store.release();
                flying.await.unwrap();
                if then_another {
                    chat.add_message(Message::user("another")).await.unwrap();
                }
            });
        };
        assert_eq!(count_while(&chat, land).await, (2, 2));
    }
}
