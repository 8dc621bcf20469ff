//! Erasing a person and forking a conversation, killed in the middle (C13).

use crate::support::{id, killed_during, small};
use durable_session::store::{Labels, ListQuery, SessionList as _};
use durable_session::{ChatSessions, EraseReport, Fork, Message};
use durable_session_redb::RedbStore;
use futures_executor::block_on;
use testkit::disk::{Disk, Files};

const SESSIONS: usize = 100;
const OTHERS: usize = 5;

fn open(files: &Files) -> RedbStore {
    let killed = Disk::holding(files.clone());
    small().open_backend(killed.backend(), killed.log()).unwrap()
}

fn sessions(store: &RedbStore) -> ChatSessions {
    ChatSessions::builder(store.clone()).listing(store.clone()).build()
}

fn erase(store: &RedbStore) -> EraseReport {
    let sessions = sessions(store);
    block_on(async { sessions.erase_owner("gone").await.unwrap() })
}

/// The names of an owner's sessions. Each has to be whole.
fn whole(store: &RedbStore, owner: &str) -> Vec<String> {
    let page = block_on(store.list(&ListQuery::owner(owner, 100).by_id())).unwrap();
    let sessions = sessions(store);
    for one in &page.sessions {
        let state = block_on(sessions.session(one.id.clone()).get_state()).unwrap();
        assert_eq!(state.messages.len(), 2, "{:?}", one.id);
    }
    page.sessions.iter().map(|one| one.id.as_str().to_owned()).collect()
}

#[test]
fn an_erasure_that_was_killed_is_run_again_and_takes_the_rest() {
    let begin = |store: &RedbStore| {
        let sessions = sessions(store);
        for (owner, count) in [("gone", SESSIONS), ("kept", OTHERS)] {
            for n in 0..count {
                let name = id(&format!("{owner}-{n:02}"));
                block_on(async {
                    let chat = sessions.create(name, Labels::owner(owner)).await.unwrap();
                    chat.add_message(Message::user("one")).await.unwrap();
                    chat.add_message(Message::user("two")).await.unwrap();
                });
            }
        }
    };
    let mut left_over = Vec::new();
    killed_during(
        begin,
        |store| {
            let report = erase(store);
            assert_eq!((report.erased, report.failed.len()), (SESSIONS as u64, 0));
        },
        |at, files| {
            let store = open(files);
            let left = whole(&store, "gone");
            assert_eq!(whole(&store, "kept").len(), OTHERS, "after change {at}");
            let report = erase(&store);
            assert_eq!(report.erased, left.len() as u64, "after change {at}");
            assert!(whole(&store, "gone").is_empty(), "after change {at}");
            assert_eq!(whole(&store, "kept").len(), OTHERS, "after change {at}");
            left_over.push(left.len());
            block_on(store.close()).unwrap();
        },
    );
    assert!(left_over.is_sorted_by(|a, b| a >= b), "{left_over:?}");
    assert!(left_over.iter().any(|&left| left > 0 && left < SESSIONS), "never in the middle");
}

#[test]
fn a_fork_that_was_killed_is_whole_or_not_there_and_is_made_once() {
    let (source, fork) = (id("source"), id("fork"));
    let begin = |store: &RedbStore| {
        let sessions = sessions(store);
        block_on(async {
            let labels = Labels::owner("u").title("Lifetimes");
            let chat = sessions.create(source.clone(), labels).await.unwrap();
            chat.update(|app| app.set("step", &3).unwrap()).await.unwrap();
            for n in 0..10 {
                chat.add_message(Message::user(format!("message {n}"))).await.unwrap();
            }
        });
    };
    let make = |store: &RedbStore| {
        block_on(sessions(store).session(source.clone()).fork(fork.clone(), Fork::through(7)))
    };
    let (mut absent, mut there) = (0, 0);
    killed_during(
        begin,
        |store| drop(make(store).unwrap()),
        |at, files| {
            let store = open(files);
            let read = || {
                let chat = sessions(&store).session(fork.clone());
                let state = block_on(chat.get_state()).unwrap();
                let labels = block_on(chat.labels()).unwrap();
                (state, labels)
            };
            let (state, labels) = read();
            assert!([0, 7].contains(&state.messages.len()), "after change {at}");
            if state.messages.is_empty() {
                absent += 1;
                assert!(labels.is_empty(), "after change {at}");
            } else {
                there += 1;
            }
            make(&store).unwrap();
            let (state, labels) = read();
            assert_eq!(state.messages.len(), 7, "after change {at}");
            assert_eq!(state.app.get_json("step"), Some("3"), "after change {at}");
            assert_eq!(labels, Labels::owner("u").title("Lifetimes"), "after change {at}");
            block_on(store.close()).unwrap();
        },
    );
    assert!(absent > 0 && there > 0, "{absent} times absent, {there} times there");
}
