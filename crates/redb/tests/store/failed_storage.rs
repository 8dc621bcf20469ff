//! Storage that fails while a store is made, flushed into, or only read.

use crate::support::{ALL, Disks, appends, commit, committed, create, id, tiny, until};
use durable_session::store::SessionStore;
use durable_session_redb::{OpenCheck, OpenError};
use futures_executor::block_on;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use testkit::disk::{Failure, How};

#[test]
fn making_a_store_on_a_failing_disk_is_an_io_error() {
    let mut refused = 0;
    for n in 1..40 {
        let disks = Disks::default();
        disks.file.fail(Some(Failure::once(n).how(How::NoSpace)));
        match disks.try_open(&tiny().check(OpenCheck::First)) {
            Err(OpenError::Io { .. }) => refused += 1,
            Err(other) => panic!("operation {n}: {other:?}"),
            Ok(_) => {}
        }
    }
    assert!(refused > 3);
}

/// The storage may have cached pages that never reached the disk.
#[test]
fn storage_of_a_host_is_asked_for_again_after_a_failed_sync() {
    for n in 1..8 {
        let disks = Disks::default();
        let (file, given) = (disks.file.clone(), Arc::new(AtomicU64::new(0)));
        let count = Arc::clone(&given);
        let factory = move || {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(file.backend_without_cache())
        };
        let store = tiny().open_storage(factory, disks.log.clone()).unwrap();
        let s = id("s");
        let mut head = block_on(create(&store, &s, &["first"]));
        until("the verification", || !store.stats().verifying);
        let asked = given.load(Ordering::SeqCst);
        disks.file.lose_on_failed_sync(0);
        disks.file.fail(Some(Failure::once(disks.file.counts().operations + n)));
        let flushed = store.stats().flushes;
        until("a flush after the failure", || {
            let ops = appends(&[&"x".repeat(500)]);
            // The log may be full while the storage is opened again.
            if let Ok(done) = block_on(store.commit(&s, commit(head.expect(), ops))) {
                head = committed(Ok(done));
            }
            store.stats().reopened > 0 && store.stats().flushes > flushed + 2
        });
        assert!(given.load(Ordering::SeqCst) > asked, "operation {n}");
        let after = disks.after_power_loss().open_with(&tiny().check(OpenCheck::First));
        let loaded = block_on(after.load(&s, ALL)).unwrap().loaded().unwrap();
        assert_eq!(loaded.tail.len() as u64, head.messages, "operation {n}");
    }
}

#[test]
fn a_store_that_is_only_read_is_not_written_after_a_failed_read() {
    let disks = Disks::default();
    let store = disks.open();
    let s = id("s");
    block_on(create(&store, &s, &["first"]));
    block_on(store.close()).unwrap();
    let file = disks.with_file(disks.file.bytes());
    let builder = tiny().cache_bytes(0);
    let store = builder.open_backend_read_only(file.file.backend(), file.log.clone()).unwrap();
    until("the verification", || !store.stats().verifying);
    // Only one read fails: those of the recovery, which may follow at once, succeed.
    file.file.fail_read_at(Some(file.file.counts().reads + 1));
    block_on(store.load(&s, ALL)).unwrap_err();
    until("the store", || {
        block_on(store.load(&s, ALL)).is_ok_and(|found| found.loaded().is_some())
    });
    assert_eq!((file.file.counts().operations, file.log.disk().counts().operations), (0, 0));
}
