//! The queue: accepting writes, waiting for room, and the deadline.

use crate::support::{ALL, Disks, appends, commit, create, id, small};
use durable_session::store::{Expect, SessionStore, StoreErrorKind};
use durable_session_redb::RedbStore;
use futures_executor::block_on;
use futures_util::FutureExt;
use std::time::Duration;

const ABSENT: Expect = Expect::absent(1);

/// Waits until the writer has taken all requests, to hang in its sync.
fn until_the_queue_is_empty(store: &RedbStore) {
    while store.stats().queue_depth > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn dropping_the_last_handle_finishes_what_was_accepted() {
    let disks = Disks::default();
    let store = disks.open();
    disks.log.disk().close_gate();
    let s = id("s");
    for n in 0..3 {
        let session = id(&format!("s-{n}"));
        assert!(store.commit(&session, commit(ABSENT, appends(&["a"]))).now_or_never().is_none());
    }
    drop(store);
    disks.log.disk().open_gate();
    let (done, end) = (id("s-2"), Duration::from_mins(1));
    let began = std::time::Instant::now();
    loop {
        let after = disks.after_power_loss().open();
        if block_on(after.load(&done, ALL)).unwrap().loaded().is_some() {
            assert!(block_on(after.load(&s, ALL)).unwrap().loaded().is_none());
            return;
        }
        assert!(began.elapsed() < end, "the accepted commits were never made");
        std::thread::yield_now();
    }
}

#[test]
fn a_caller_of_a_full_queue_fails_at_the_deadline_and_changes_nothing() {
    let disks = Disks::default();
    let builder = small().queue_bounds(2, 1 << 20).queue_deadline(Duration::from_millis(30));
    let store = disks.open_with(&builder);
    disks.log.disk().close_gate();
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

    disks.log.disk().open_gate();
    block_on(async {
        writing.await.unwrap();
        for queued in queued {
            queued.await.unwrap();
        }
        for absent in ["late", "dropped"] {
            assert!(store.load(&id(absent), ALL).await.unwrap().loaded().is_none(), "{absent}");
        }
        // There is room again.
        new("after").await.unwrap();
    });
}

#[test]
fn the_queue_is_bounded_in_bytes_too_and_takes_one_larger_request_alone() {
    let disks = Disks::default();
    let builder = small().queue_bounds(100, 1000).queue_deadline(Duration::from_millis(30));
    let store = disks.open_with(&builder);
    let big = "x".repeat(5000);
    block_on(create(&store, &id("large"), &[&big]));
    disks.log.disk().close_gate();
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
    disks.log.disk().open_gate();
    block_on(fits).unwrap();
}

#[test]
fn one_batch_takes_no_more_than_its_bounds() {
    // Bounds by number, then by bytes: an exact fit, one byte less, and a larger request alone.
    for (bounds, bytes, largest) in
        [((4, 1 << 20), 50, 4), ((100, 150), 50, 3), ((100, 149), 50, 2), ((100, 9), 50, 1)]
    {
        let disks = Disks::default();
        let builder = small().batch_bounds(bounds.0, bounds.1);
        let store = disks.open_with(&builder);
        disks.log.disk().close_gate();
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
        disks.log.disk().open_gate();
        for call in calls {
            block_on(call).unwrap();
        }
        let stats = store.stats();
        let batches = 1 + 10_u64.div_ceil(largest);
        assert_eq!((stats.changes, stats.batches, stats.largest_batch), (11, batches, largest));
    }
}

#[test]
fn closing_ends_the_wait_of_callers_outside_the_queue() {
    let disks = Disks::default();
    let store = disks.open_with(&small().queue_bounds(1, 1 << 20));
    disks.log.disk().close_gate();
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
    disks.log.disk().open_gate();
    block_on(async {
        assert_eq!(outside.await.unwrap_err().kind(), StoreErrorKind::Closed);
        accepted.await.unwrap();
        closing.await.unwrap();
    });
    let after = disks.after_power_loss().open();
    assert!(block_on(after.load(&id("accepted"), ALL)).unwrap().loaded().is_some());
    assert!(block_on(after.load(&id("outside"), ALL)).unwrap().loaded().is_none());
}

#[test]
fn reads_do_not_wait_for_a_commit_that_is_being_synced() {
    let disks = Disks::default();
    let store = disks.open();
    let head = block_on(create(&store, &id("s"), &["a"]));
    disks.log.disk().close_gate();
    let more = commit(head.expect(), appends(&["b"]));
    let s = id("s");
    let mut writing = Box::pin(store.commit(&s, more));
    assert!((&mut writing).now_or_never().is_none());
    disks.log.disk().wait_for_unsynced(usize::MAX);
    let loaded = block_on(store.load(&id("s"), ALL)).unwrap().loaded().unwrap();
    assert_eq!(loaded.head, head, "what is not durable yet is not shown");
    disks.log.disk().open_gate();
    block_on(writing).unwrap();
    assert_eq!(block_on(store.load(&id("s"), ALL)).unwrap().loaded().unwrap().tail.len(), 2);
}
