//! Failing disks: the errors of callers, and the stored messages afterwards.

use crate::support::{ALL, Disks, appends, bodies, commit, create, id, small, tiny, until};
use durable_session::SessionId;
use durable_session::store::{CommitOutcome, Head, Loaded, SessionStore, StoreErrorKind};
use durable_session_redb::{OpenError, RedbStore};
use futures_executor::block_on;
use testkit::disk::{Failure, How};

fn load(store: &RedbStore, session: &SessionId) -> Result<Loaded, StoreErrorKind> {
    let loaded = block_on(store.load(session, ALL)).map_err(|error| error.kind())?;
    Ok(loaded.loaded().unwrap())
}

/// Loads the session. After a failure of opening the store again, it tries until that succeeds.
fn stored(store: &RedbStore, session: &SessionId) -> Loaded {
    let mut loaded = None;
    until("the store", || {
        loaded = match load(store, session) {
            Ok(loaded) => Some(loaded),
            Err(StoreErrorKind::Unavailable) => None,
            Err(other) => panic!("{other:?}"),
        };
        loaded.is_some()
    });
    loaded.unwrap()
}

/// Appends two messages; returns the kind of the error if it fails.
fn append_two(
    store: &RedbStore,
    session: &SessionId,
    head: &Head,
    round: u64,
) -> Result<Head, StoreErrorKind> {
    let ops = appends(&[&format!("{round}a"), &format!("{round}b")]);
    match block_on(store.commit(session, commit(head.expect(), ops))) {
        Ok(CommitOutcome::Committed(head)) => Ok(head),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.kind()),
    }
}

#[test]
fn a_failure_of_any_operation_of_the_log_gets_a_true_error_and_the_store_recovers() {
    for (builder, how) in [(small(), How::Error), (tiny(), How::ShortWrite), (tiny(), How::Error)] {
        let disks = Disks::default();
        let store = disks.reopenable(&builder);
        let (s, log) = (id("s"), disks.log.disk());
        block_on(create(&store, &s, &["0a", "0b"]));
        let (mut unchanged, mut unknown) = (0, 0);
        // The n-th operation of the commit fails once; with a large n, none fails.
        for n in 1..40 {
            let before = stored(&store, &s);
            log.fail(Some(Failure::once(log.counts().operations + 1 + n % 8).how(how)));
            let told = append_two(&store, &s, &before.head, n);
            let after = stored(&store, &s);
            log.fail(None);
            let added = after.tail.len() - before.tail.len();
            match told {
                Ok(_) => assert_eq!(added, 2),
                Err(StoreErrorKind::Unavailable) => {
                    unchanged += 1;
                    assert_eq!(after, before, "operation {n}: changed in spite of the error");
                }
                Err(StoreErrorKind::OutcomeUnknown) => {
                    unknown += 1;
                    assert!(added == 0 || added == 2, "operation {n}: half a commit");
                }
                Err(other) => panic!("operation {n}: {other:?}"),
            }
            // The disks hold the same as the store shows.
            let other = disks.after_power_loss().open_with(&builder);
            assert_eq!(stored(&other, &s), after, "operation {n}");
        }
        println!("{unchanged} unchanged, {unknown} unknown");
        assert!(unknown > 0);
    }
}

/// The log has what a flush was about to move.
#[test]
fn a_failure_of_any_operation_of_a_flush_fails_no_call_and_loses_nothing() {
    let s = id("s");
    let failures = (1..).take_while(|n| {
        let disks = Disks::default();
        let store = disks.reopenable(&small().memtable_bytes(1 << 10));
        let mut head = block_on(create(&store, &s, &["0a", "0b"]));
        let mut expected = vec!["0a".to_owned(), "0b".to_owned()];
        until("the verification", || !store.stats().verifying);
        // The n-th operation of the flush fails once; with a large n, none fails.
        disks.file.fail(Some(Failure::once(disks.file.counts().operations + n)));
        for round in 1.. {
            head = append_two(&store, &s, &head, round).unwrap();
            expected.extend([format!("{round}a"), format!("{round}b")]);
            let stats = store.stats();
            if stats.flushes + stats.reopened > 0 {
                break;
            }
        }
        disks.file.fail(None);
        let loaded = stored(&store, &s);
        assert_eq!((loaded.head, bodies(&loaded.tail)), (head, expected));
        let other = disks.after_power_loss().open();
        assert_eq!(stored(&other, &s), loaded, "operation {n}");

        let failed = store.stats().reopened > 0;
        if failed && n % 4 == 1 {
            until("a flush after the failure", || {
                head = append_two(&store, &s, &head, 0).unwrap();
                store.stats().flushes > 0
            });
            block_on(store.close()).unwrap();
            assert_eq!(stored(&disks.open(), &s).head, head);
        }
        failed
    });
    let failures = failures.count();
    println!("a flush has {failures} operations");
    assert!(failures > 3);
}

#[test]
fn while_the_log_fails_all_calls_fail_and_reopen_brings_the_store_back() {
    let disks = Disks::default();
    let store = disks.reopenable(&small());
    let (s, log) = (id("s"), disks.log.disk());
    let head = block_on(create(&store, &s, &["a"]));
    log.fail(Some(Failure::from(log.counts().operations + 1)));
    assert_eq!(append_two(&store, &s, &head, 1), Err(StoreErrorKind::OutcomeUnknown));
    assert_eq!(load(&store, &s).unwrap_err(), StoreErrorKind::Unavailable);
    assert_eq!(append_two(&store, &s, &head, 2), Err(StoreErrorKind::Unavailable));
    let error = block_on(store.reopen()).unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error}");

    log.fail(None);
    block_on(store.reopen()).unwrap();
    let loaded = stored(&store, &s);
    append_two(&store, &s, &loaded.head, 3).unwrap();
}

#[test]
fn when_the_disk_works_again_the_store_comes_back_by_itself() {
    let disks = Disks::default();
    let store = disks.reopenable(&small());
    let (s, log) = (id("s"), disks.log.disk());
    block_on(create(&store, &s, &["a"]));
    let fail = || {
        let head = stored(&store, &s).head;
        log.fail(Some(Failure::from(log.counts().operations + 1)));
        // The second one finds a store that cannot be opened again.
        for round in [1, 2] {
            assert!(append_two(&store, &s, &head, round).is_err());
        }
        log.fail(None);
    };
    // It tries again after a while, with a read as with a write.
    fail();
    stored(&store, &s);
    fail();
    until("the store", || {
        let touched = block_on(store.touch(&s, 9));
        touched.map_err(|error| assert_eq!(error.kind(), StoreErrorKind::Unavailable)).is_ok()
    });
    assert_eq!(bodies(&stored(&store, &s).tail)[0], "a");
}

/// As if the disk of the file were full: it cannot grow, and can still be read.
#[test]
fn while_the_file_cannot_be_written_the_log_takes_changes_until_it_is_full() {
    let disks = Disks::default();
    let builder = small().log_bytes(256 << 10);
    let store = disks.reopenable(&builder);
    let (s, file) = (id("s"), &disks.file);
    let mut head = block_on(create(&store, &s, &["first"]));
    let body = "y".repeat(5_000);
    let append = |head: &Head| block_on(store.commit(&s, commit(head.expect(), appends(&[&body]))));
    file.fail(Some(Failure::from(file.counts().operations + 1).how(How::NoSpace)));
    let mut taken = 0;
    let error = loop {
        match append(&head) {
            Ok(CommitOutcome::Committed(next)) => head = next,
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
        taken += 1;
        assert!(taken < 100, "the log has no end");
    };
    assert!(taken > 10, "only {taken} changes were taken");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    // Everything acknowledged is stored, here and after a power loss.
    file.fail(None);
    assert_eq!(stored(&store, &s).head, head);
    assert_eq!(stored(&disks.after_power_loss().open_with(&builder), &s).head, head);
    until("a write", || match append(&head) {
        Ok(CommitOutcome::Committed(next)) => {
            head = next;
            true
        }
        Ok(other) => panic!("{other:?}"),
        Err(error) => {
            assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
            false
        }
    });
    assert!(block_on(store.verify(|_| {})).unwrap().damage.is_empty());
}

#[test]
fn without_room_for_another_segment_of_the_log_changes_are_refused_and_nothing_is_reopened() {
    let disks = Disks::default();
    // Of 64 KiB each.
    let store = disks.reopenable(&small());
    let s = id("s");
    let mut head = block_on(create(&store, &s, &["first"]));
    let body = "y".repeat(5_000);
    disks.log.limit(Some(100 << 10));
    let mut refused = None;
    for _ in 0..40 {
        match block_on(store.commit(&s, commit(head.expect(), appends(&[&body])))) {
            Ok(CommitOutcome::Committed(next)) => head = next,
            Ok(other) => panic!("{other:?}"),
            Err(error) => refused = Some(error),
        }
    }
    let error = refused.expect("the disk was never full");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(error.to_string().contains("the log has no room for the change"), "{error}");
    assert_eq!(stored(&store, &s).head, head);
    assert_eq!(store.stats().reopened, 0);
    disks.log.limit(None);
    append_two(&store, &s, &head, 1).unwrap();
}

#[test]
fn a_store_on_a_full_disk_opens_and_is_read() {
    let disks = Disks::default();
    let s = id("s");
    let store = disks.open();
    block_on(create(&store, &s, &["first"]));
    block_on(store.close()).unwrap();
    // Beside the old segment of 64 KiB there is no room for another.
    disks.log.limit(Some(100 << 10));
    let store = disks.open();
    disks.log.limit(Some(40 << 10));
    let mut head = append_two(&store, &s, &stored(&store, &s).head, 1).unwrap();
    let body = "y".repeat(5_000);
    let mut refused = 0;
    for _ in 0..5 {
        match block_on(store.commit(&s, commit(head.expect(), appends(&[&body])))) {
            Ok(CommitOutcome::Committed(next)) => head = next,
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "the disk was never full");
    assert_eq!(stored(&store, &s).head, head);
    disks.log.limit(None);
    append_two(&store, &s, &head, 2).unwrap();
}

#[test]
fn a_compaction_that_the_disk_stops_does_not_deny_that_the_store_is_open_again() {
    let disks = Disks::default();
    let store = disks.reopenable(&small());
    let (s, file) = (id("s"), &disks.file);
    block_on(create(&store, &s, &["a"]));
    let mut stopped = 0;
    // The n-th operation of the compaction fails once. The append before it is in the log.
    for n in 1..40 {
        let head = stored(&store, &s).head;
        append_two(&store, &s, &head, n).unwrap();
        let before = stored(&store, &s);
        file.fail(Some(Failure::once(file.counts().operations + n)));
        let compacted = block_on(store.compact());
        file.fail(None);
        assert_eq!(stored(&store, &s), before, "operation {n}");
        if let Err(error) = compacted {
            let text = error.to_string();
            assert_eq!(error.kind(), StoreErrorKind::Unavailable, "operation {n}: {text}");
            assert!(!text.contains("the store again failed"), "operation {n}: {text}");
            stopped += 1;
        }
    }
    assert!(stopped > 5, "{stopped} stopped");
    until("a compaction", || block_on(store.compact()).is_ok());
}

/// The log can be opened again, and the database over the same backend.
#[test]
fn a_store_on_a_backend_survives_single_failures_and_stays_closed_after_others() {
    let disks = Disks::default();
    let store = disks.open();
    let (s, log) = (id("s"), disks.log.disk());
    let head = block_on(create(&store, &s, &["a"]));
    // A reopening that is not possible changes nothing.
    assert!(matches!(block_on(store.reopen()), Err(OpenError::HostMustReopen)));
    assert_eq!(bodies(&stored(&store, &s).tail), ["a"]);

    log.fail(Some(Failure::once(log.counts().operations + 1)));
    assert_eq!(append_two(&store, &s, &head, 1), Err(StoreErrorKind::OutcomeUnknown));
    let head = append_two(&store, &s, &stored(&store, &s).head, 2).unwrap();

    log.fail(Some(Failure::from(log.counts().operations + 1)));
    assert!(append_two(&store, &s, &head, 3).is_err());
    let error = block_on(store.load(&s, ALL)).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    log.fail(None);
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    assert!(append_two(&store, &s, &head, 4).is_err());
    assert!(matches!(block_on(store.reopen()), Err(OpenError::HostMustReopen)));
    block_on(store.close()).unwrap();

    let store = disks.after_power_loss().open();
    assert_eq!(stored(&store, &s).tail[0].body, "a");
}

#[test]
fn a_failing_read_is_an_error_and_the_store_recovers() {
    let disks = Disks::default();
    let s = id("s");
    let store = disks.open();
    block_on(create(&store, &s, &["a"]));
    block_on(store.close()).unwrap();
    // With hardly any cache, reads go to the disk.
    let store = disks.reopenable(&small().cache_bytes(0));
    until("the verification", || !store.stats().verifying);
    disks.file.fail_reads(true);
    assert_eq!(load(&store, &s).unwrap_err(), StoreErrorKind::Unavailable);
    disks.file.fail_reads(false);
    // The writer opens the storage again on its own, without any write.
    assert_eq!(bodies(&stored(&store, &s).tail), ["a"]);
}
