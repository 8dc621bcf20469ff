//! Many writers through two openings of a schema. Each version has one successor.

use crate::fixture::{append, create, id, loaded, on, texts};
use crate::server::{self, Schema};
use durable_session::SessionId;
use durable_session::store::{CommitOutcome, Head, Op, SessionStore};
use durable_session_postgres::PostgresStore;
use futures_executor::block_on;
use std::sync::Barrier;

const WRITERS: usize = 32;
const ROUNDS: usize = 25;

/// Runs all writers at once on each version of the sessions, and returns how many won per session.
fn race(
    stores: &[PostgresStore; 2],
    sessions: &mut [(SessionId, Head, Vec<String>)],
    ops: impl Fn(&str) -> Vec<Op> + Sync,
) {
    for round in 0..ROUNDS {
        let start = Barrier::new(WRITERS);
        let won: Vec<Vec<Option<(Head, String)>>> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let (store, start, sessions, ops) =
                        (&stores[writer % 2], &start, &*sessions, &ops);
                    scope.spawn(move || {
                        start.wait();
                        let text = format!("{round} by {writer}");
                        // All sessions at once, so that the store makes groups.
                        let commits = sessions.iter().map(|(id, head, _)| {
                            let (id, commit) = (id.clone(), on(*head, ops(&text)));
                            async move { store.commit(&id, commit).await.unwrap() }
                        });
                        let outcomes =
                            block_on(futures_util::future::join_all(commits)).into_iter();
                        let won = |outcome| match outcome {
                            CommitOutcome::Committed(head) => Some((head, text.clone())),
                            CommitOutcome::Conflict { .. } => None,
                            other => panic!("an append ended as {other:?}"),
                        };
                        outcomes.map(won).collect()
                    })
                })
                .collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        for (at, (_, head, stored)) in sessions.iter_mut().enumerate() {
            let winners: Vec<_> = won.iter().filter_map(|writer| writer[at].clone()).collect();
            let [(after, text)] = winners.as_slice() else {
                panic!("{} writers won one version", winners.len());
            };
            *head = *after;
            stored.push(text.clone());
        }
    }
    for store in stores {
        for (id, head, stored) in &*sessions {
            let loaded = loaded(store, id);
            assert_eq!((&texts(&loaded), loaded.head), (stored, *head));
        }
    }
}

fn sessions(store: &PostgresStore) -> Vec<(SessionId, Head, Vec<String>)> {
    let new = |n| {
        let id = id(&format!("raced-{n}"));
        let head = create(store, &id, Vec::new());
        (id, head, Vec::new())
    };
    (0..4).map(new).collect()
}

#[test]
fn of_32_writers_in_two_stores_one_wins_each_version() {
    let Some(url) = server::url("a race of writers") else { return };
    let schema = Schema::new(&url);
    let stores = [schema.open(), schema.open()];
    let mut sessions = sessions(&stores[0]);
    race(&stores, &mut sessions, |text| vec![append(text)]);
}

#[test]
fn commits_that_write_the_head_race_with_appends_and_one_wins() {
    let Some(url) = server::url("a race of kinds of commits") else { return };
    let schema = Schema::new(&url);
    let stores = [schema.open(), schema.open()];
    let mut sessions = sessions(&stores[0]);
    race(&stores, &mut sessions, |text| {
        let mut ops = vec![append(text)];
        if text.len() % 2 == 0 {
            ops.push(Op::SetApp("{}".into()));
        }
        ops
    });
}

#[test]
fn of_32_creations_in_two_stores_one_wins() {
    let Some(url) = server::url("a race of creations") else { return };
    let schema = Schema::new(&url);
    let stores = [schema.open(), schema.open()];
    for round in 0..10 {
        let id = id(&format!("created-{round}"));
        let start = Barrier::new(WRITERS);
        let won: usize = std::thread::scope(|scope| {
            let creators: Vec<_> = (0..WRITERS)
                .map(|creator| {
                    let (store, start, id) = (&stores[creator % 2], &start, &id);
                    scope.spawn(move || {
                        start.wait();
                        let commit = durable_session::store::Commit::new(
                            durable_session::store::Expect::absent(1),
                            vec![append(&creator.to_string())],
                            1,
                        );
                        match block_on(store.commit(id, commit)).unwrap() {
                            CommitOutcome::Committed(_) => 1,
                            CommitOutcome::Conflict { current: Some(_) } => 0,
                            other => panic!("a creation ended as {other:?}"),
                        }
                    })
                })
                .collect();
            creators.into_iter().map(|creator| creator.join().unwrap()).sum()
        });
        assert_eq!(won, 1, "the creations that won");
        assert_eq!(loaded(&stores[1], &id).tail.len(), 1);
    }
}
