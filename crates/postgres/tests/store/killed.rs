//! A server that is killed while commits are under way.

use crate::fixture::{append, create, id, loaded, on, texts, wait_for};
use crate::server::{self, query};
use durable_session::SessionId;
use durable_session::store::{CommitOutcome, Head, Op, SessionStore, StoreErrorKind};
use durable_session_postgres::PostgresStore;
use futures_executor::block_on;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use testkit::PostgresServer;

const WRITERS: usize = 8;
/// There are more kills if no commit was under way at one of these.
const KILLS: usize = 3;
const MOST_KILLS: usize = 20;

/// What a writer met.
#[derive(Default)]
struct Met {
    acknowledged: AtomicUsize,
    unknown: AtomicUsize,
    /// No more kills.
    calm: AtomicBool,
}

/// Appends numbers to a session until the last kill is over. Returns how many it stored.
fn write(store: &PostgresStore, id: &SessionId, mut head: Head, met: &Met) -> usize {
    let mut next = 0;
    let mut after_the_last = 0;
    let began = Instant::now();
    while after_the_last < 20 {
        assert!(began.elapsed() < Duration::from_mins(5), "a writer gets no further");
        let text = next.to_string();
        let mut ops = vec![append(&text)];
        if next % 5 == 4 {
            // A transaction of several statements.
            ops.push(Op::SetApp(text.clone().into()));
        }
        match block_on(store.commit(id, on(head, ops))) {
            Ok(CommitOutcome::Committed(after)) => {
                head = after;
                next += 1;
                met.acknowledged.fetch_add(1, Ordering::SeqCst);
                after_the_last += usize::from(met.calm.load(Ordering::SeqCst));
            }
            Ok(other) => panic!("the only writer's append ended as {other:?}"),
            Err(error) if error.kind() == StoreErrorKind::Unavailable => {
                // Nothing was changed. The same commit is made again.
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) if error.kind() == StoreErrorKind::OutcomeUnknown => {
                met.unknown.fetch_add(1, Ordering::SeqCst);
                let now = read(store, id, began);
                let stored = texts(&now).len();
                assert!(stored == next || stored == next + 1, "{stored} messages, not {next}");
                next = stored;
                head = now.head;
            }
            Err(error) => panic!("{error}"),
        }
    }
    next
}

fn read(store: &PostgresStore, id: &SessionId, began: Instant) -> durable_session::store::Loaded {
    loop {
        assert!(began.elapsed() < Duration::from_mins(5), "a reader gets no further");
        match block_on(store.load(id, crate::fixture::WHOLE)) {
            Ok(outcome) => return outcome.loaded().unwrap(),
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_killed_server_loses_doubles_and_reorders_nothing_that_was_acknowledged() {
    if server::url("a killed server").is_none() {
        return;
    }
    let Some(mut server) = PostgresServer::new() else {
        println!("note: not run: a killed server: PG_BIN is not the folder of its programs");
        return;
    };
    let url = server.url();
    let fsync: String = query(&url, "SELECT current_setting('fsync')", &[])[0].get(0);
    assert_eq!(fsync, "on");
    let store = block_on(PostgresStore::builder(&*url).open()).unwrap();
    let sessions: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let id = id(&format!("writer-{writer}"));
            let head = create(&store, &id, Vec::new());
            (id, head)
        })
        .collect();
    let met = Met::default();
    let stored: Vec<usize> = std::thread::scope(|scope| {
        let writers: Vec<_> = sessions
            .iter()
            .map(|(id, head)| {
                let (store, met) = (&store, &met);
                scope.spawn(move || write(store, id, *head, met))
            })
            .collect();
        let mut kills = 0;
        while kills < KILLS || met.unknown.load(Ordering::SeqCst) == 0 && kills < MOST_KILLS {
            let before = met.acknowledged.load(Ordering::SeqCst);
            wait_for("commits are under way", || {
                met.acknowledged.load(Ordering::SeqCst) > before + 50
            });
            server.kill();
            server.start();
            kills += 1;
        }
        met.calm.store(true, Ordering::SeqCst);
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let unknown = met.unknown.load(Ordering::SeqCst);
    assert!(unknown > 0, "no commit was under way when the server was killed");
    drop(store);
    let store = block_on(PostgresStore::builder(&*url).open()).unwrap();
    for ((id, _), stored) in sessions.iter().zip(stored) {
        let expected: Vec<_> = (0..stored).map(|n| n.to_string()).collect();
        assert_eq!(texts(&loaded(&store, id)), expected);
    }
    println!(
        "killed: acknowledged={} unknown={unknown} lost=0 doubled=0 reordered=0",
        met.acknowledged.load(Ordering::SeqCst)
    );
}
