//! `Traced` logs each operation and nothing secret.
//!
//! The test is alone in its process. `tracing` remembers for each event whether any subscriber
//! wants it. A test on another thread without a subscriber can be the first to reach the event,
//! and then this test would miss it.
#![allow(clippy::unwrap_used, missing_docs)]

use durable_session::SessionId;
use durable_session::store::{Commit, Expect, Op, SessionStore, Traced};
use durable_session_memory::MemoryStore;
use futures_executor::block_on;
use testkit::{Ticking, Written};

#[test]
fn an_event_names_the_operation_and_the_fingerprint_and_nothing_secret() {
    let log = Written::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let id = SessionId::new("session-secret").unwrap();
    let store = Traced::with_clock(MemoryStore::new(), Ticking::default());
    tracing::subscriber::with_default(subscriber, || {
        let create = vec![Op::append("secret-text".into())];
        block_on(store.commit(&id, Commit::new(Expect::absent(1), create, 1))).unwrap();
        let large = Op::SetApp(vec![b'x'; (16 << 20) + 1].into());
        block_on(store.commit(&id, Commit::new(Expect::absent(1), vec![large], 1))).unwrap_err();
    });
    let logged = log.text();
    let lines: Vec<_> = logged.lines().collect();
    let [ended, failed] = lines[..] else { panic!("{logged}") };
    let fingerprint = id.fingerprint().to_string();
    for part in ["DEBUG", "commit", "committed", "ms=5", &fingerprint] {
        assert!(ended.contains(part), "{part}: {ended}");
    }
    for part in ["WARN", "commit", "the limit is 16777216", &fingerprint] {
        assert!(failed.contains(part), "{part}: {failed}");
    }
    assert!(!logged.contains("secret"), "{logged}");
}
