//! The advice in an error that refuses a damaged file works when it is followed, after a clean and an unclean stop.

use crate::damage::{EVERYTHING, hush};
use crate::rescue::rescue;
use crate::support::{ALL, append, appends, bodies, commit, create, id};
use durable_session::SessionId;
use durable_session::store::{DeleteIf, Expect, ListQuery, SessionList, SessionStore, StoreErrorKind};
use durable_session_redb::{OpenError, RedbDurability, RedbStore};
use futures_executor::block_on;
use std::collections::BTreeMap;
use std::fs;
use torture_disk::Disk;

const SESSIONS: usize = 30;
const ADVICE: &str = "verify_on_open(false)";

type Content = BTreeMap<SessionId, Vec<String>>;

/// The bytes of a store while it is open, which are those after a kill, and after it was closed.
struct Stopped {
    content: Content,
    killed: Vec<u8>,
    closed: Vec<u8>,
}

/// A store with rows in every table: some messages are folded, some are in a log, some app states too.
fn stopped(durability: RedbDurability) -> Stopped {
    let disk = Disk::default();
    let store = RedbStore::builder().durability(durability).log_bytes(24 << 10);
    let store = store.open_backend(disk.backend()).unwrap();
    let mut content = Content::new();
    for n in 0..SESSIONS {
        let session = id(&format!("session-{n}"));
        let texts: Vec<String> = (0..6).map(|m| format!("{n}.{m} {}", "x".repeat(n * 20))).collect();
        let head = block_on(create(&store, &session, &[&texts[0]]));
        let mut version = head.version;
        for text in &texts[1..] {
            version = block_on(append(&store, &session, version, &[text])).version;
        }
        content.insert(session, texts);
    }
    assert!(store.stats().logged > 0, "nothing is in a log");
    let killed = disk.bytes();
    block_on(store.close()).unwrap();
    Stopped { content, killed, closed: disk.bytes() }
}

/// How many sessions can be read as a whole. What can be read is what was stored.
fn whole(store: &RedbStore, content: &Content) -> usize {
    let read = |(session, stored): (&SessionId, &Vec<String>)| {
        if let Ok(Some(salvaged)) = block_on(store.salvage(session, EVERYTHING)) {
            for row in &salvaged.rows {
                let index = usize::try_from(row.seq).unwrap() - 1;
                assert_eq!(stored.get(index).map(String::as_bytes), Some(&row.body[..]), "{session:?}");
            }
        }
        let loaded = block_on(store.load(session, ALL)).ok().flatten();
        usize::from(loaded.is_some_and(|loaded| loaded.tail.len() == stored.len()))
    };
    content.iter().map(read).sum()
}

/// The same after a move, which gives the messages new seqs.
fn moved_whole(store: &RedbStore, content: &Content) -> usize {
    let read = |(session, stored): (&SessionId, &Vec<String>)| {
        let loaded = block_on(store.load(session, ALL)).unwrap();
        let found = loaded.map_or_else(Vec::new, |loaded| bodies(&loaded.tail));
        let mut rest = stored.iter();
        assert!(found.iter().all(|text| rest.any(|stored| stored == text)), "{session:?}: {found:?}");
        usize::from(found.len() == stored.len())
    };
    content.iter().map(read).sum()
}

/// The pages that hold anything, in each the place of some byte that is not zero.
fn places(bytes: &[u8], of_each_page: usize) -> Vec<usize> {
    let in_page = |page: usize| {
        let used: Vec<usize> = (page * 4096..(page + 1) * 4096).filter(|&at| bytes[at] != 0).collect();
        let step = (used.len() / of_each_page).max(1);
        used.into_iter().step_by(step).collect::<Vec<_>>()
    };
    (0..bytes.len() / 4096).flat_map(in_page).collect()
}

#[test]
fn the_advice_for_a_flipped_bit_works_in_every_page_after_every_kind_of_stop() {
    hush();
    for durability in [RedbDurability::Immediate, RedbDurability::QuickRecovery] {
        let Stopped { content, killed, closed } = stopped(durability);
        for (stop, bytes) in [("killed", killed), ("closed", closed)] {
            let (mut rescued, mut moved) = (0, 0);
            let (mut harmless, mut advised, mut hopeless, mut kept) = (0, 0, 0, 0);
            for at in places(&bytes, 2) {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << (at % 8);
                let open = |verify: bool| {
                    let builder = RedbStore::builder().durability(durability).verify_on_open(verify);
                    builder.open_backend(Disk::with(damaged.clone()).backend())
                };
                let context = format!("{durability:?}, {stop}, byte {at}");
                let refusal = match open(true) {
                    Ok(store) => {
                        // With one sync per transaction, damage to what the last one wrote looks like a commit that
                        // power loss interrupted: the transaction before it counts.
                        let last = durability == RedbDurability::Immediate && stop == "killed";
                        assert!(whole(&store, &content) >= SESSIONS - usize::from(last), "{context}");
                        harmless += 1;
                        continue;
                    }
                    Err(refusal) => refusal.to_string(),
                };
                assert!(refusal.contains("backup") || refusal.contains("release"), "{context}: {refusal}");
                match open(false) {
                    Ok(store) if refusal.contains(ADVICE) => {
                        advised += 1;
                        kept += whole(&store, &content);
                        // Takes long, so of each fifth file.
                        if advised % 5 == 0 {
                            let new = RedbStore::builder().open_backend(Disk::default().backend()).unwrap();
                            block_on(rescue(&store, &new));
                            rescued += 1;
                            moved += moved_whole(&new, &content);
                            assert!(block_on(new.verify(|_| {})).unwrap().damage.is_empty(), "{context}");
                        }
                    }
                    Ok(_) => panic!("{context}: it can be opened, and the error did not say so: {refusal}"),
                    Err(error) => {
                        assert!(!refusal.contains(ADVICE), "{context}: advised {ADVICE}, which says {error}");
                        assert!(!error.to_string().contains(ADVICE), "{context}: advised again: {error}");
                        hopeless += 1;
                    }
                }
            }
            println!(
                "{durability:?}, {stop}: {harmless} harmless, {advised} advised, {hopeless} hopeless, {kept} kept, {moved} moved"
            );
            // Hopeless are the header and the roots of the tables, which in a file this small are many.
            assert!(advised > 25 && hopeless < advised / 5, "{advised} advised, {hopeless} hopeless");
            // A flipped bit costs a session or a page of sessions, seldom more.
            for (kept, files) in [(kept, advised), (moved, rescued)] {
                assert!(kept * 10 > files * SESSIONS * 8, "{kept} sessions of {files} files");
            }
        }
    }
}

/// Flips a bit in every copy of `text`.
fn damage(bytes: &[u8], text: &str) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    let places = bytes.windows(text.len()).enumerate().filter(|(_, window)| *window == text.as_bytes());
    places.for_each(|(at, _)| damaged[at + 1] ^= 1);
    assert_ne!(damaged, bytes, "the text is not there");
    damaged
}

#[test]
fn what_is_left_of_a_damaged_file_moves_to_a_new_one_and_a_backup_can_be_restored() {
    hush();
    let stopped = stopped(RedbDurability::Immediate);
    // A message among the rows, and one in a log.
    for (session, text) in [("session-13", "13.3 xx"), ("session-27", "27.4 xx")] {
        for bytes in [&stopped.killed, &stopped.closed] {
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| folder.path().join(name);
            fs::write(path("chat.redb"), damage(bytes, text)).unwrap();
            let refusal = RedbStore::open(path("chat.redb")).unwrap_err();
            let advice = "restore a backup, or open a copy of the file with verify_on_open(false)";
            assert!(refusal.to_string().contains(advice), "{refusal}");

            fs::copy(path("chat.redb"), path("copy.redb")).unwrap();
            let copy = RedbStore::builder().verify_on_open(false).open(path("copy.redb")).unwrap();
            assert_eq!(whole(&copy, &stopped.content), SESSIONS - 1);
            let listed = block_on(copy.list(&ListQuery::all(1000))).unwrap();
            assert_eq!(listed.sessions.len(), SESSIONS);
            block_on(copy.backup(path("new.redb"), |_| {})).unwrap();
            let _ = block_on(copy.close());

            let new = RedbStore::open(path("new.redb")).unwrap();
            assert_eq!(whole(&new, &stopped.content), SESSIONS - 1);
            let verified = block_on(new.verify(|_| {})).unwrap();
            assert_eq!(verified.damage.len(), 1);
            assert_eq!(verified.damage[0].session(), Some(&id(session)));
            let salvaged = block_on(new.salvage(&id(session), EVERYTHING)).unwrap().unwrap();
            assert_eq!((salvaged.rows.len(), salvaged.damage.len()), (5, 1));
            block_on(new.delete(&id(session), DeleteIf::Any)).unwrap();
            block_on(create(&new, &id(session), &["again"]));
            assert!(block_on(new.verify(|_| {})).unwrap().damage.is_empty());
            block_on(new.close()).unwrap();
            fs::rename(path("new.redb"), path("chat.redb")).unwrap();
            block_on(RedbStore::open(path("chat.redb")).unwrap().close()).unwrap();
        }
    }
}

#[test]
fn a_file_that_was_damaged_before_it_was_killed_is_read_and_never_written() {
    hush();
    let stopped = stopped(RedbDurability::Immediate);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.redb");
    fs::write(&path, damage(&stopped.killed, "13.3 xx")).unwrap();
    let store = RedbStore::builder().verify_on_open(false).open(&path).unwrap();
    let opened = fs::read(&path).unwrap();
    let head = block_on(store.load(&id("session-1"), ALL)).unwrap().unwrap().head;
    let more = commit(Expect::Version(head.version), appends(&["more"]));
    for _ in 0..2 {
        let error = block_on(store.commit(&id("session-1"), more.clone())).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
        assert!(error.to_string().contains("nothing is written to it any more; restore a backup"), "{error}");
        assert!(block_on(store.delete(&id("session-1"), DeleteIf::Any)).is_err());
        assert!(block_on(store.compact()).is_err());
        assert_eq!(whole(&store, &stopped.content), SESSIONS - 1);
    }
    // It is locked meanwhile, like any other.
    let error = RedbStore::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::AlreadyOpen { .. }), "{error}");
    assert!(block_on(store.reopen()).is_err());
    assert_eq!(fs::read(&path).unwrap(), opened);

    // The advice, followed while the store is open.
    fs::write(folder.path().join("backup.redb"), &stopped.closed).unwrap();
    fs::rename(folder.path().join("backup.redb"), &path).unwrap();
    block_on(store.reopen()).unwrap();
    assert_eq!(whole(&store, &stopped.content), SESSIONS);
    block_on(append(&store, &id("session-1"), head.version, &["more"]));
    block_on(store.close()).unwrap();
    block_on(RedbStore::open(&path).unwrap().close()).unwrap();
}
