//! `Traced` logs each operation and nothing secret.
//!
//! The test is alone in its process. `tracing` remembers for each event whether any subscriber
//! wants it. A test on another thread without a subscriber can be the first to reach the event,
//! and then this test would miss it.
#![allow(clippy::unwrap_used, missing_docs)]

use durable_session::SessionId;
use durable_session::env::Clock;
use durable_session::store::{Commit, Expect, Op, SessionStore, Traced};
use durable_session_memory::MemoryStore;
use futures_executor::block_on;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A clock that moves by 5 ms each time it is read.
#[derive(Default)]
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now_ms(&self) -> u64 {
        self.0.fetch_add(5, Ordering::Relaxed)
    }

    fn monotonic_ms(&self) -> u64 {
        self.now_ms()
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_event_names_the_operation_and_the_fingerprint_and_nothing_secret() {
    let log = Log::default();
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
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
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
