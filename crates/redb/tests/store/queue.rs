//! Accepting, waiting, giving up.

use crate::support::{ALL, appends, bodies, commit, create, id};
use durable_session::store::{Expect, SessionStore, StoreErrorKind};
use durable_session_redb::RedbStore;
use futures_executor::block_on;
use futures_util::FutureExt;
use std::time::Duration;
use torture_disk::Disk;

const ABSENT: Expect = Expect::Absent { created_at: 1 };

/// Waits until the writer thread has taken what was in the queue and hangs in its sync.
fn until_the_queue_is_empty(store: &RedbStore) {
    while store.stats().queue_depth > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn a_commit_that_was_never_polled_changes_nothing() {
    let store = RedbStore::builder().open_backend(Disk::default().backend()).unwrap();
    let s = id("s");
    drop(store.commit(&s, commit(ABSENT, appends(&["a"]))));
    block_on(create(&store, &id("t"), &["b"]));
    assert!(block_on(store.load(&s, ALL)).unwrap().is_none());
    assert_eq!(store.stats().changes, 1);
}

#[test]
fn an_accepted_commit_finishes_though_its_caller_is_gone() {
    let disk = Disk::default();
    let store = RedbStore::builder().open_backend(disk.backend()).unwrap();
    let s = id("s");
    disk.close_gate();
    let mut pending = Box::pin(store.commit(&s, commit(ABSENT, appends(&["a"]))));
    assert!((&mut pending).now_or_never().is_none());
    drop(pending);
    disk.open_gate();
    // The next commit is behind it.
    block_on(create(&store, &id("t"), &["b"]));
    assert_eq!(bodies(&block_on(store.load(&s, ALL)).unwrap().unwrap().tail), ["a"]);
}

#[test]
fn dropping_the_last_handle_finishes_what_was_accepted() {
    let disk = Disk::default();
    let store = RedbStore::builder().open_backend(disk.backend()).unwrap();
    disk.close_gate();
    let s = id("s");
    for n in 0..3 {
        let session = id(&format!("s-{n}"));
        assert!(store.commit(&session, commit(ABSENT, appends(&["a"]))).now_or_never().is_none());
    }
    drop(store);
    disk.open_gate();
    let (done, end) = (id("s-2"), Duration::from_mins(1));
    let began = std::time::Instant::now();
    loop {
        let after = RedbStore::builder().open_backend(disk.after_power_loss().backend()).unwrap();
        if block_on(after.load(&done, ALL)).unwrap().is_some() {
            assert!(block_on(after.load(&s, ALL)).unwrap().is_none());
            return;
        }
        assert!(began.elapsed() < end, "the accepted commits were never made");
        std::thread::yield_now();
    }
}

#[test]
fn a_full_queue_makes_callers_wait_until_the_deadline_and_then_nothing_has_changed() {
    let disk = Disk::default();
    let store = RedbStore::builder()
        .queue_bounds(2, 1 << 20)
        .queue_deadline(Duration::from_millis(30))
        .open_backend(disk.backend())
        .unwrap();
    disk.close_gate();
    let new = |name: &str| {
        let (store, session) = (store.clone(), id(name));
        async move { store.commit(&session, commit(ABSENT, appends(&["a"]))).await }.boxed()
    };
    let mut writing = new("writing");
    assert!((&mut writing).now_or_never().is_none());
    until_the_queue_is_empty(&store);
    let mut queued = [new("waiting-1"), new("waiting-2")];
    for queued in &mut queued {
        assert!(queued.now_or_never().is_none());
    }
    assert_eq!(store.stats().queue_depth, 2);

    let error = block_on(new("late")).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert_eq!(error.session(), Some(&id("late")));
    let mut dropped = new("dropped");
    assert!((&mut dropped).now_or_never().is_none());
    drop(dropped);

    disk.open_gate();
    block_on(async {
        writing.await.unwrap();
        for queued in queued {
            queued.await.unwrap();
        }
        for absent in ["late", "dropped"] {
            assert!(store.load(&id(absent), ALL).await.unwrap().is_none(), "{absent}");
        }
        // There is room again.
        new("after").await.unwrap();
    });
}

#[test]
fn the_queue_is_bounded_in_bytes_too_and_takes_one_larger_request_alone() {
    let disk = Disk::default();
    let store = RedbStore::builder()
        .queue_bounds(100, 1000)
        .queue_deadline(Duration::from_millis(30))
        .open_backend(disk.backend())
        .unwrap();
    let big = "x".repeat(5000);
    block_on(create(&store, &id("large"), &[&big]));
    disk.close_gate();
    let new = |name: &str, bytes: usize| {
        let (store, session, body) = (store.clone(), id(name), "x".repeat(bytes));
        async move { store.commit(&session, commit(ABSENT, appends(&[&body]))).await }.boxed()
    };
    let mut writing = new("writing", 10);
    assert!((&mut writing).now_or_never().is_none());
    until_the_queue_is_empty(&store);
    let mut fits = new("fits", 600);
    assert!((&mut fits).now_or_never().is_none());
    let error = block_on(new("too-much", 600)).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    disk.open_gate();
    block_on(fits).unwrap();
}

#[test]
fn one_transaction_takes_no_more_than_its_bounds() {
    // By number, then by bytes: to the byte, and one that is larger alone.
    for (bounds, bytes, largest) in
        [((4, 1 << 20), 50, 4), ((100, 150), 50, 3), ((100, 149), 50, 2), ((100, 9), 50, 1)]
    {
        let disk = Disk::default();
        let store =
            RedbStore::builder().batch_bounds(bounds.0, bounds.1).open_backend(disk.backend()).unwrap();
        disk.close_gate();
        let new = |n: usize| {
            let (store, session, body) = (store.clone(), id(&format!("s-{n}")), "x".repeat(bytes));
            async move { store.commit(&session, commit(ABSENT, appends(&[&body]))).await }.boxed()
        };
        let mut calls = vec![new(0)];
        assert!((&mut calls[0]).now_or_never().is_none());
        until_the_queue_is_empty(&store);
        for n in 1..=10 {
            let mut queued = new(n);
            assert!((&mut queued).now_or_never().is_none());
            calls.push(queued);
        }
        disk.open_gate();
        for call in calls {
            block_on(call).unwrap();
        }
        let stats = store.stats();
        let transactions = 1 + 10_u64.div_ceil(largest);
        assert_eq!((stats.changes, stats.transactions, stats.largest_batch), (11, transactions, largest));
    }
}

#[test]
fn closing_ends_the_wait_of_those_who_were_not_accepted() {
    let disk = Disk::default();
    let store = RedbStore::builder().queue_bounds(1, 1 << 20).open_backend(disk.backend()).unwrap();
    disk.close_gate();
    let new = |name: &str| {
        let (store, session) = (store.clone(), id(name));
        async move { store.commit(&session, commit(ABSENT, appends(&["a"]))).await }.boxed()
    };
    let mut writing = new("writing");
    assert!((&mut writing).now_or_never().is_none());
    until_the_queue_is_empty(&store);
    let mut accepted = new("accepted");
    assert!((&mut accepted).now_or_never().is_none());
    let mut outside = new("outside");
    assert!((&mut outside).now_or_never().is_none());
    let mut closing = Box::pin(store.close());
    assert!((&mut closing).now_or_never().is_none());
    disk.open_gate();
    block_on(async {
        assert_eq!(outside.await.unwrap_err().kind(), StoreErrorKind::Closed);
        accepted.await.unwrap();
        closing.await.unwrap();
    });
    let after = RedbStore::builder().open_backend(disk.after_power_loss().backend()).unwrap();
    assert!(block_on(after.load(&id("accepted"), ALL)).unwrap().is_some());
    assert!(block_on(after.load(&id("outside"), ALL)).unwrap().is_none());
}

#[test]
fn reads_do_not_wait_for_a_commit_that_is_being_synced() {
    let disk = Disk::default();
    let store = RedbStore::builder().open_backend(disk.backend()).unwrap();
    let head = block_on(create(&store, &id("s"), &["a"]));
    disk.close_gate();
    let more = commit(Expect::Version(head.version), appends(&["b"]));
    let s = id("s");
    let mut writing = Box::pin(store.commit(&s, more));
    assert!((&mut writing).now_or_never().is_none());
    disk.wait_for_unsynced(usize::MAX);
    let loaded = block_on(store.load(&id("s"), ALL)).unwrap().unwrap();
    assert_eq!(loaded.head, head, "what is not durable yet is not shown");
    disk.open_gate();
    block_on(writing).unwrap();
    assert_eq!(block_on(store.load(&id("s"), ALL)).unwrap().unwrap().tail.len(), 2);
}
