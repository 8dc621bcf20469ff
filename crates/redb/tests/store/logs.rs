//! The logs: what is in them is part of its session, whatever happens to them.

use crate::damage::EVERYTHING;
use crate::support::{ALL, append, bodies, commit, committed, create, id};
use durable_session::store::{
    DeleteIf, Expect, Head, ListQuery, Op, Order, ReadQuery, SessionList, SessionStore, StoreErrorKind,
    TailBounds,
};
use durable_session_redb::{OpenError, Progress, RedbStore};
use futures_executor::block_on;
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use torture_disk::Disk;

const ROWS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("durable-session.rows");
pub(crate) const LOGS: [TableDefinition<'_, u64, &[u8]>; 2] =
    [TableDefinition::new("durable-session.log-a"), TableDefinition::new("durable-session.log-b")];

type Log<'txn> = redb::Table<'txn, u64, &'static [u8]>;

pub(crate) fn open(disk: &Disk, log_bytes: u64) -> RedbStore {
    RedbStore::builder().log_bytes(log_bytes).open_backend(disk.backend()).unwrap()
}

pub(crate) async fn tail(store: &RedbStore, session: &str) -> Vec<String> {
    bodies(&store.load(&id(session), ALL).await.unwrap().unwrap().tail)
}

/// How many entries the logs have in the file, and how many message rows there are.
pub(crate) fn counts(disk: &Disk) -> (u64, u64) {
    let db = Database::builder().create_with_backend(disk.backend()).unwrap();
    let txn = db.begin_read().unwrap();
    let entries = LOGS.map(|log| txn.open_table(log).map_or(0, |log| log.len().unwrap()));
    (entries[0] + entries[1], txn.open_table(ROWS).unwrap().len().unwrap())
}

/// The position of the last entry in each of the logs.
fn log_ends(disk: &Disk) -> [Option<u64>; 2] {
    let db = Database::builder().create_with_backend(disk.backend()).unwrap();
    let txn = db.begin_read().unwrap();
    LOGS.map(|log| Some(txn.open_table(log).ok()?.last().unwrap()?.0.value()))
}

pub(crate) fn change(disk: &Disk, change: impl FnOnce(&redb::WriteTransaction)) {
    let db = Database::builder().create_with_backend(disk.backend()).unwrap();
    let txn = db.begin_write().unwrap();
    change(&txn);
    txn.commit().unwrap();
}

pub(crate) fn until_folded(store: &RedbStore) {
    let begun = Instant::now();
    while store.stats().logged > 0 {
        assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", store.stats());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Appends to `sessions` of one message each, so many to each of them, in turns.
pub(crate) async fn fill(store: &RedbStore, sessions: usize, each: usize) -> Vec<Head> {
    let name = |n: usize| id(&format!("s-{n:03}"));
    let mut heads = Vec::new();
    for n in 0..sessions {
        heads.push(create(store, &name(n), &["m-0"]).await);
    }
    for k in 1..=each {
        for (n, head) in heads.iter_mut().enumerate() {
            *head = append(store, &name(n), head.version, &[&format!("m-{k}")]).await;
        }
    }
    heads
}

#[test]
fn what_is_logged_is_read_from_memory_before_and_after_it_is_folded() {
    let disk = Disk::default();
    block_on(async {
        let store = open(&disk, 1 << 20);
        let heads = fill(&store, 3, 5).await;
        assert_eq!(store.stats().logged, 15);
        let check = async |store: &RedbStore| {
            let loaded = store.load(&id("s-001"), ALL).await.unwrap().unwrap();
            assert_eq!(loaded.head, heads[1]);
            assert_eq!(bodies(&loaded.tail), ["m-0", "m-1", "m-2", "m-3", "m-4", "m-5"]);
            // Within, across and past what is logged, from both ends.
            for (first, last, max, order, expected) in [
                (1, 9, 2, Order::Forward, &["m-0", "m-1"][..]),
                (2, 3, 9, Order::Forward, &["m-1", "m-2"]),
                (3, 3, 9, Order::Forward, &["m-2"]),
                (3, 3, 9, Order::Backward, &["m-2"]),
                (1, 9, 2, Order::Backward, &["m-5", "m-4"]),
                (1, 2, 9, Order::Backward, &["m-1", "m-0"]),
                (7, 9, 9, Order::Forward, &[]),
                (5, 4, 9, Order::Forward, &[]),
            ] {
                let query = ReadQuery { first, last, max_messages: max, max_bytes: u64::MAX, order };
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
                let bounds = TailBounds { max_messages, max_bytes: u64::MAX };
                let loaded = store.load(&id("s-001"), bounds).await.unwrap().unwrap();
                assert_eq!(loaded.tail.len(), max_messages.min(6), "a part of what is logged");
            }
            let listed = store.list(&ListQuery::all(9)).await.unwrap().sessions;
            assert_eq!(listed.iter().map(|s| *s.head.as_ref().unwrap()).collect::<Vec<_>>(), heads);
            let verified = store.verify(|_| {}).await.unwrap();
            assert_eq!((verified.sessions, verified.messages, verified.damage.len()), (3, 18, 0));
        };
        check(&store).await;
        store.close().await.unwrap();
        assert_eq!(counts(&disk), (15, 3));

        let store = open(&disk, 1 << 20);
        assert_eq!(store.stats().logged, 15);
        check(&store).await;
        store.close().await.unwrap();

        // Logs that are full at once: frozen when something is written, then folded without anyone asking.
        let store = open(&disk, 1);
        create(&store, &id("z"), &[]).await;
        store.delete(&id("z"), DeleteIf::Any).await.unwrap();
        until_folded(&store);
        check(&store).await;
        store.close().await.unwrap();
        assert_eq!(counts(&disk), (0, 18));
    });
}

#[test]
fn logs_are_folded_in_slices_while_appends_go_on() {
    let disk = Disk::default();
    block_on(async {
        // Several hundred kilobytes: more than a slice.
        let store = open(&disk, 400_000);
        let name = |n: usize| id(&format!("s-{n:03}"));
        let mut heads = Vec::new();
        for n in 0..100 {
            heads.push(create(&store, &name(n), &[]).await);
        }
        let body = "x".repeat(1_000);
        let mut most = 0;
        for k in 0..20 {
            for (n, head) in heads.iter_mut().enumerate() {
                *head = append(&store, &name(n), head.version, &[&format!("{k} {body}")]).await;
                most = most.max(store.stats().logged);
            }
        }
        // Never more than two full logs, and some.
        assert!((300..900).contains(&most), "{most}");
        for n in [0, 57, 99] {
            let found = tail(&store, &format!("s-{n:03}")).await;
            let expected: Vec<_> = (0..20).map(|k| format!("{k} {body}")).collect();
            assert_eq!(found, expected);
        }
        assert!(store.verify(|_| {}).await.unwrap().damage.is_empty());
        // The same from the disk.
        store.close().await.unwrap();
        let (entries, rows) = counts(&disk);
        assert!(entries > 0 && rows > 1_000, "{entries} {rows}");
        let store = open(&disk, 400_000);
        for (n, head) in heads.iter().enumerate() {
            let loaded = store.load(&name(n), ALL).await.unwrap().unwrap();
            assert_eq!((loaded.head, loaded.tail.len()), (*head, 20));
        }
        assert!(store.verify(|_| {}).await.unwrap().damage.is_empty());
    });
}

/// What a log still has of a session is not taken for new once the session went on without it.
#[test]
fn what_was_replaced_removed_or_deleted_does_not_come_back_from_a_log() {
    let disk = Disk::default();
    block_on(async {
        let store = open(&disk, 1 << 20);
        let heads = fill(&store, 4, 3).await;
        let replace = vec![Op::Replace { seq: 3, body: "replaced".into() }];
        committed(store.commit(&id("s-000"), commit(Expect::Version(heads[0].version), replace)).await);
        let remove = vec![Op::Remove { first: 2, last: 4 }];
        let head =
            committed(store.commit(&id("s-001"), commit(Expect::Version(heads[1].version), remove)).await);
        append(&store, &id("s-001"), head.version, &["after"]).await;
        store.delete(&id("s-002"), DeleteIf::Any).await.unwrap();
        store.delete(&id("s-003"), DeleteIf::Any).await.unwrap();
        let again = create(&store, &id("s-003"), &["second life"]).await;
        append(&store, &id("s-003"), again.version, &["logged"]).await;

        let check = async |store: &RedbStore| {
            assert_eq!(tail(store, "s-000").await, ["m-0", "m-1", "replaced", "m-3"]);
            assert_eq!(tail(store, "s-001").await, ["m-0", "after"]);
            assert!(store.load(&id("s-002"), ALL).await.unwrap().is_none());
            assert_eq!(tail(store, "s-003").await, ["second life", "logged"]);
            assert!(store.verify(|_| {}).await.unwrap().damage.is_empty());
            assert_eq!(store.stats().logged, 2);
        };
        check(&store).await;
        let store = open(&disk.after_power_loss(), 1 << 20);
        check(&store).await;
        store.touch(&id("s-003"), 99_000).await.unwrap();
        check(&store).await;
        let loaded = store.load(&id("s-003"), ALL).await.unwrap().unwrap();
        assert_eq!(loaded.head.last_accessed_at, 99_000);
    });
}

/// Found by the power-loss campaign: a message that went straight to the rows was lost when an older one of its session
/// was still in a log, as that was taken for the newest.
#[test]
fn a_message_was_lost_behind_an_older_one_in_a_log() {
    let disk = Disk::default();
    block_on(async {
        let store = open(&disk, 1 << 20);
        let heads = fill(&store, 2, 2).await;
        store.close().await.unwrap();
        let store = open(&disk, 0);
        let head = append(&store, &id("s-000"), heads[0].version, &["past the log"]).await;
        let store = open(&disk.after_power_loss(), 1 << 20);
        let loaded = store.load(&id("s-000"), ALL).await.unwrap().unwrap();
        assert_eq!((loaded.head, loaded.tail.len()), (head, 4));
        assert_eq!(tail(&store, "s-001").await, ["m-0", "m-1", "m-2"]);
        assert!(store.verify(|_| {}).await.unwrap().damage.is_empty());
    });
}

/// Whichever of the two is written, and whatever part of the other one is folded.
#[test]
fn both_logs_are_read_when_the_store_is_opened() {
    let disk = Disk::default();
    let names = ["s-000", "s-001"];
    let check = async |store: &RedbStore, texts: &[Vec<String>; 2]| {
        for (name, texts) in names.iter().zip(texts) {
            assert_eq!(tail(store, name).await, *texts);
        }
        assert!(store.verify(|_| {}).await.unwrap().damage.is_empty());
    };
    block_on(async {
        // More than a slice in each.
        let store = open(&disk, 600_000);
        let mut heads = fill(&store, 2, 0).await;
        let mut texts = names.map(|_| vec!["m-0".to_owned()]);
        let mut crashes = Vec::new();
        for n in 0..150 {
            let (s, text) = (n % 2, format!("{n} {}", "x".repeat(20_000)));
            let before = store.stats().logged;
            heads[s] = append(&store, &id(names[s]), heads[s].version, &[&text]).await;
            texts[s].push(text);
            if store.stats().logged <= before {
                // Some was folded. Quickly, before the store has nothing else to do and folds the rest.
                crashes.push((disk.after_power_loss(), texts.clone(), heads[0].version));
            }
        }
        let mut newest_in = [0, 0];
        for (disk, mut texts, version) in crashes {
            let [Some(a), Some(b)] = log_ends(&disk) else { continue };
            newest_in[usize::from(b > a)] += 1;
            let store = open(&disk, 600_000);
            check(&store, &texts).await;
            // It goes on where it was.
            append(&store, &id(names[0]), version, &["more"]).await;
            texts[0].push("more".into());
            check(&store, &texts).await;
            check(&open(&disk.after_power_loss(), 600_000), &texts).await;
        }
        assert!(newest_in.iter().all(|&times| times > 0), "{newest_in:?}");
    });
}

#[test]
fn a_session_that_lost_its_head_row_keeps_what_is_logged() {
    let disk = Disk::default();
    block_on(async {
        let store = open(&disk, 1 << 20);
        fill(&store, 2, 3).await;
        store.close().await.unwrap();
        let heads = TableDefinition::<u64, &[u8]>::new("durable-session.heads");
        change(&disk, |txn| drop(txn.open_table(heads).unwrap().remove(1).unwrap()));
        let store = open(&disk, 1 << 20);
        assert_eq!(store.load(&id("s-000"), ALL).await.unwrap_err().kind(), StoreErrorKind::Corrupt);
        let salvaged = store.salvage(&id("s-000"), EVERYTHING).await.unwrap().unwrap();
        assert_eq!(bodies(&salvaged.rows), ["m-0", "m-1", "m-2", "m-3"]);
        assert_eq!((salvaged.head, salvaged.damage.len()), (None, 1));
        assert_eq!(tail(&store, "s-001").await, ["m-0", "m-1", "m-2", "m-3"]);
    });
}

#[test]
fn rows_of_no_session_are_found_beside_logs() {
    let disk = Disk::default();
    block_on(async {
        let store = open(&disk, 1 << 20);
        fill(&store, 3, 3).await;
        store.close().await.unwrap();
        change(&disk, |txn| drop(txn.open_table(ROWS).unwrap().insert((99, 1), &b"stray"[..]).unwrap()));
        let verified = open(&disk, 1 << 20).verify(|_| {}).await.unwrap();
        assert_eq!((verified.messages, verified.damage.len()), (12, 1));
    });
}

#[test]
fn a_backup_and_a_hosts_database_have_no_logs() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    block_on(async {
        let store = open(&disk, 1 << 20);
        let heads = fill(&store, 5, 4).await;
        let copy = folder.path().join("copy.redb");
        let told = Arc::new(Mutex::new((0, 0)));
        let tell = || {
            let told = Arc::clone(&told);
            move |progress: Progress| *told.lock().unwrap() = (progress.done, progress.total)
        };
        store.backup(&copy, tell()).await.unwrap();
        // Five sessions in three tables, and what is logged.
        assert_eq!(*told.lock().unwrap(), (35, 35));
        store.verify(tell()).await.unwrap();
        assert_eq!(*told.lock().unwrap(), (25, 25));
        store.close().await.unwrap();
        let check = async |store: &RedbStore| {
            assert_eq!(store.stats().logged, 0);
            let loaded = store.load(&id("s-004"), ALL).await.unwrap().unwrap();
            assert_eq!((loaded.head, loaded.tail.len()), (heads[4], 5));
            assert!(store.verify(|_| {}).await.unwrap().damage.is_empty());
        };
        check(&RedbStore::open(&copy).unwrap()).await;

        let db = Arc::new(Database::builder().create_with_backend(disk.backend()).unwrap());
        let store = RedbStore::builder().open_database(Arc::clone(&db)).unwrap();
        check(&store).await;
        append(&store, &id("s-004"), heads[4].version, &["by a host"]).await;
        assert_eq!(store.stats().logged, 0);
        drop(store);
        let rows = db.begin_read().unwrap().open_table(ROWS).unwrap().len().unwrap();
        assert_eq!(rows, 26);
    });
}

#[test]
fn a_damaged_log_is_seen_when_the_store_is_opened() {
    let written = Disk::default();
    block_on(async {
        let store = open(&written, 1 << 20);
        fill(&store, 2, 3).await;
        store.close().await.unwrap();
    });
    let damaged = |damage: &dyn Fn(&mut Log<'_>)| {
        let disk = written.after_power_loss();
        change(&disk, |txn| damage(&mut txn.open_table(LOGS[0]).unwrap()));
        RedbStore::builder().open_backend(disk.backend())
    };
    let entry = |log: &Log<'_>| log.get(2).unwrap().unwrap().value().to_vec();
    // Every bit but those of the message's row, which has a checksum of its own, and that names its message.
    let bytes = 1 + 30 + "s-000".len() + 41 + "m-0".len() + 8;
    let row = 36..bytes - 8;
    for bit in 0..8 * bytes {
        let opened = damaged(&|log| {
            let mut entry = entry(log);
            assert_eq!(entry.len(), bytes);
            entry[bit / 8] ^= 1 << (bit % 8);
            log.insert(2, &entry[..]).unwrap();
        });
        match opened {
            Err(OpenError::Damaged { .. }) => assert!(!row.contains(&(bit / 8)), "{bit}"),
            Err(other) => panic!("{other}"),
            Ok(store) => {
                assert!(row.contains(&(bit / 8)), "{bit}");
                let error = block_on(store.load(&id("s-000"), ALL)).unwrap_err();
                assert_eq!(error.seq(), Some(3));
                assert_eq!(block_on(tail(&store, "s-001")).len(), 4);
                assert_eq!(block_on(store.verify(|_| {})).unwrap().damage.len(), 1);
            }
        }
    }
    for damage in [
        // Missing, in another's place, cut.
        &(|log: &mut Log<'_>| drop(log.remove(2).unwrap())) as &dyn Fn(&mut Log<'_>),
        &|log| {
            let other = entry(log);
            log.insert(3, &other[..]).unwrap();
        },
        &|log| {
            let mut cut = entry(log);
            cut.truncate(40);
            log.insert(2, &cut[..]).unwrap();
        },
        &|log| {
            log.insert(2, &[][..]).unwrap();
        },
    ] {
        let error = damaged(damage).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    }
}
