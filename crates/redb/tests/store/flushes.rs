//! Changes in the log and in the tables: the same for every call, before, during and after a flush.

use crate::damage::{EVERYTHING, hush};
use crate::support::{
    ALL, Disks, append, bodies, commit, committed, create, id, salt_between, small, tiny, until,
};
use durable_session::store::{
    DeleteIf, Head, Labels, ListQuery, LoadQuery, Op, Order, ReadQuery, SessionList, SessionStore,
    StoreErrorKind, TailBounds,
};
use durable_session_redb::{Progress, RedbStore};
use futures_executor::block_on;
use redb::{ReadableDatabase, ReadableTableMetadata, TableDefinition};
use std::sync::{Arc, Mutex};

const ROWS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("durable-session.rows");

/// Message rows in the file.
fn rows(disks: &Disks) -> u64 {
    let copy = disks.after_kill();
    let db = redb::Database::builder().create_with_backend(copy.file.backend()).unwrap();
    let txn = db.begin_read().unwrap();
    txn.open_table(ROWS).unwrap().len().unwrap()
}

async fn tail(store: &RedbStore, session: &str) -> Vec<String> {
    bodies(&store.load(&id(session), ALL).await.unwrap().loaded().unwrap().tail)
}

/// Creates `sessions` of one message each, and appends `each` messages to each of them, in turns.
async fn fill(store: &RedbStore, sessions: usize, each: usize) -> Vec<Head> {
    let name = |n: usize| id(&format!("s-{n:03}"));
    let mut heads = Vec::new();
    for n in 0..sessions {
        heads.push(create(store, &name(n), &["m-0"]).await);
    }
    for k in 1..=each {
        for (n, head) in heads.iter_mut().enumerate() {
            *head = append(store, &name(n), *head, &[&format!("m-{k}")]).await;
        }
    }
    heads
}

#[test]
fn changes_are_read_in_the_log_in_the_tables_and_in_a_backup() {
    let disks = Disks::default();
    block_on(async {
        let store = disks.open();
        let heads = fill(&store, 3, 5).await;
        let check = async |store: &RedbStore| {
            let first = store.load(&id("s-000"), ALL).await.unwrap().loaded().unwrap();
            let salt = salt_between(first.head, heads[0]);
            let heads: Vec<_> = heads.iter().map(|head| head.salted(salt)).collect();
            for (first, last, max, order, expected) in [
                (1, u64::MAX, 9, Order::Forward, &["m-0", "m-1", "m-2", "m-3", "m-4", "m-5"][..]),
                (2, 4, 9, Order::Forward, &["m-1", "m-2", "m-3"]),
                (1, 9, 2, Order::Backward, &["m-5", "m-4"]),
                (3, 3, 9, Order::Backward, &["m-2"]),
                (1, 2, 9, Order::Backward, &["m-1", "m-0"]),
                (7, 9, 9, Order::Forward, &[]),
                (5, 4, 9, Order::Forward, &[]),
            ] {
                let query = match order {
                    Order::Forward => ReadQuery::forward(first, last),
                    Order::Backward => ReadQuery::backward(first, last),
                };
                let query = query.max_messages(max);
                let page = store.read(&id("s-001"), query).await.unwrap().unwrap();
                assert_eq!(
                    (page.head, bodies(&page.rows)),
                    (heads[1], expected.iter().map(ToString::to_string).collect())
                );
                let left = (first.max(1)..=last.min(6)).count();
                assert_eq!(page.more, left > expected.len(), "{query:?}");
                let salvaged = store.salvage(&id("s-001"), query).await.unwrap().unwrap();
                assert_eq!((salvaged.rows, salvaged.more), (page.rows, page.more));
                assert!(salvaged.damage.is_empty());
            }
            for max_messages in 1..8 {
                let bounds = LoadQuery::new(TailBounds::new(max_messages, u64::MAX));
                let loaded = store.load(&id("s-001"), bounds).await.unwrap().loaded().unwrap();
                assert_eq!(loaded.tail.len(), max_messages.min(6));
            }
            let listed = store.list(&ListQuery::all(9)).await.unwrap().sessions;
            assert_eq!(listed.iter().map(|s| *s.head.as_ref().unwrap()).collect::<Vec<_>>(), heads);
            let verified = store.verify(|_| {}).await.unwrap();
            assert_eq!((verified.sessions, verified.messages, verified.damage.len()), (3, 18, 0));
        };
        check(&store).await;
        assert_eq!(rows(&disks), 0, "all is in the log");
        check(&disks.after_kill().open()).await;
        let folder = tempfile::tempdir().unwrap();
        store.backup(folder.path().join("copy.redb"), |_| {}).await.unwrap();
        check(&RedbStore::open(folder.path().join("copy.redb")).unwrap()).await;
        store.close().await.unwrap();
        assert_eq!(rows(&disks), 18, "closing moves all to the tables");
        check(&disks.open()).await;
    });
}

#[test]
fn memtables_are_flushed_in_slices_while_appends_go_on() {
    let disks = Disks::default();
    block_on(async {
        // Several slices of 2 MiB in each memtable.
        let builder = small().log_bytes(12 << 20);
        let store = disks.open_with(&builder);
        let name = |n: usize| id(&format!("s-{n:03}"));
        let mut heads = Vec::new();
        for n in 0..50 {
            heads.push(create(&store, &name(n), &[]).await);
        }
        let body = "x".repeat(20_000);
        for k in 0..20 {
            for (n, head) in heads.iter_mut().enumerate() {
                *head = append(&store, &name(n), *head, &[&format!("{k} {body}")]).await;
            }
        }
        until("a flush", || store.stats().flushes >= 2);
        let check = async |store: &RedbStore| {
            for (n, head) in heads.iter().enumerate() {
                let loaded = store.load(&name(n), ALL).await.unwrap().loaded().unwrap();
                assert_eq!((loaded.head, loaded.tail.len()), (*head, 20));
                assert_eq!(loaded.tail[19].body.len(), body.len() + 3);
            }
            assert!(store.verify(|_| {}).await.unwrap().damage.is_empty());
        };
        check(&store).await;
        check(&disks.after_power_loss().open_with(&builder)).await;
        store.close().await.unwrap();
        check(&disks.open_with(&builder)).await;
    });
}

/// Two messages and the app state, as a chat service writes them for every turn.
async fn turn(store: &RedbStore, session: &str, head: Head, app: &str) -> Head {
    let ops = vec![
        Op::append(format!("asked {app}").into()),
        Op::SetApp(app.to_owned().into()),
        Op::append(format!("answered {app}").into()),
    ];
    committed(store.commit(&id(session), commit(head.expect(), ops)).await)
}

/// Checks that all calls show the same head and app state.
async fn check(store: &RedbStore, session: &str, head: Head, expected: &str) {
    let loaded = store.load(&id(session), ALL).await.unwrap().loaded().unwrap();
    assert_eq!((loaded.head, &loaded.app[..]), (head, expected.as_bytes()));
    assert_eq!(loaded.tail.len() as u64, head.messages);
    let page = store.read(&id(session), EVERYTHING).await.unwrap().unwrap();
    assert_eq!((page.head, &page.rows), (head, &loaded.tail));
    let salvaged = store.salvage(&id(session), EVERYTHING).await.unwrap().unwrap();
    assert_eq!(
        (salvaged.head, salvaged.app, salvaged.rows),
        (Some(head), Some(loaded.app), page.rows)
    );
    assert!(salvaged.damage.is_empty());
    let listed = store.list(&ListQuery::all(100)).await.unwrap().sessions;
    assert!(
        listed
            .iter()
            .any(|listed| listed.id == id(session) && *listed.head.as_ref().unwrap() == head)
    );
    assert!(store.verify(|_| {}).await.unwrap().damage.is_empty());
}

#[test]
fn app_states_stay_in_order_while_memtables_are_flushed() {
    for builder in [small(), tiny()] {
        let disks = Disks::default();
        block_on(async {
            let store = disks.open_with(&builder);
            let mut head = create(&store, &id("s"), &["first"]).await;
            for n in 0..20 {
                let expected = format!("{{\"n\":{n}}}");
                head = turn(&store, "s", head, &expected).await;
                check(&store, "s", head, &expected).await;
                head = append(&store, &id("s"), head, &["between"]).await;
                check(&store, "s", head, &expected).await;
                let after = disks.after_power_loss().open_with(&builder);
                check(&after, "s", head, &expected).await;
                let after = disks.after_kill().open_with(&builder);
                check(&after, "s", head, &expected).await;
            }
        });
    }
}

#[test]
fn nothing_that_was_replaced_removed_or_deleted_comes_back() {
    for builder in [small(), tiny()] {
        let disks = Disks::default();
        block_on(async {
            let store = disks.open_with(&builder);
            let mut heads = fill(&store, 6, 3).await;
            for (n, head) in heads.iter_mut().enumerate().skip(4) {
                *head = turn(&store, &format!("s-00{n}"), *head, "{\"old\":1}").await;
            }
            let replace = vec![Op::replace(3, "replaced".into())];
            committed(store.commit(&id("s-000"), commit(heads[0].expect(), replace)).await);
            let remove = vec![Op::Remove { first: 2, last: 4 }];
            let head =
                committed(store.commit(&id("s-001"), commit(heads[1].expect(), remove)).await);
            append(&store, &id("s-001"), head, &["after"]).await;
            let labels = vec![Op::SetLabels(Labels::owner("o"))];
            let head =
                committed(store.commit(&id("s-002"), commit(heads[2].expect(), labels)).await);
            store.delete(&id("s-002"), DeleteIf::Version(head.version)).await.unwrap();
            store.delete(&id("s-003"), DeleteIf::Any).await.unwrap();
            let again = create(&store, &id("s-003"), &["second life"]).await;
            append(&store, &id("s-003"), again, &["logged"]).await;
            let ops = vec![Op::Remove { first: 1, last: 2 }, Op::SetApp("{\"new\":1}".into())];
            let removed =
                committed(store.commit(&id("s-004"), commit(heads[4].expect(), ops)).await);
            store.touch(&id("s-005"), 99_000).await.unwrap();
            let touched = Head { last_accessed_at: 99_000, ..heads[5] };

            let check_all = async |store: &RedbStore| {
                assert_eq!(tail(store, "s-000").await, ["m-0", "m-1", "replaced", "m-3"]);
                assert_eq!(tail(store, "s-001").await, ["m-0", "after"]);
                assert!(store.load(&id("s-002"), ALL).await.unwrap().loaded().is_none());
                let owned = store.list(&ListQuery::owner("o", 9)).await.unwrap();
                assert!(owned.sessions.is_empty());
                assert_eq!(tail(store, "s-003").await, ["second life", "logged"]);
                check(store, "s-004", removed, "{\"new\":1}").await;
                check(store, "s-005", touched, "{\"old\":1}").await;
            };
            check_all(&store).await;
            check_all(&disks.after_power_loss().open_with(&builder)).await;
            check_all(&disks.after_kill().open_with(&builder)).await;
            store.close().await.unwrap();
            let store = disks.open_with(&builder);
            check_all(&store).await;
            store.compact().await.unwrap();
            check_all(&store).await;
        });
    }
}

/// The report of a backup runs in the middle of it, while its snapshot refers to segments of the
/// log that are flushed meanwhile.
#[test]
fn a_reader_sees_its_moment_although_the_log_goes_round_under_it() {
    let disks = Disks::default();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.redb");
    let builder = small().log_bytes(128 << 10);
    block_on(async {
        let store = disks.open_with(&builder);
        let heads = fill(&store, 20, 10).await;
        let flushes = store.stats().flushes;
        let (busy, other) = (store.clone(), id("other"));
        let mut head = create(&store, &other, &[]).await;
        let began = Mutex::new(false);
        let report = move |_| {
            if std::mem::replace(&mut *began.lock().unwrap(), true) {
                return;
            }
            // Each of these is about as long as a segment.
            let body = "y".repeat(6_000);
            block_on(async {
                while busy.stats().flushes < flushes + 6 {
                    head = append(&busy, &other, head, &[&body]).await;
                }
            });
        };
        store.backup(&path, report).await.unwrap();
        assert!(store.stats().flushes >= flushes + 6);
        let copy = RedbStore::open(&path).unwrap();
        let verified = copy.verify(|_| {}).await.unwrap();
        assert_eq!((verified.sessions, verified.messages, verified.damage.len()), (21, 220, 0));
        let first = copy.load(&id("s-000"), ALL).await.unwrap().loaded().unwrap();
        let salt = salt_between(first.head, heads[0]);
        for (n, head) in heads.iter().enumerate() {
            let loaded = copy.load(&id(&format!("s-{n:03}")), ALL).await.unwrap().loaded().unwrap();
            assert_eq!((loaded.head, loaded.tail.len()), (head.salted(salt), 11));
            assert_eq!(bodies(&loaded.tail)[10], "m-10");
        }
    });
}

#[test]
fn a_session_that_lost_its_head_row_keeps_its_messages() {
    hush();
    let disks = Disks::default();
    block_on(async {
        let store = disks.open();
        fill(&store, 2, 3).await;
        store.close().await.unwrap();
        let heads = TableDefinition::<u64, &[u8]>::new("durable-session.heads");
        disks.change(|txn| drop(txn.open_table(heads).unwrap().remove(1).unwrap()));
        let store = disks.open();
        assert_eq!(
            store.load(&id("s-000"), ALL).await.unwrap_err().kind(),
            StoreErrorKind::Corrupt
        );
        let salvaged = store.salvage(&id("s-000"), EVERYTHING).await.unwrap().unwrap();
        assert_eq!(bodies(&salvaged.rows), ["m-0", "m-1", "m-2", "m-3"]);
        assert_eq!((salvaged.head, salvaged.damage.len()), (None, 1));
        assert_eq!(tail(&store, "s-001").await, ["m-0", "m-1", "m-2", "m-3"]);
    });
}

#[test]
fn rows_of_no_session_are_found_beside_a_log() {
    let disks = Disks::default();
    block_on(async {
        let store = disks.open();
        let heads = fill(&store, 3, 3).await;
        store.close().await.unwrap();
        disks.change(|txn| {
            drop(txn.open_table(ROWS).unwrap().insert((99, 1), &b"stray"[..]).unwrap());
        });
        let store = disks.open();
        append(&store, &id("s-000"), heads[0], &["logged"]).await;
        let verified = store.verify(|_| {}).await.unwrap();
        assert_eq!((verified.messages, verified.damage.len()), (13, 1));
    });
}

#[test]
fn a_backup_has_no_log_and_reports_its_progress() {
    let folder = tempfile::tempdir().unwrap();
    let disks = Disks::default();
    block_on(async {
        let store = disks.open();
        fill(&store, 5, 4).await;
        let copy = folder.path().join("copy.redb");
        let told = Arc::new(Mutex::new((0, 0)));
        let tell = || {
            let told = Arc::clone(&told);
            move |progress: Progress| *told.lock().unwrap() = (progress.done, progress.total)
        };
        store.backup(&copy, tell()).await.unwrap();
        let (done, total) = *told.lock().unwrap();
        assert!(done >= 35 && done <= total, "{done} of {total}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "the copy has a log");
        store.verify(tell()).await.unwrap();
        let (done, total) = *told.lock().unwrap();
        assert!(done == 25 && done <= total, "{done} of {total}");
    });
}

#[test]
fn the_memory_of_the_memtables_is_bounded_and_counted() {
    let disks = Disks::default();
    let limit = 64 << 10;
    let store = disks.open_with(&small().log_bytes(64 << 20).memtable_bytes(limit));
    let mut most = 0;
    block_on(async {
        let mut head = create(&store, &id("s"), &[]).await;
        for _ in 0..60 {
            let texts = vec!["x"; 100];
            head = append(&store, &id("s"), head, &texts).await;
            most = most.max(store.stats().memtable_bytes);
        }
    });
    assert!(store.stats().flushes > 3, "{:?}", store.stats());
    // A batch may go beyond it.
    assert!(most > limit / 4 && most < limit * 3 / 2, "{most} bytes");
}
