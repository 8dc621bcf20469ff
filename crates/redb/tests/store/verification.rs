//! The verification in the background: until it ends, what is found is served, and nothing that is
//! not found counts as absent.

use crate::advice::{Stopped, stopped, whole};
use crate::damage::{EVERYTHING, hush};
use crate::support::{ALL, Disks, append, appends, commit, create, id, small, until};
use durable_session::SessionId;
use durable_session::store::{
    Claim, CommitOutcome, DeleteIf, DeleteOutcome, Expect, ExtendOutcome, Extension, Head,
    ListQuery, Op, SessionList, SessionStore, StoreErrorKind,
};
use durable_session_redb::{OpenCheck, OpenError, RedbStore, RedbStoreBuilder};
use futures_executor::block_on;
use futures_util::FutureExt;
use redb::StorageBackend;
use std::io;
use std::sync::{Arc, Condvar, Mutex};
use testkit::disk::DiskBackend;

/// Holds the reads of verifications.
#[derive(Debug, Clone, Default)]
struct Hold(Arc<(Mutex<bool>, Condvar)>);

impl Hold {
    fn close() -> Self {
        let hold = Self::default();
        *hold.0.0.lock().unwrap() = true;
        hold
    }

    fn open(&self) {
        *self.0.0.lock().unwrap() = false;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        if std::thread::current().name() == Some("durable-session-check") {
            let held = self.0.0.lock().unwrap();
            drop(self.0.1.wait_while(held, |held| *held).unwrap());
        }
    }
}

/// A disk on which verifications wait.
#[derive(Debug)]
struct Held(DiskBackend, Hold);

impl StorageBackend for Held {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.1.pass();
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

fn open_held(disks: &Disks, builder: &RedbStoreBuilder) -> (RedbStore, Hold) {
    let hold = Hold::close();
    let backend = Held(disks.file.backend(), hold.clone());
    (builder.open_backend(backend, disks.log.clone()).unwrap(), hold)
}

/// A store with one session, opened again; its verification waits.
fn one_session_held(builder: &RedbStoreBuilder) -> (Disks, SessionId, Head, RedbStore, Hold) {
    let disks = Disks::default();
    let s = id("s");
    let store = disks.open();
    let head = block_on(create(&store, &s, &["a"]));
    block_on(store.close()).unwrap();
    let (store, hold) = open_held(&disks, builder);
    (disks, s, head, store, hold)
}

fn claim() -> Claim {
    Claim::from_bytes([1; 32])
}

#[test]
fn while_the_file_is_verified_the_found_is_served_and_the_rest_waits() {
    let (disks, s, head, store, hold) = one_session_held(&small().memtable_bytes(16 << 10));
    let operations = disks.file.counts().operations;
    assert!(store.stats().verifying);
    block_on(async {
        // Found: read and changed, until a memtable is frozen.
        let mut head = head;
        let mut messages = 1;
        while store.stats().memtable_bytes < 10 << 10 {
            head = append(&store, &s, head, &["more"]).await;
            messages += 1;
        }
        let loaded = store.load(&s, ALL).await.unwrap().loaded().unwrap();
        assert_eq!(loaded.tail.len(), messages);
        assert!(store.read(&s, EVERYTHING).await.unwrap().is_some());
        store.touch(&s, 9_000).await.unwrap();
        let stale = commit(Expect::Version { version: head.version, next_seq: 99 }, vec![]);
        let conflict = store.commit(&s, stale).await.unwrap();
        assert!(matches!(conflict, CommitOutcome::Conflict { current: Some(_) }));
    });
    // Nothing is flushed into the file.
    assert_eq!(disks.file.counts().operations, operations);

    let (new, absent) = (id("new"), id("absent"));
    let here = block_on(store.load(&s, ALL)).unwrap().loaded().unwrap().head;
    let mut creating = Box::pin(store.commit(&new, commit(Expect::absent(1), appends(&["new"]))));
    let mut loading = Box::pin(store.load(&absent, ALL));
    let mut reading = Box::pin(store.read(&absent, EVERYTHING));
    let mut salvaging = Box::pin(store.salvage(&absent, EVERYTHING));
    let mut changing = Box::pin(store.commit(&absent, commit(here.expect(), appends(&["x"]))));
    let replacing = vec![Op::replace(9_999, "x".into())];
    let mut replacing = Box::pin(store.commit(&s, commit(here.expect(), replacing)));
    let mut deleting = Box::pin(store.delete(&absent, DeleteIf::Any));
    let extension = Extension::new(1, claim(), 0, vec!["x".into()]);
    let mut extending = Box::pin(store.extend(&s, extension));
    let query = ListQuery::all(9);
    let mut listing = Box::pin(store.list(&query));
    let mut compacting = Box::pin(store.compact());
    for _ in 0..20 {
        assert!((&mut creating).now_or_never().is_none(), "a session was created");
        assert!((&mut loading).now_or_never().is_none(), "a load believed in absence");
        assert!((&mut reading).now_or_never().is_none(), "a read believed in absence");
        assert!((&mut salvaging).now_or_never().is_none(), "a salvage believed in absence");
        assert!((&mut changing).now_or_never().is_none(), "a commit believed in absence");
        assert!((&mut replacing).now_or_never().is_none(), "a commit missed a message");
        assert!((&mut deleting).now_or_never().is_none(), "a delete believed in absence");
        assert!((&mut extending).now_or_never().is_none(), "an extension missed its reply");
        assert!((&mut listing).now_or_never().is_none(), "a list did not wait");
        assert!((&mut compacting).now_or_never().is_none(), "a compaction did not wait");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert_eq!(disks.file.counts().operations, operations);

    hold.open();
    block_on(async {
        assert!(matches!(creating.await.unwrap(), CommitOutcome::Committed(_)));
        assert!(loading.await.unwrap().loaded().is_none());
        assert!(reading.await.unwrap().is_none());
        assert!(salvaging.await.unwrap().is_none());
        assert_eq!(changing.await.unwrap(), CommitOutcome::Conflict { current: None });
        assert_eq!(replacing.await.unwrap(), CommitOutcome::NoSuchSeq { seq: 9_999 });
        assert_eq!(deleting.await.unwrap(), DeleteOutcome::Absent);
        assert_eq!(extending.await.unwrap(), ExtendOutcome::Ended);
        assert!(!listing.await.unwrap().sessions.is_empty());
        compacting.await.unwrap();
    });
    assert!(!store.stats().verifying && store.stats().flushes > 0);
}

#[test]
fn damage_that_the_verification_finds_stops_changes_and_hides_no_session() {
    hush();
    let Stopped { content, killed, .. } = stopped();
    let bytes = killed.file.bytes();
    let (mut told, mut found) = (0, 0);
    for page in (1..bytes.len() / 4096).map(|page| page * 4096) {
        if bytes[page..page + 4096].iter().all(|&byte| byte == 0) {
            continue;
        }
        let mut damaged = bytes.clone();
        damaged[page + 200] ^= 4;
        let disks = killed.with_file(damaged);
        // Damage to some pages is met by opening.
        let Ok(store) = disks.try_open(&small()) else { continue };
        let absent = block_on(store.load(&id("absent"), ALL));
        until("the verification", || !store.stats().verifying);
        let whole = whole(&store, &content);
        match absent {
            Ok(outcome) => {
                assert!(outcome.loaded().is_none());
                assert_eq!(whole, content.len(), "page {page}: a sound file lost sessions");
                continue;
            }
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}"),
        }
        told += 1;
        found += whole;
        let operations = disks.file.counts().operations;
        block_on(async {
            for session in content.keys() {
                match store.load(session, ALL).await {
                    Ok(outcome) => assert!(outcome.loaded().is_some(), "a session is hidden"),
                    Err(error) => assert_eq!(error.kind(), StoreErrorKind::Corrupt),
                }
            }
            let creation = commit(Expect::absent(1), appends(&["new"]));
            let errors = [
                store.commit(&id("new"), creation).await.err(),
                store.list(&ListQuery::all(9)).await.err(),
                store.touch(&id("session-1"), 9).await.err(),
                store.delete(&id("absent"), DeleteIf::Any).await.err(),
                store.compact().await.err(),
            ];
            for error in errors {
                assert_eq!(error.unwrap().kind(), StoreErrorKind::Corrupt);
            }
            assert!(!store.verify(|_| {}).await.is_ok_and(|found| found.damage.is_empty()));
            assert!(store.close().await.is_err());
        });
        assert_eq!(disks.file.counts().operations, operations, "the damaged file was written");
    }
    println!("{told} files with damage, {found} sessions read whole in them");
    assert!(told > 10 && found > told * content.len() / 2);
}

#[test]
fn a_store_that_is_closed_during_its_verification_leaves_the_file_and_keeps_the_changes() {
    let (disks, s, head, store, hold) = one_session_held(&small());
    let head = block_on(append(&store, &s, head, &["b"]));
    let operations = disks.file.counts().operations;
    let absent = id("absent");
    let mut waiting = Box::pin(store.load(&absent, ALL));
    assert!((&mut waiting).now_or_never().is_none());
    let mut closing = Box::pin(store.close());
    assert!((&mut closing).now_or_never().is_none());
    // Told before the verification ends.
    assert_eq!(block_on(waiting).unwrap_err().kind(), StoreErrorKind::Closed);
    hold.open();
    block_on(closing).unwrap();
    assert_eq!(disks.file.counts().operations, operations);
    let store = disks.open();
    assert_eq!(block_on(store.load(&s, ALL)).unwrap().loaded().unwrap().head, head);
}

#[test]
fn a_verification_that_cannot_read_the_file_is_made_again() {
    let (disks, s, head, store, hold) = one_session_held(&small());
    // The session is in the cache of redb now.
    let head = block_on(append(&store, &s, head, &["b"]));
    disks.file.fail_reads(true);
    hold.open();
    until("the verification", || !store.stats().verifying);
    let error = block_on(store.load(&id("absent"), ALL)).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    disks.file.fail_reads(false);
    until("another verification", || match block_on(store.load(&id("absent"), ALL)) {
        Ok(outcome) => outcome.loaded().is_none(),
        Err(error) => {
            assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
            false
        }
    });
    assert_eq!(block_on(store.load(&s, ALL)).unwrap().loaded().unwrap().head, head);
}

#[test]
fn without_a_verification_nothing_waits_and_with_the_first_nothing_has_to() {
    let disks = Disks::default();
    block_on(disks.open().close()).unwrap();
    for check in [OpenCheck::Skip, OpenCheck::First] {
        let store = disks.open_with(&small().check(check));
        assert!(!store.stats().verifying);
        assert!(block_on(store.load(&id("absent"), ALL)).unwrap().loaded().is_none());
        block_on(store.close()).unwrap();
    }
}

/// The first opening of a copy stores its salt and its log, so the copy is verified before.
#[test]
fn a_damaged_copy_is_refused_by_its_first_opening() {
    hush();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.redb");
    let store = Disks::default().open();
    for n in 0..30 {
        block_on(create(&store, &id(&format!("s-{n}")), &[&"x".repeat(n * 40)]));
    }
    block_on(store.backup(&path, |_| {})).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(60).position(|window| window.iter().all(|&byte| byte == b'x')).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = RedbStore::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { readable: true, .. }), "{error}");
    let store = small().open_read_only(&path).unwrap();
    assert!(block_on(store.list(&ListQuery::all(99))).unwrap().sessions.len() >= 29);
}
