//! The advice in the error for a damaged file works, after a clean and an unclean stop.

use crate::damage::{EVERYTHING, hush};
use crate::rescue::rescue;
use crate::support::{ALL, Disks, append, appends, bodies, commit, create, id, small, until};
use durable_session::SessionId;
use durable_session::store::{
    DeleteIf, ListQuery, LoadOutcome, SessionList, SessionStore, StoreErrorKind,
};
use durable_session_redb::{OpenCheck, OpenError, RedbStore};
use futures_executor::block_on;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const SESSIONS: usize = 30;
const ADVICE: &str = "RedbStoreBuilder::open_read_only";

type Content = BTreeMap<SessionId, Vec<String>>;

/// A store while it is open (as a kill leaves it) and after it was closed.
pub(crate) struct Stopped {
    pub(crate) content: Content,
    pub(crate) killed: Disks,
    pub(crate) closed: Disks,
}

/// A store with some messages in the tables and some in the log.
pub(crate) fn stopped() -> Stopped {
    let disks = Disks::default();
    let store = disks.open_with(&small().log_bytes(48 << 10));
    let mut content = Content::new();
    for n in 0..SESSIONS {
        let session = id(&format!("session-{n}"));
        let texts: Vec<String> =
            (0..6).map(|m| format!("{n}.{m} {}", "x".repeat(n * 20))).collect();
        let mut head = block_on(create(&store, &session, &[&texts[0]]));
        for text in &texts[1..] {
            head = block_on(append(&store, &session, head, &[text]));
        }
        content.insert(session, texts);
    }
    until("a flush", || store.stats().flushes > 0);
    let killed = disks.after_kill();
    block_on(store.close()).unwrap();
    Stopped { content, killed, closed: disks }
}

/// Counts the sessions that can be read whole, and checks every message that can be read.
pub(crate) fn whole(store: &RedbStore, content: &Content) -> usize {
    let read = |(session, stored): (&SessionId, &Vec<String>)| {
        if let Ok(Some(salvaged)) = block_on(store.salvage(session, EVERYTHING)) {
            for row in &salvaged.rows {
                let index = usize::try_from(row.seq).unwrap() - 1;
                assert_eq!(
                    stored.get(index).map(String::as_bytes),
                    Some(&row.body[..]),
                    "{session:?}"
                );
            }
        }
        let loaded = block_on(store.load(session, ALL)).ok().and_then(LoadOutcome::loaded);
        usize::from(loaded.is_some_and(|loaded| loaded.tail.len() == stored.len()))
    };
    content.iter().map(read).sum()
}

/// Like [`whole`], after a move that gave the messages new seqs.
fn moved_whole(store: &RedbStore, content: &Content) -> usize {
    let read = |(session, stored): (&SessionId, &Vec<String>)| {
        let loaded = block_on(store.load(session, ALL)).unwrap().loaded();
        let found = loaded.map_or_else(Vec::new, |loaded| bodies(&loaded.tail));
        let mut rest = stored.iter();
        assert!(
            found.iter().all(|text| rest.any(|stored| stored == text)),
            "{session:?}: {found:?}"
        );
        usize::from(found.len() == stored.len())
    };
    content.iter().map(read).sum()
}

/// Places of bytes that are not zero, some of each page.
fn places(bytes: &[u8], of_each_page: usize) -> Vec<usize> {
    let in_page = |page: usize| {
        let used: Vec<usize> =
            (page * 4096..(page + 1) * 4096).filter(|&at| bytes[at] != 0).collect();
        let step = (used.len() / of_each_page).max(1);
        used.into_iter().step_by(step).collect::<Vec<_>>()
    };
    (0..bytes.len() / 4096).flat_map(in_page).collect()
}

#[test]
fn the_advice_of_a_refusal_works_for_a_flipped_bit_in_every_page() {
    hush();
    let Stopped { content, killed, closed } = stopped();
    for (stop, disks) in [("killed", killed), ("closed", closed)] {
        let bytes = disks.file.bytes();
        let (mut rescued, mut moved) = (0, 0);
        let (mut harmless, mut advised, mut hopeless, mut kept) = (0, 0, 0, 0);
        for at in places(&bytes, 2) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            let disks = disks.with_file(damaged);
            let context = format!("{stop}, byte {at}");
            let refusal = match disks.after_kill().try_open(&small().check(OpenCheck::First)) {
                Ok(store) => {
                    assert_eq!(whole(&store, &content), SESSIONS, "{context}");
                    harmless += 1;
                    continue;
                }
                Err(refusal) => refusal.to_string(),
            };
            assert!(
                refusal.contains("backup") || refusal.contains("release"),
                "{context}: {refusal}"
            );
            match disks.read_only() {
                Ok(store) if refusal.contains(ADVICE) => {
                    advised += 1;
                    kept += whole(&store, &content);
                    // Slow, so only with each fifth file.
                    if advised % 5 == 0 {
                        let new = Disks::default().open();
                        block_on(rescue(&store, &new));
                        rescued += 1;
                        moved += moved_whole(&new, &content);
                        assert!(
                            block_on(new.verify(|_| {})).unwrap().damage.is_empty(),
                            "{context}"
                        );
                    }
                }
                Ok(_) => {
                    panic!(
                        "{context}: the file can be opened; the error does not say so: {refusal}"
                    )
                }
                Err(error) => {
                    assert!(
                        !refusal.contains(ADVICE),
                        "{context}: advised {ADVICE}, which says {error}"
                    );
                    assert!(
                        !error.to_string().contains(ADVICE),
                        "{context}: advised again: {error}"
                    );
                    hopeless += 1;
                }
            }
        }
        println!(
            "{stop}: {harmless} harmless, {advised} advised, {hopeless} hopeless, \
             {kept} kept, {moved} moved"
        );
        // Damage to the header or a root of a table is hopeless. In a small file, roots are many.
        // How many of its pages are roots depends on when the log was flushed.
        assert!(advised > 20 && hopeless < advised / 2, "{advised} advised, {hopeless} hopeless");
        // A flipped bit costs a session or a page of sessions, seldom more.
        for (kept, files) in [(kept, advised), (moved, rescued)] {
            assert!(kept * 10 > files * SESSIONS * 8, "{kept} sessions of {files} files");
        }
    }
}

/// Flips a bit in every copy of `text`.
fn damage(bytes: &[u8], text: &str) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    let places =
        bytes.windows(text.len()).enumerate().filter(|(_, window)| *window == text.as_bytes());
    places.for_each(|(at, _)| damaged[at + 1] ^= 1);
    assert_ne!(damaged, bytes, "the text is not there");
    damaged
}

/// Writes a store to files.
fn write(disks: &Disks, path: &Path) {
    fs::write(path, disks.file.bytes()).unwrap();
    for (number, bytes) in disks.log.segments() {
        let name = format!("{}-wal.{number}", path.file_name().unwrap().display());
        fs::write(path.with_file_name(name), bytes).unwrap();
    }
}

#[test]
fn the_readable_sessions_of_a_damaged_file_move_to_a_new_file() {
    hush();
    let stopped = stopped();
    let (session, text) = ("session-13", "13.3 xx");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let damaged = damage(&stopped.closed.file.bytes(), text);
    write(&stopped.closed.with_file(damaged), &path("chat.redb"));
    let refusal = small().check(OpenCheck::First).open(path("chat.redb")).unwrap_err();
    let advice = "restore a backup, or read the rest: RedbStoreBuilder::open_read_only";
    assert!(refusal.to_string().contains(advice), "{refusal}");

    let store = small().open_read_only(path("chat.redb")).unwrap();
    assert_eq!(whole(&store, &stopped.content), SESSIONS - 1);
    let listed = block_on(store.list(&ListQuery::all(1000))).unwrap();
    assert_eq!(listed.sessions.len(), SESSIONS);
    block_on(store.backup(path("new.redb"), |_| {})).unwrap();
    let _ = block_on(store.close());

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
}

#[test]
fn a_damaged_store_is_replaced_by_a_backup_while_it_is_open() {
    hush();
    let stopped = stopped();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.redb");
    write(&stopped.closed, &path);
    let store = RedbStore::open(&path).unwrap();
    let backup = folder.path().join("backup.redb");
    block_on(store.backup(&backup, |_| {})).unwrap();
    block_on(store.close()).unwrap();

    let damaged = damage(&stopped.closed.file.bytes(), "13.3 xx");
    write(&stopped.closed.with_file(damaged), &path);
    let store = RedbStore::open(&path).unwrap();
    until("the verification", || !store.stats().verifying);
    let head = block_on(store.load(&id("session-1"), ALL)).unwrap().loaded().unwrap().head;
    let more = commit(head.expect(), appends(&["more"]));
    for _ in 0..2 {
        let error = block_on(store.commit(&id("session-1"), more.clone())).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
        assert!(error.to_string().contains("takes no more writes; restore a backup"), "{error}");
        assert!(block_on(store.delete(&id("session-1"), DeleteIf::Any)).is_err());
        assert!(block_on(store.compact()).is_err());
        assert_eq!(whole(&store, &stopped.content), SESSIONS - 1);
    }
    // The file is locked like any other.
    let error = RedbStore::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::AlreadyOpen { .. }), "{error}");

    // Following the advice while the store is open. Its log has no changes, and gives way.
    fs::rename(&backup, &path).unwrap();
    block_on(store.reopen()).unwrap();
    assert_eq!(whole(&store, &stopped.content), SESSIONS);
    let head = block_on(store.load(&id("session-1"), ALL)).unwrap().loaded().unwrap().head;
    block_on(append(&store, &id("session-1"), head, &["more"]));
    block_on(store.close()).unwrap();
    block_on(RedbStore::open(&path).unwrap().close()).unwrap();
}
