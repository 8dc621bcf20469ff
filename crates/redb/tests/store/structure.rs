//! Files in which not a row but redb's own structure was damaged while they were closed.

use crate::damage::{EVERYTHING, hush, unchecked};
use crate::support::{ALL, append, appends, bodies, commit, create, id};
use durable_session::store::{
    DeleteIf, Expect, Head, Order, ReadQuery, SessionStore, StoreErrorKind, TailBounds,
};
use durable_session_redb::{OpenError, RedbStore};
use futures_executor::block_on;
use torture_disk::Disk;

const PAGE: usize = 4096;
const MESSAGES: usize = 60;
/// The longest tail that is not the whole session.
const TAIL: TailBounds = TailBounds { max_messages: MESSAGES - 1, max_bytes: u64::MAX };

fn texts() -> Vec<String> {
    (0..MESSAGES).map(|n| format!("{n} {}", "x".repeat(300))).collect()
}

/// A closed store with one session, to which half of the messages were appended later, and the file before that.
fn sample() -> (Vec<u8>, Vec<u8>) {
    let disk = Disk::default();
    let s = id("s");
    let texts = texts();
    let refs: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut store = RedbStore::builder().open_backend(disk.backend()).unwrap();
    let mut version = block_on(create(&store, &s, &refs[..MESSAGES / 2])).version;
    block_on(store.close()).unwrap();
    let earlier = disk.bytes();
    store = RedbStore::builder().open_backend(disk.backend()).unwrap();
    for text in &refs[MESSAGES / 2..] {
        version = block_on(append(&store, &s, version, &[text])).version;
    }
    block_on(store.close()).unwrap();
    (disk.bytes(), earlier)
}

fn holds_messages(page: &[u8]) -> bool {
    page.windows(50).any(|window| window.iter().all(|&byte| byte == b'x'))
}

/// Files in which one page is of an earlier time, or two pages are exchanged.
fn wounded() -> impl Iterator<Item = Vec<u8>> {
    let (file, mut earlier) = sample();
    earlier.resize(file.len(), 0);
    let pages: Vec<usize> = (1..file.len() / PAGE)
        .map(|page| page * PAGE)
        .filter(|&at| file[at..at + PAGE].iter().any(|&byte| byte != 0))
        .collect();
    let mut files = Vec::new();
    for (n, &at) in pages.iter().enumerate() {
        let mut stale = file.clone();
        stale[at..at + PAGE].copy_from_slice(&earlier[at..at + PAGE]);
        files.push(stale);
        for &other in &pages[n + 1..] {
            let mut swapped = file.clone();
            swapped[at..at + PAGE].copy_from_slice(&file[other..other + PAGE]);
            swapped[other..other + PAGE].copy_from_slice(&file[at..at + PAGE]);
            files.push(swapped);
        }
    }
    files.into_iter().filter(move |wounded| *wounded != file)
}

#[test]
fn a_session_whose_rows_were_hidden_by_damage_was_read_as_shorter() {
    hush();
    let (s, mut told) = (id("s"), 0);
    for file in wounded() {
        let Ok(store) = unchecked().open_backend(Disk::with(file).backend()) else { continue };
        for bounds in [ALL, TAIL] {
            match block_on(store.load(&s, bounds)) {
                Ok(Some(loaded)) => {
                    let all = usize::try_from(loaded.head.messages).unwrap();
                    assert_eq!(bodies(&loaded.tail), texts()[all - all.min(bounds.max_messages)..all]);
                }
                Ok(None) => {}
                Err(error) => {
                    assert_eq!((error.kind(), error.session()), (StoreErrorKind::Corrupt, Some(&s)));
                    told += usize::from(error.to_string().contains("never removed"));
                }
            }
        }
        if let Ok(Some(page)) = block_on(store.read(&s, EVERYTHING)) {
            let all = usize::try_from(page.head.messages).unwrap();
            assert_eq!(bodies(&page.rows), texts()[..all]);
        }
    }
    assert!(told > 0);
}

#[test]
fn changing_or_closing_a_file_that_was_seen_to_be_damaged_aborted_the_process() {
    hush();
    let (s, mut condemned) = (id("s"), 0);
    for file in wounded() {
        let disk = Disk::with(file);
        let Ok(store) = unchecked().open_backend(disk.backend()) else { continue };
        let damage = block_on(store.verify(|_| {})).map(|verification| verification.damage.len());
        if damage.is_ok_and(|damage| damage == 0) {
            disk.fail_reads(true);
            continue;
        }
        let before = disk.counts().operations;
        let new = commit(Expect::Absent { created_at: 1 }, appends(&["new"]));
        // What looks like the damage of a row alone holds nothing up.
        let Err(error) = block_on(store.commit(&id("new"), new)) else { continue };
        assert_eq!((error.kind(), error.session()), (StoreErrorKind::Corrupt, Some(&id("new"))));
        assert!(error.to_string().contains("nothing is written to it any more"), "{error}");
        assert!(block_on(store.delete(&s, DeleteIf::Any)).is_err());
        assert!(block_on(store.compact()).is_err());
        // What can be read still can.
        let _ = block_on(store.salvage(&s, EVERYTHING));
        assert_eq!(block_on(store.close()).unwrap_err().kind(), StoreErrorKind::Corrupt);
        assert_eq!(disk.counts().operations, before, "something was written");
        condemned += 1;
    }
    assert!(condemned > 0);
}

#[test]
fn a_file_with_a_damaged_structure_was_opened_unless_asked_to_verify() {
    hush();
    for file in wounded() {
        let disk = Disk::with(file);
        match RedbStore::builder().open_backend(disk.backend()) {
            Err(OpenError::Damaged { .. }) => {}
            Err(other) => panic!("{other}"),
            // The damage was to pages that are free.
            Ok(store) => {
                let loaded = block_on(store.load(&id("s"), ALL)).unwrap().unwrap();
                assert_eq!(bodies(&loaded.tail), texts());
            }
        }
    }
}

/// Damaged keys hide other rows from a walk from the one end than from the other.
#[test]
fn verification_that_walked_one_way_passed_over_hidden_rows() {
    hush();
    let (file, _) = sample();
    let s = id("s");
    let key = |seq: u64| [1_u64.to_le_bytes(), seq.to_le_bytes()].concat();
    let mut hidden = 0;
    for seq in (1..=MESSAGES as u64).step_by(3) {
        let key = key(seq);
        // In pages with messages: redb has tables of its own with such keys.
        let places: Vec<usize> = (0..file.len() - key.len())
            .filter(|&at| file[at..].starts_with(&key) && holds_messages(&file[at / PAGE * PAGE..][..PAGE]))
            .collect();
        for bit in [0, 1, 2, 3, 64, 65, 66, 67, 68, 69, 70] {
            let mut damaged = file.clone();
            for &at in &places {
                damaged[at + bit / 8] ^= 1 << (bit % 8);
            }
            let Ok(store) = unchecked().open_backend(Disk::with(damaged).backend()) else { continue };
            let fails = |order| block_on(store.read(&s, ReadQuery { order, ..EVERYTHING })).is_err();
            let damaged = fails(Order::Forward) || fails(Order::Backward);
            let told = block_on(store.verify(|_| {})).unwrap().damage;
            assert!(!damaged || !told.is_empty(), "seq {seq}, bit {bit}: verification says nothing");
            hidden += usize::from(told.iter().any(|error| error.to_string().contains("from both ends")));
        }
    }
    assert!(hidden > 0);
}

#[test]
fn a_change_that_finds_the_file_damaged_says_how_and_later_ones_that_nothing_is_written() {
    let disk = Disk::default();
    let (s, other) = (id("s"), id("other"));
    let store = RedbStore::builder().open_backend(disk.backend()).unwrap();
    let head = block_on(create(&store, &s, &["a"]));
    let others = block_on(create(&store, &other, &["theirs"]));
    block_on(store.close()).unwrap();
    let heads = redb::TableDefinition::<u64, &[u8]>::new("durable-session.heads");
    let db = redb::Database::builder().create_with_backend(disk.backend()).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(heads).unwrap().remove(1).unwrap().unwrap();
    txn.commit().unwrap();
    drop(db);
    let store = RedbStore::builder().open_backend(disk.backend()).unwrap();
    let append = |id, head: Head| {
        let more = commit(Expect::Version(head.version), appends(&["more"]));
        block_on(store.commit(id, more)).unwrap_err()
    };
    let error = append(&s, head);
    assert_eq!((error.kind(), error.session()), (StoreErrorKind::Corrupt, Some(&s)));
    assert!(error.to_string().contains("head row is missing"), "{error}");
    let error = append(&other, others);
    assert_eq!((error.kind(), error.session()), (StoreErrorKind::Corrupt, Some(&other)));
    assert!(error.to_string().contains("nothing is written to it any more"), "{error}");
    assert_eq!(bodies(&block_on(store.load(&other, ALL)).unwrap().unwrap().tail), ["theirs"]);
}

/// The row that leads from an id to its session is damaged: the head row names the session, too.
#[test]
fn a_session_whose_number_row_is_damaged_can_be_salvaged_and_deleted() {
    hush();
    let disk = Disk::default();
    let (s, other) = (id("s"), id("other"));
    let store = RedbStore::builder().open_backend(disk.backend()).unwrap();
    block_on(async {
        create(&store, &other, &["theirs"]).await;
        create(&store, &s, &["a", "b"]).await;
        store.close().await.unwrap();
    });
    let ids = redb::TableDefinition::<&[u8], &[u8]>::new("durable-session.ids");
    let db = redb::Database::builder().create_with_backend(disk.backend()).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(ids).unwrap().insert(&b"s"[..], &[1; 17][..]).unwrap();
    txn.commit().unwrap();
    drop(db);
    let store = RedbStore::builder().open_backend(disk.backend()).unwrap();
    block_on(async {
        let error = store.load(&s, ALL).await.unwrap_err();
        assert_eq!((error.kind(), error.session()), (StoreErrorKind::Corrupt, Some(&s)));
        let salvaged = store.salvage(&s, EVERYTHING).await.unwrap().unwrap();
        assert_eq!((bodies(&salvaged.rows).join(" "), salvaged.damage.len()), ("a b".into(), 1));
        store.delete(&s, DeleteIf::Any).await.unwrap();
        assert!(store.load(&s, ALL).await.unwrap().is_none());
        assert!(store.verify(|_| {}).await.unwrap().damage.is_empty(), "nothing is left of it");
        assert_eq!(bodies(&store.load(&other, ALL).await.unwrap().unwrap().tail), ["theirs"]);
    });
}
