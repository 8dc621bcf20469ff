//! Tests over a store that fails for one session.

use crate::add::Work;
use crate::input::Conversations;
use crate::told::Told;
use crate::verify;
use durable_session::ChatSessions;
use durable_session::store::StoreErrorKind;
use durable_session_memory::MemoryStore;
use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use testkit::{Call, Faulty};

/// A store that fails for the session `bad`, in commits or in loads.
fn failing(commits: Option<StoreErrorKind>, loads: Option<StoreErrorKind>) -> Faulty<MemoryStore> {
    let store = Faulty::over(MemoryStore::new());
    fail(&store, commits, loads);
    store
}

fn fail(
    store: &Faulty<MemoryStore>,
    commits: Option<StoreErrorKind>,
    loads: Option<StoreErrorKind>,
) {
    match (commits, loads) {
        (Some(kind), _) => {
            store.fail_if(kind, |call, id| {
                id.as_str() == "bad" && matches!(call, Call::Commit | Call::Extend)
            });
        }
        (_, Some(kind)) => {
            store.fail_if(kind, |call, id| id.as_str() == "bad" && call == Call::Load);
        }
        (None, None) => store.fail(None),
    }
}

fn three() -> Conversations {
    let line = |id: &str| {
        format!("{{\"id\":\"{id}\",\"messages\":[{{\"role\":\"user\"}},{{\"role\":\"tool\"}}]}}\n")
    };
    Conversations::new(Cursor::new([line("a"), line("bad"), line("c")].concat()))
}

/// Adds one conversation after the other. Returns whether the run succeeded, and the counts of
/// stored conversations, stored messages and skips.
async fn added(store: &Faulty<MemoryStore>) -> (bool, u64, u64, u64) {
    let told = Told::new("test");
    let work = Work::new(ChatSessions::builder(store.clone()).build(), told.clone(), false);
    let done = Arc::clone(&work.done);
    let ran = work.run(three(), 1).await;
    let stored = done.conversations.load(Ordering::Relaxed);
    (ran.is_ok(), stored, done.messages.load(Ordering::Relaxed), told.skipped())
}

#[tokio::test]
async fn an_error_of_one_conversation_skips_it_and_an_error_of_the_store_ends_the_run() {
    use StoreErrorKind::{Closed, Corrupt, Internal, OutcomeUnknown, TooLarge, Unavailable};
    for kind in [TooLarge, Corrupt] {
        assert_eq!(added(&failing(Some(kind), None)).await, (true, 2, 4, 1), "{kind:?}");
        assert_eq!(added(&failing(None, Some(kind))).await, (true, 2, 4, 1), "{kind:?}");
    }
    for kind in [Unavailable, OutcomeUnknown, Closed, Internal] {
        assert_eq!(added(&failing(Some(kind), None)).await, (false, 1, 2, 0), "{kind:?}");
        assert_eq!(added(&failing(None, Some(kind))).await, (false, 1, 2, 0), "{kind:?}");
    }
}

#[tokio::test]
async fn a_stored_conversation_that_cannot_be_read_is_lost() {
    let store = failing(None, None);
    assert_eq!(added(&store).await, (true, 3, 6, 0));
    for (kind, lost) in [
        (None, Some(0)),
        (Some(StoreErrorKind::Corrupt), Some(2)),
        (Some(StoreErrorKind::Unavailable), None),
        (Some(StoreErrorKind::Closed), None),
    ] {
        fail(&store, None, kind);
        let sessions = ChatSessions::builder(store.clone()).build();
        let verified = verify::all(&sessions, three(), &Told::new("test")).await.ok();
        assert_eq!(verified.map(|verified| verified.faults.lost), lost, "{kind:?}");
        assert!(
            verified.is_none_or(|verified| verified.conversations == 3 && verified.messages == 6)
        );
    }
}
