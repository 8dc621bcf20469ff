//! Sweeps after an import, over each store: an import counts as a use, unless the recorded last use
//! is asked for.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use durable_session::env::{Clock, SystemRandom};
use durable_session::store::{SessionList, SessionStore};
use durable_session::transfer::{Import, ImportOptions, LastUse};
use durable_session::{ChatSessions, Expiry, JsonObject};
use durable_session_memory::MemoryStore;
use durable_session_redb::RedbStore;
use std::time::Duration;

const DAY: u64 = 24 * 60 * 60 * 1000;
const NOW: u64 = 1_764_000_000_000;
const MESSAGES: &str = r#"[{"role":"user","content":"hi"}]"#;

struct At(u64);

impl Clock for At {
    fn now_ms(&self) -> u64 {
        self.0
    }

    fn monotonic_ms(&self) -> u64 {
        self.0
    }
}

/// Three sessions, last used so many days ago.
fn exported() -> String {
    let line = |days: u64| {
        let used = NOW - days * DAY;
        format!(
            r#"{{"id":"used-{days}-days-ago","state":{{"messages":{MESSAGES},
                "createdAt":{used},"lastAccessedAt":{used}}}}}"#
        )
    };
    // One line each.
    [line(1), line(100), line(1000)].map(|line| line.replace('\n', "")).join("\n")
}

/// Imports, and sweeps so many days later: how many sessions that deletes.
async fn swept<S>(store: S, last_use: LastUse, days_later: u64) -> u64
where
    S: SessionStore + SessionList + Clone + 'static,
{
    let input = exported();
    for found in [0, 3] {
        let options = ImportOptions::new(At(NOW), SystemRandom).last_use(last_use);
        let mut import = Import::new(&store, input.as_bytes(), options);
        while let Some(outcome) = import.next().await {
            outcome.unwrap();
        }
        assert!(
            import.report().is_complete() && import.report().found == found,
            "{}",
            import.report()
        );
    }
    let ttl = Expiry::after(Duration::from_hours(90 * 24), Duration::from_hours(1)).unwrap();
    let sessions = ChatSessions::<JsonObject>::builder_with(
        store.clone(),
        At(NOW + days_later * DAY),
        SystemRandom,
    )
    .expiry(ttl)
    .build();
    let report = sessions.sweep(&store).await.unwrap();
    assert!(report.failed.is_empty(), "{report:?}");
    report.deleted
}

async fn each(last_use: LastUse, days_later: u64) -> [u64; 2] {
    let folder = tempfile::tempdir().unwrap();
    let redb = RedbStore::open(folder.path().join("swept.redb")).unwrap();
    let deleted = [
        swept(MemoryStore::new(), last_use, days_later).await,
        swept(redb.clone(), last_use, days_later).await,
    ];
    redb.close().await.unwrap();
    deleted
}

#[tokio::test]
async fn a_sweep_right_after_an_import_deletes_nothing() {
    assert_eq!(each(LastUse::Now, 0).await, [0, 0]);
    assert_eq!(each(LastUse::default(), 89).await, [0, 0]);
    assert_eq!(each(LastUse::Now, 90).await, [3, 3]);
}

#[tokio::test]
async fn with_the_recorded_last_use_a_sweep_deletes_sessions_unused_for_too_long() {
    assert_eq!(each(LastUse::Recorded, 0).await, [2, 2]);
    assert_eq!(each(LastUse::Recorded, 88).await, [2, 2]);
    assert_eq!(each(LastUse::Recorded, 89).await, [3, 3]);
}
