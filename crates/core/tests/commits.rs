//! Commits: durable then visible, one order, few commits, and failures (C1–C5).
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod common;

use common::{Fault, ManualClock, Puppet, elsewhere, id, settle, texts};
use durable_session::store::StoreErrorKind;
use durable_session::{ChatSession, ChatSessions, Error, JsonObject, Message, MessageQuery};
use futures_util::future::{join_all, poll_immediate};
use std::pin::pin;

async fn state_texts(chat: &ChatSession) -> Vec<String> {
    texts(&chat.get_state().await.unwrap().messages)
}

/// Clause C1.
#[tokio::test]
async fn a_message_is_visible_only_once_it_is_durable() {
    let store = Puppet::new();
    let chat = store.sessions().session(id("s"));
    chat.add_message(Message::user("one")).await.unwrap();
    store.hold_commits();
    let writer = tokio::spawn({
        let chat = chat.clone();
        async move { chat.add_message(Message::user("two")).await }
    });
    settle().await;
    assert_eq!(store.commits().len(), 2, "the commit is with the store");
    assert_eq!(state_texts(&chat).await, ["one"], "and readers neither see it nor wait for it");
    assert_eq!(chat.snapshot().await.unwrap().message_count(), 1);
    assert!(!writer.is_finished());
    store.let_through(1);
    assert_eq!(writer.await.unwrap().unwrap().seq, 2);
    assert_eq!(state_texts(&chat).await, ["one", "two"]);
}

/// Clause C2.
#[tokio::test]
async fn concurrent_first_uses_load_once() {
    let store = Puppet::new();
    store.sessions().session(id("s")).add_message(Message::user("one")).await.unwrap();
    let sessions: ChatSessions = store.sessions();
    let before = store.loads();
    let reads = (0..20).map(|_| {
        let chat = sessions.session(id("s"));
        async move { chat.get_state().await.unwrap().messages.len() }
    });
    assert_eq!(join_all(reads).await, [1; 20]);
    assert_eq!(store.loads() - before, 1);
}

/// Clause C3.
#[tokio::test]
async fn calls_gather_into_few_commits_in_their_order() {
    let store = Puppet::new();
    let chat = store.sessions().session(id("s"));
    chat.add_message(Message::user("first")).await.unwrap();
    store.hold_commits();
    let calls = (0..50).map(|i| {
        let chat = chat.clone();
        async move { chat.add_message(Message::user(format!("m{i}"))).await.unwrap().seq }
    });
    let writer = tokio::spawn(join_all(calls));
    settle().await;
    store.release();
    let seqs = writer.await.unwrap();
    assert_eq!(seqs, (2..52).collect::<Vec<u64>>());
    assert_eq!(
        store.commits().len(),
        3,
        "the first, the one that was in flight, and one for all that gathered"
    );
    let expected: Vec<_> =
        std::iter::once("first".to_owned()).chain((0..50).map(|i| format!("m{i}"))).collect();
    assert_eq!(state_texts(&chat).await, expected);
}

/// Clause C3.
#[tokio::test]
async fn a_dropped_caller_stops_nothing() {
    let store = Puppet::new();
    let chat = store.sessions().session(id("s"));
    chat.add_message(Message::user("first")).await.unwrap();
    store.hold_commits();
    let mut flying = Box::pin(chat.add_message(Message::user("in flight")));
    assert!(poll_immediate(&mut flying).await.is_none());
    let mut leaving = Box::pin(chat.add_message(Message::user("queued, then dropped")));
    assert!(poll_immediate(&mut leaving).await.is_none());
    let staying = tokio::spawn({
        let chat = chat.clone();
        async move { chat.add_message(Message::user("queued")).await }
    });
    settle().await;
    // The caller that polls the store goes, and one of the two that gathered.
    drop(flying);
    drop(leaving);
    store.release();
    staying.await.unwrap().unwrap();
    let texts = state_texts(&chat).await;
    assert_eq!(texts, ["first", "in flight", "queued, then dropped", "queued"]);
}

/// Clause C3.
#[tokio::test]
async fn changes_that_were_not_sent_are_dropped_with_their_callers() {
    let store = Puppet::new();
    let chat = store.sessions().session(id("s"));
    chat.add_message(Message::user("first")).await.unwrap();
    store.hold_commits();
    let flying = tokio::spawn({
        let chat = chat.clone();
        async move { chat.add_message(Message::user("in flight")).await }
    });
    settle().await;
    {
        let mut leaving = pin!(chat.add_message(Message::user("dropped")));
        assert!(poll_immediate(&mut leaving).await.is_none());
    }
    store.release();
    flying.await.unwrap().unwrap();
    chat.add_message(Message::user("last")).await.unwrap();
    assert_eq!(state_texts(&chat).await, ["first", "in flight", "last"]);
}

/// Clause C3.
#[tokio::test]
async fn a_commit_whose_callers_were_dropped_is_seen_by_the_next_use() {
    let store = Puppet::new();
    let chat = store.sessions().session(id("s"));
    chat.add_message(Message::user("first")).await.unwrap();
    store.hold_commits();
    {
        let mut flying = pin!(chat.add_message(Message::user("in flight")));
        assert!(poll_immediate(&mut flying).await.is_none());
    }
    store.release();
    settle().await;
    chat.add_message(Message::user("last")).await.unwrap();
    assert_eq!(state_texts(&chat).await, ["first", "in flight", "last"]);
}

/// Clause C4.
#[tokio::test]
async fn an_io_failure_fails_its_commit_and_leaves_no_ghost() {
    let store = Puppet::new();
    let chat = store.sessions().session(id("s"));
    chat.add_message(Message::user("first")).await.unwrap();
    store.fail_commits(&[Fault::Before]);
    let e = chat.add_message(Message::user("lost")).await.unwrap_err();
    assert_eq!(e.store_kind(), Some(StoreErrorKind::Unavailable));
    assert_eq!(state_texts(&chat).await, ["first"]);
    assert_eq!(chat.add_message(Message::user("second")).await.unwrap().seq, 2);
    store.fail_commits(&[Fault::After]);
    let e = chat.add_message(Message::user("unknown").with_id("u")).await.unwrap_err();
    assert!(e.outcome_unknown());
    assert_eq!(
        state_texts(&chat).await,
        ["first", "second", "unknown"],
        "what is stored, not what was hoped"
    );
    let again = chat.add_message(Message::user("unknown").with_id("u")).await.unwrap();
    assert_eq!((again.seq, again.replayed), (3, true));
}

/// Clause C4.
#[tokio::test]
async fn every_call_in_a_failed_commit_fails_and_those_staged_on_top_go_on() {
    let store = Puppet::new();
    let chat = store.sessions().session(id("s"));
    chat.add_message(Message::user("first")).await.unwrap();
    store.hold_commits();
    store.fail_commits(&[Fault::Before]);
    let call = |text: &'static str| {
        let chat = chat.clone();
        tokio::spawn(async move { chat.add_message(Message::user(text)).await })
    };
    let doomed = call("doomed");
    settle().await;
    let (a, b) = (call("a"), call("b"));
    settle().await;
    store.release();
    assert_eq!(doomed.await.unwrap().unwrap_err().store_kind(), Some(StoreErrorKind::Unavailable));
    let mut seqs = [a.await.unwrap().unwrap().seq, b.await.unwrap().unwrap().seq];
    seqs.sort_unstable();
    assert_eq!(seqs, [2, 3]);
    let mut texts = state_texts(&chat).await;
    texts[1..].sort();
    assert_eq!(texts, ["first", "a", "b"]);
}

/// Clause C4.
#[tokio::test]
async fn a_request_refused_on_its_own_grounds_fails_alone() {
    let store = Puppet::new();
    let chat = store.sessions().session(id("s"));
    for i in 0..100 {
        chat.add_message(Message::user(format!("m{i}"))).await.unwrap();
    }
    chat.remove(2).await.unwrap();
    store.hold_commits();
    let flying = tokio::spawn({
        let chat = chat.clone();
        async move { chat.add_message(Message::user("in flight")).await }
    });
    settle().await;
    // Older than the window: only the store can tell that it is not there.
    let refused = tokio::spawn({
        let chat = chat.clone();
        async move { chat.replace(2, Message::user("x")).await }
    });
    settle().await;
    let other = tokio::spawn({
        let chat = chat.clone();
        async move { chat.add_message(Message::user("other")).await }
    });
    settle().await;
    store.release();
    flying.await.unwrap().unwrap();
    assert!(matches!(refused.await.unwrap(), Err(Error::NoSuchMessage { seq: 2, .. })));
    assert_eq!(other.await.unwrap().unwrap().seq, 102);
}

/// Clause C4.
#[tokio::test]
async fn a_store_that_panics_fails_the_call_and_nothing_else() {
    let store = Puppet::new();
    let chat = store.sessions().session(id("s"));
    store.fail_commits(&[Fault::Panic]);
    assert!(chat.add_message(Message::user("x")).await.unwrap_err().outcome_unknown());
    assert_eq!(chat.add_message(Message::user("one")).await.unwrap().seq, 1);
}

/// Clause C5.
#[tokio::test]
async fn a_turn_is_whole_and_reads_its_own_writes() {
    let store = Puppet::new();
    let chat = store.sessions().session(id("s"));
    let seq = chat
        .turn(|draft| {
            let question = draft.add_message(Message::user("q"))?;
            draft.app_mut()?.set("step", &1).unwrap();
            assert_eq!(draft.tail().count(), 1);
            assert_eq!(draft.app()?.get::<u8>("step").unwrap(), Some(1));
            draft.add_message(Message::assistant("a"))?;
            Ok(question.seq)
        })
        .await
        .unwrap();
    assert_eq!(seq, 1);
    assert_eq!(store.commits().len(), 1);
    let state = chat.get_state().await.unwrap();
    assert_eq!(texts(&state.messages), ["q", "a"]);
    assert_eq!(state.app.to_string(), r#"{"step":1}"#);
}

/// Clause C5.
#[tokio::test]
async fn an_error_or_a_panic_in_a_turn_changes_nothing_and_harms_only_its_caller() {
    let store = Puppet::new();
    let chat = store.sessions().session(id("s"));
    chat.add_message(Message::user("one")).await.unwrap();
    let e = chat
        .turn(|draft| {
            draft.add_message(Message::user("two"))?;
            draft.app_mut()?.set("a", &1).unwrap();
            Err::<(), _>(Error::rejected("no"))
        })
        .await
        .unwrap_err();
    assert_eq!(e.to_string(), "the change was refused; nothing was changed");
    let panicking = tokio::spawn({
        let chat = chat.clone();
        async move {
            chat.update(|app: &mut JsonObject| {
                app.set("a", &1).unwrap();
                panic!("user code");
            })
            .await
        }
    });
    assert!(panicking.await.is_err());
    assert_eq!(store.commits().len(), 1);
    chat.update(|app| app.set("b", &2)).await.unwrap().unwrap();
    let state = chat.get_state().await.unwrap();
    assert_eq!(
        (texts(&state.messages), state.app.to_string()),
        (vec!["one".to_owned()], r#"{"b":2}"#.to_owned())
    );
}

/// Clause C5.
#[tokio::test]
async fn two_registries_over_one_store_lose_nothing() {
    let store = Puppet::new();
    let registries: Vec<ChatSessions> =
        (0..2).map(|_| store.builder(ManualClock::at(1)).attempts(1000).build()).collect();
    let calls = (0..200).map(|i: usize| {
        let chat = registries[i % 2].session(id("s"));
        tokio::spawn(async move {
            if i % 4 < 2 {
                chat.add_message(Message::user(format!("m{i}"))).await.map(|_| ())
            } else {
                chat.update(|app| {
                    let n = app.get::<u64>("n").unwrap().unwrap_or(0);
                    app.set("n", &(n + 1)).unwrap();
                })
                .await
            }
        })
    });
    for call in join_all(calls).await {
        call.unwrap().unwrap();
    }
    let state = store.sessions().session(id("s")).get_state().await.unwrap();
    assert_eq!(state.app.get::<u64>("n").unwrap(), Some(100));
    let mut texts = texts(&state.messages);
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), 100);
}

/// Clause C5.
#[tokio::test]
async fn a_call_that_others_always_beat_is_contended() {
    let store = Puppet::new();
    let ours: ChatSessions = store.builder(ManualClock::at(1)).attempts(3).build();
    let theirs: ChatSessions = store.sessions();
    ours.session(id("s")).add_message(Message::user("one")).await.unwrap();
    let chat = ours.session(id("s"));
    let mut tries = 0;
    let result = chat
        .turn(|draft| {
            tries += 1;
            // Another registry commits between our reading and our commit.
            let other = theirs.session(id("s"));
            let text = format!("theirs {tries}");
            elsewhere(other.add_message(Message::user(text))).unwrap();
            draft.add_message(Message::user("ours"))
        })
        .await;
    assert!(matches!(result, Err(Error::Contended { .. })), "{result:?}");
    assert_eq!(tries, 3);
    assert_eq!(state_texts(&chat).await, ["one", "theirs 1", "theirs 2", "theirs 3"]);
}

/// Clause C5.
#[tokio::test]
async fn turn_if_changes_only_the_version_it_names() {
    let store = Puppet::new();
    let chat = store.sessions().session(id("s"));
    let add = |text: &'static str| {
        move |draft: &mut durable_session::Draft<'_, JsonObject>| {
            draft.add_message(Message::user(text))
        }
    };
    assert!(matches!(
        chat.turn_if(Some(durable_session::store::Version::from_bytes([1; 24])), add("x")).await,
        Err(Error::VersionChanged { current: None, .. })
    ));
    chat.turn_if(None, add("one")).await.unwrap();
    let version = chat.snapshot().await.unwrap().version();
    chat.turn_if(version, add("two")).await.unwrap();
    assert!(matches!(
        chat.turn_if(version, add("x")).await,
        Err(Error::VersionChanged { current: Some(_), .. })
    ));
    assert!(matches!(chat.turn_if(None, add("x")).await, Err(Error::VersionChanged { .. })));
    // Another registry's change is noticed at the commit.
    let version = chat.snapshot().await.unwrap().version();
    store.sessions().session(id("s")).add_message(Message::user("theirs")).await.unwrap();
    assert!(matches!(chat.turn_if(version, add("x")).await, Err(Error::VersionChanged { .. })));
    assert_eq!(state_texts(&chat).await, ["one", "two", "theirs"]);
}

/// Clause C8.
#[tokio::test]
async fn a_failed_load_is_an_error_and_never_an_empty_session() {
    let store = Puppet::new();
    store.sessions().session(id("s")).add_message(Message::user("one")).await.unwrap();
    let chat = store.sessions().session(id("s"));
    store.fail_loads(&[Fault::Before, Fault::Before]);
    assert!(chat.get_state().await.is_err());
    assert!(chat.add_message(Message::user("two")).await.is_err());
    assert_eq!(chat.add_message(Message::user("two")).await.unwrap().seq, 2);
    assert_eq!(state_texts(&chat).await, ["one", "two"]);
}

#[tokio::test]
async fn closing_finishes_what_was_accepted_and_refuses_the_rest() {
    let store = Puppet::new();
    let sessions: ChatSessions = store.sessions();
    let chat = sessions.session(id("s"));
    store.hold_commits();
    let flying = tokio::spawn({
        let chat = chat.clone();
        async move { chat.add_message(Message::user("in flight")).await }
    });
    settle().await;
    let closing = tokio::spawn(async move { sessions.close().await });
    settle().await;
    assert!(matches!(chat.add_message(Message::user("late")).await, Err(Error::Closed { .. })));
    assert!(!closing.is_finished());
    store.release();
    closing.await.unwrap().unwrap();
    flying.await.unwrap().unwrap();
    assert!(matches!(chat.messages(MessageQuery::last(1)).await, Err(Error::Closed { .. })));
    assert_eq!(state_texts(&store.sessions().session(id("s"))).await, ["in flight"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_threads_on_one_session_keep_one_order() {
    let store = Puppet::new();
    let sessions: ChatSessions = store.sessions();
    let calls = (0..8).map(|t| {
        let chat = sessions.session(id("s"));
        tokio::spawn(async move {
            let mut seqs = Vec::new();
            for i in 0..100 {
                if i % 5 == 0 {
                    seqs.push(
                        chat.turn(|draft| draft.add_message(Message::user(format!("{t}-{i}"))))
                            .await
                            .unwrap()
                            .seq,
                    );
                } else {
                    seqs.push(
                        chat.add_message(Message::user(format!("{t}-{i}"))).await.unwrap().seq,
                    );
                }
            }
            seqs
        })
    });
    let mut all = Vec::new();
    for call in join_all(calls).await {
        let seqs = call.unwrap();
        assert!(seqs.is_sorted());
        all.extend(seqs);
    }
    all.sort_unstable();
    assert_eq!(all, (1..=800).collect::<Vec<u64>>());
    assert!(sessions.stats().commits <= 800);
}

/// An executor's future may stay pending, and wake at once, until its task gives up its turn:
/// tokio's do so once the task has used up its budget.
/// Clause C3.
#[test]
fn a_call_in_a_task_without_budget_gives_up_its_turn() {
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        // Of this runtime, the blocked-on future runs on the caller's thread and is woken at once,
        // not after its turn.
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(async {
            let store = Puppet::new();
            let chat = store.sessions().session(id("s"));
            chat.snapshot().await.unwrap();
            store.hold_commits();
            store.let_through(1);
            let budget = tokio::sync::Semaphore::new(0);
            budget.add_permits(10_000);
            while let Some(permit) = poll_immediate(budget.acquire()).await {
                permit.unwrap().forget();
            }
            assert!(budget.available_permits() > 0, "the task still has budget");
            chat.add_message(Message::user("one")).await.unwrap();
        });
        done.send(()).unwrap();
    });
    ended.recv_timeout(std::time::Duration::from_mins(1)).expect("the call spins");
}
