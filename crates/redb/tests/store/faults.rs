//! A disk that fails: what callers are told, and what is stored afterwards.

use crate::support::{ALL, appends, bodies, commit, create, id};
use durable_session::SessionId;
use durable_session::store::{CommitOutcome, Expect, Head, Loaded, SessionStore, StoreErrorKind};
use durable_session_redb::{OpenError, RedbDurability, RedbStore};
use futures_executor::block_on;
use std::time::{Duration, Instant};
use torture_disk::{Disk, Failure};

fn reopenable(disk: &Disk, level: RedbDurability) -> RedbStore {
    let disk = disk.clone();
    RedbStore::builder().durability(level).open_storage(move || Ok(disk.backend())).unwrap()
}

fn stored(store: &RedbStore, session: &SessionId) -> Loaded {
    block_on(store.load(session, ALL)).unwrap().unwrap()
}

/// Appends two messages and says what came of it.
fn append_two(store: &RedbStore, session: &SessionId, head: &Head, round: u64) -> Result<(), StoreErrorKind> {
    let ops = appends(&[&format!("{round}a"), &format!("{round}b")]);
    match block_on(store.commit(session, commit(Expect::Version(head.version), ops))) {
        Ok(CommitOutcome::Committed(_)) => Ok(()),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.kind()),
    }
}

#[test]
fn a_failure_of_any_disk_operation_is_told_truthfully_and_the_store_recovers_by_itself() {
    for level in [RedbDurability::Immediate, RedbDurability::QuickRecovery] {
        let disk = Disk::default();
        let store = reopenable(&disk, level);
        let s = id("s");
        block_on(create(&store, &s, &["0a", "0b"]));
        let (mut unchanged, mut unknown) = (0, 0);
        // The n-th operation of the commit fails, once; large n: none does.
        for n in 1..40 {
            let before = stored(&store, &s);
            disk.fail(Some(Failure::once(disk.counts().operations + n)));
            let told = append_two(&store, &s, &before.head, n);
            disk.fail(None);
            let after = stored(&store, &s);
            let added = after.tail.len() - before.tail.len();
            match told {
                Ok(()) => assert_eq!(added, 2),
                Err(StoreErrorKind::Unavailable) => {
                    unchanged += 1;
                    assert_eq!(after, before, "{level:?}, operation {n}: changed though told otherwise");
                }
                Err(StoreErrorKind::OutcomeUnknown) => {
                    unknown += 1;
                    assert!(added == 0 || added == 2, "{level:?}, operation {n}: half a commit");
                }
                Err(other) => panic!("{level:?}, operation {n}: {other:?}"),
            }
            // What is seen now is also what the disk holds.
            let other = RedbStore::builder().open_backend(disk.after_power_loss().backend()).unwrap();
            assert_eq!(stored(&other, &s), after, "{level:?}, operation {n}");
        }
        assert!(unknown > 0, "{level:?}: {unchanged} unchanged, {unknown} unknown");
        assert_eq!(store.stats().reopened, unchanged + unknown);
    }
}

#[test]
fn while_the_disk_fails_nothing_is_answered_wrongly_and_reopen_brings_the_store_back() {
    let disk = Disk::default();
    let store = reopenable(&disk, RedbDurability::Immediate);
    let s = id("s");
    let head = block_on(create(&store, &s, &["a"]));
    disk.fail(Some(Failure::from(disk.counts().operations + 1)));
    assert!(append_two(&store, &s, &head, 1).is_err());
    let error = block_on(store.load(&s, ALL)).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert_eq!(append_two(&store, &s, &head, 2), Err(StoreErrorKind::Unavailable));
    assert!(matches!(block_on(store.reopen()), Err(OpenError::Io { .. })));

    disk.fail(None);
    block_on(store.reopen()).unwrap();
    assert_eq!(bodies(&stored(&store, &s).tail), ["a"]);
    append_two(&store, &s, &head, 3).unwrap();
}

#[test]
fn when_the_disk_works_again_the_store_comes_back_by_itself() {
    let disk = Disk::default();
    let store = reopenable(&disk, RedbDurability::Immediate);
    let s = id("s");
    block_on(create(&store, &s, &["a"]));
    let fail = || {
        let head = stored(&store, &s).head;
        disk.fail(Some(Failure::from(disk.counts().operations + 1)));
        // The second finds a store that could not be opened again.
        for round in [1, 2] {
            assert!(append_two(&store, &s, &head, round).is_err());
        }
        disk.fail(None);
        head
    };
    // Whether it is asked to write or to read; it tries again after a while.
    let head = fail();
    until(|| append_two(&store, &s, &head, 3));
    fail();
    until(|| block_on(store.load(&s, ALL)).map_err(|error| error.kind()));
    assert_eq!(bodies(&stored(&store, &s).tail), ["a", "3a", "3b"]);
}

/// Asks again while the storage is said to be unavailable.
fn until<T>(mut ask: impl FnMut() -> Result<T, StoreErrorKind>) {
    let given_up = Instant::now() + Duration::from_mins(1);
    while let Err(error) = ask() {
        assert_eq!(error, StoreErrorKind::Unavailable);
        assert!(Instant::now() < given_up, "the store did not come back");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn storage_of_the_host_stays_closed_and_the_error_says_who_must_act() {
    let disk = Disk::default();
    let store = RedbStore::builder().open_backend(disk.backend()).unwrap();
    let s = id("s");
    let head = block_on(create(&store, &s, &["a"]));
    // Asking for what cannot be had harms nothing.
    assert!(matches!(block_on(store.reopen()), Err(OpenError::HostMustReopen { .. })));
    assert_eq!(bodies(&stored(&store, &s).tail), ["a"]);

    disk.fail(Some(Failure::once(disk.counts().operations + 1)));
    assert!(append_two(&store, &s, &head, 1).is_err());
    disk.fail(None);
    assert_eq!(append_two(&store, &s, &head, 2), Err(StoreErrorKind::Closed));
    let error = block_on(store.load(&s, ALL)).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Closed);
    assert!(error.to_string().contains("only the host can open"), "{error}");
    block_on(store.close()).unwrap();

    let store = RedbStore::builder().open_backend(disk.after_power_loss().backend()).unwrap();
    assert_eq!(stored(&store, &s).tail[0].body, "a");
}

#[test]
fn a_failing_read_is_an_error_and_the_store_recovers() {
    let disk = Disk::default();
    let storage = disk.clone();
    // With hardly any cache, reads go to the disk.
    let store = RedbStore::builder().cache_bytes(0).open_storage(move || Ok(storage.backend())).unwrap();
    let s = id("s");
    block_on(create(&store, &s, &["a"]));
    disk.fail_reads(true);
    let error = block_on(store.load(&s, ALL)).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    disk.fail_reads(false);
    // The writer opens the storage again on its own, without any write.
    until(|| block_on(store.load(&s, ALL)).map_err(|error| error.kind()));
    assert_eq!(bodies(&stored(&store, &s).tail), ["a"]);
}
