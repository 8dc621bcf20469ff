//! Closed files in which redb's own structures are damaged, not only rows.

use crate::damage::{EVERYTHING, hush, unchecked};
use crate::support::{ALL, Disks, append, appends, bodies, commit, create, id, small};
use durable_session::store::{
    DeleteIf, Expect, Head, LoadOutcome, LoadQuery, ReadQuery, SessionStore, StoreErrorKind,
    TailBounds,
};
use durable_session_redb::{OpenCheck, OpenError};
use futures_executor::block_on;

const PAGE: usize = 4096;
const MESSAGES: usize = 60;
/// The longest tail that is not the whole session.
const TAIL: LoadQuery = LoadQuery::new(TailBounds::new(MESSAGES - 1, u64::MAX));

fn texts() -> Vec<String> {
    (0..MESSAGES).map(|n| format!("{n} {}", "x".repeat(300))).collect()
}

/// A closed store with one session, and its file with half of the messages.
fn sample() -> (Disks, Vec<u8>) {
    let disks = Disks::default();
    let s = id("s");
    let texts = texts();
    let refs: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut store = disks.open();
    let mut head = block_on(create(&store, &s, &refs[..MESSAGES / 2]));
    block_on(store.close()).unwrap();
    let earlier = disks.file.bytes();
    store = disks.open();
    for text in &refs[MESSAGES / 2..] {
        head = block_on(append(&store, &s, head, &[text]));
    }
    block_on(store.close()).unwrap();
    (disks, earlier)
}

fn holds_messages(page: &[u8]) -> bool {
    page.windows(50).any(|window| window.iter().all(|&byte| byte == b'x'))
}

/// Stores in whose file one page is of an earlier time, or two pages are exchanged.
fn wounded() -> impl Iterator<Item = Disks> {
    let (disks, mut earlier) = sample();
    let file = disks.file.bytes();
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
    let wounded = files.into_iter().filter(move |wounded| *wounded != file);
    wounded.map(move |file| disks.with_file(file))
}

#[test]
fn a_load_notices_rows_that_damage_hides() {
    hush();
    let (s, mut told) = (id("s"), 0);
    for disks in wounded() {
        let Ok(store) = disks.try_open(&unchecked()) else { continue };
        for bounds in [ALL, TAIL] {
            match block_on(store.load(&s, bounds)) {
                Ok(LoadOutcome::Loaded(loaded)) => {
                    let all = usize::try_from(loaded.head.messages).unwrap();
                    assert_eq!(
                        bodies(&loaded.tail),
                        texts()[all - all.min(bounds.tail.max_messages)..all]
                    );
                }
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(
                        (error.kind(), error.session()),
                        (StoreErrorKind::Corrupt, Some(&s))
                    );
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
fn a_file_seen_to_be_damaged_is_poisoned_and_closed_without_a_write() {
    hush();
    let (s, mut poisoned) = (id("s"), 0);
    for disks in wounded() {
        let disk = &disks.file;
        let Ok(store) = disks.try_open(&unchecked()) else { continue };
        let damage = block_on(store.verify(|_| {})).map(|verification| verification.damage.len());
        if damage.is_ok_and(|damage| damage == 0) {
            disk.fail_reads(true);
            continue;
        }
        let before = disk.counts().operations;
        let new = commit(Expect::absent(1), appends(&["new"]));
        // Damage that looks like that of a single row does not stop writes.
        let Err(error) = block_on(store.commit(&id("new"), new)) else { continue };
        assert_eq!((error.kind(), error.session()), (StoreErrorKind::Corrupt, Some(&id("new"))));
        assert!(error.to_string().contains("takes no more writes"), "{error}");
        assert!(block_on(store.delete(&s, DeleteIf::Any)).is_err());
        assert!(block_on(store.compact()).is_err());
        // Reads still work.
        let _ = block_on(store.salvage(&s, EVERYTHING));
        assert_eq!(block_on(store.close()).unwrap_err().kind(), StoreErrorKind::Corrupt);
        assert_eq!(disk.counts().operations, before, "something was written");
        poisoned += 1;
    }
    assert!(poisoned > 0);
}

#[test]
fn opening_refuses_a_file_with_a_damaged_structure() {
    hush();
    for disks in wounded() {
        match disks.try_open(&small().check(OpenCheck::First)) {
            Err(OpenError::Damaged { .. }) => {}
            Err(other) => panic!("{other}"),
            // Only free pages were damaged.
            Ok(store) => {
                let loaded = block_on(store.load(&id("s"), ALL)).unwrap().loaded().unwrap();
                assert_eq!(bodies(&loaded.tail), texts());
            }
        }
    }
}

/// A damaged key hides other rows from a forward read than from a backward read.
#[test]
fn verification_finds_rows_that_are_hidden_from_one_end() {
    hush();
    let (disks, _) = sample();
    let file = disks.file.bytes();
    let s = id("s");
    let key = |seq: u64| [1_u64.to_le_bytes(), seq.to_le_bytes()].concat();
    let mut hidden = 0;
    for seq in (1..=MESSAGES as u64).step_by(3) {
        let key = key(seq);
        // Only in pages with messages: redb's own tables have such keys, too.
        let places: Vec<usize> = (0..file.len() - key.len())
            .filter(|&at| {
                file[at..].starts_with(&key) && holds_messages(&file[at / PAGE * PAGE..][..PAGE])
            })
            .collect();
        for bit in [0, 1, 2, 3, 64, 65, 66, 67, 68, 69, 70] {
            let mut damaged = file.clone();
            for &at in &places {
                damaged[at + bit / 8] ^= 1 << (bit % 8);
            }
            let Ok(store) = disks.with_file(damaged).try_open(&unchecked()) else { continue };
            let fails = |query| block_on(store.read(&s, query)).is_err();
            let damaged = fails(EVERYTHING) || fails(ReadQuery::backward(1, u64::MAX));
            let told = block_on(store.verify(|_| {})).unwrap().damage;
            assert!(
                !damaged || !told.is_empty(),
                "seq {seq}, bit {bit}: verification found no damage"
            );
            hidden +=
                usize::from(told.iter().any(|error| error.to_string().contains("from both ends")));
        }
    }
    assert!(hidden > 0);
}

#[test]
fn a_write_that_finds_the_file_damaged_names_the_damage_and_poisons_the_store() {
    let disks = Disks::default();
    let (s, other) = (id("s"), id("other"));
    let store = disks.open();
    let head = block_on(create(&store, &s, &["a"]));
    let others = block_on(create(&store, &other, &["theirs"]));
    block_on(store.close()).unwrap();
    let heads = redb::TableDefinition::<u64, &[u8]>::new("durable-session.heads");
    disks.change(|txn| drop(txn.open_table(heads).unwrap().remove(1).unwrap().unwrap()));
    let store = disks.open();
    let append = |id, head: Head| {
        let more = commit(head.expect(), appends(&["more"]));
        block_on(store.commit(id, more)).unwrap_err()
    };
    let error = append(&s, head);
    assert_eq!((error.kind(), error.session()), (StoreErrorKind::Corrupt, Some(&s)));
    assert!(error.to_string().contains("head row is missing"), "{error}");
    let error = append(&other, others);
    assert_eq!((error.kind(), error.session()), (StoreErrorKind::Corrupt, Some(&other)));
    assert!(error.to_string().contains("takes no more writes"), "{error}");
    assert_eq!(
        bodies(&block_on(store.load(&other, ALL)).unwrap().loaded().unwrap().tail),
        ["theirs"]
    );
}

/// The number row leads from an id to its session. The head row names the session, too.
#[test]
fn a_session_whose_number_row_is_damaged_can_be_salvaged_and_deleted() {
    hush();
    let disks = Disks::default();
    let (s, other) = (id("s"), id("other"));
    let store = disks.open();
    block_on(async {
        create(&store, &other, &["theirs"]).await;
        create(&store, &s, &["a", "b"]).await;
        store.close().await.unwrap();
    });
    let ids = redb::TableDefinition::<&[u8], &[u8]>::new("durable-session.ids");
    disks.change(|txn| drop(txn.open_table(ids).unwrap().insert(&b"s"[..], &[1; 17][..]).unwrap()));
    let store = disks.open();
    block_on(async {
        let error = store.load(&s, ALL).await.unwrap_err();
        assert_eq!((error.kind(), error.session()), (StoreErrorKind::Corrupt, Some(&s)));
        let salvaged = store.salvage(&s, EVERYTHING).await.unwrap().unwrap();
        assert_eq!((bodies(&salvaged.rows).join(" "), salvaged.damage.len()), ("a b".into(), 1));
        store.delete(&s, DeleteIf::Any).await.unwrap();
        assert!(store.load(&s, ALL).await.unwrap().loaded().is_none());
        assert!(store.verify(|_| {}).await.unwrap().damage.is_empty(), "nothing is left of it");
        assert_eq!(
            bodies(&store.load(&other, ALL).await.unwrap().loaded().unwrap().tail),
            ["theirs"]
        );
    });
}
