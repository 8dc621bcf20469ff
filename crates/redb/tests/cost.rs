//! S8: a call on a long session costs as much as on a short one, in the same database file.
#![allow(clippy::unwrap_used, clippy::panic)] // Clippy knows tests, but not their helpers.

#[allow(dead_code)]
#[path = "store/support.rs"]
mod support;

use durable_session::SessionId;
use durable_session::store::{Head, LoadQuery, ReadQuery, SessionStore, TailBounds};
use durable_session_redb::{OpenCheck, RedbStore};
use futures_executor::block_on;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use support::{Disks, append, appends, commit, committed, create, id, small};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const LONG: usize = 100_000;
const SHORT: usize = 10;
/// Up to this percentage of the short session's cost counts as the same cost.
const PERCENT: u64 = 110;

fn text(n: usize) -> String {
    format!("{n:06} {}", "x".repeat(200))
}

fn fill(store: &RedbStore, session: &SessionId, messages: usize) -> Head {
    let mut head = block_on(create(store, session, &[]));
    for chunk in (0..messages).collect::<Vec<_>>().chunks(1000) {
        let texts: Vec<String> = chunk.iter().map(|&n| text(n)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        head = committed(block_on(store.commit(session, commit(head.expect(), appends(&texts)))));
    }
    head
}

#[derive(Debug, Default)]
struct Cost {
    bytes_written: u64,
    writes: u64,
    reads: u64,
    bytes_read: u64,
    allocations: usize,
    bytes_allocated: usize,
}

impl Cost {
    /// Adds the cost of `work`.
    fn add(&mut self, disks: &Disks, work: impl FnOnce()) {
        let counts = || [disks.file.counts(), disks.log.disk().counts()];
        let (before, region) = (counts(), Region::new(ALLOCATOR));
        work();
        let (after, allocated) = (counts(), region.change());
        for (after, before) in after.iter().zip(before) {
            self.bytes_written += after.bytes_written - before.bytes_written;
            self.writes += after.writes - before.writes;
            self.reads += after.reads - before.reads;
            self.bytes_read += after.bytes_read - before.bytes_read;
        }
        self.allocations += allocated.allocations;
        self.bytes_allocated += allocated.bytes_allocated;
    }

    fn is_at_most(&self, percent: u64, other: &Self) {
        let pairs = [
            ("bytes written", self.bytes_written, other.bytes_written),
            ("writes", self.writes, other.writes),
            ("reads", self.reads, other.reads),
            ("bytes read", self.bytes_read, other.bytes_read),
            ("allocations", self.allocations as u64, other.allocations as u64),
            ("bytes allocated", self.bytes_allocated as u64, other.bytes_allocated as u64),
        ];
        for (quantity, long, short) in pairs {
            println!("{quantity}: {long} for {LONG} messages, {short} for {SHORT}");
            // Without a cache, a page more or less over many calls is chance.
            let chance = if quantity.starts_with("bytes") { 8192 } else { 2 };
            assert!(
                long <= short * percent / 100 + chance,
                "{quantity}: {long} for {LONG} messages, {short} for {SHORT}"
            );
        }
    }
}

/// One test, so that nothing else allocates meanwhile.
#[test]
fn appends_loads_and_reads_cost_the_same_in_a_long_session() {
    let disks = Disks::default();
    let store = disks.open();
    // Short sessions before and after the long one, so that no place in the table is favoured.
    let (short_before, long, short_after) = (id("short-1"), id("long"), id("short-2"));
    let sessions = [(&short_before, SHORT), (&long, LONG), (&short_after, SHORT)];
    let heads = sessions.map(|(session, messages)| fill(&store, session, messages));
    block_on(store.close()).unwrap();

    for cache_bytes in [256 << 20, 0] {
        println!("with a cache of {cache_bytes} bytes");
        let disks = disks.after_power_loss();
        // The measurement leaves out opening and verifying.
        let store = disks.open_with(&small().cache_bytes(cache_bytes).check(OpenCheck::Skip));
        let mut heads = heads;
        let mut appending = [(); 3].map(|()| Cost::default());
        for round in 0..60 {
            for (n, (session, _)) in sessions.iter().enumerate() {
                let body = text(round);
                appending[n].add(&disks, || {
                    heads[n] = block_on(append(&store, session, heads[n], &[&body]));
                });
            }
        }
        println!("appending");
        let [before, long_cost, after] = &appending;
        let short = Cost {
            bytes_written: before.bytes_written.max(after.bytes_written),
            writes: before.writes.max(after.writes),
            reads: before.reads.max(after.reads),
            bytes_read: before.bytes_read.max(after.bytes_read),
            allocations: before.allocations.max(after.allocations),
            bytes_allocated: before.bytes_allocated.max(after.bytes_allocated),
        };
        long_cost.is_at_most(PERCENT, &short);

        let mut looking = [(); 3].map(|()| Cost::default());
        for _ in 0..20 {
            for (n, (session, _)) in sessions.iter().enumerate() {
                looking[n].add(&disks, || {
                    let tail = LoadQuery::new(TailBounds::new(SHORT, u64::MAX));
                    let loaded = block_on(store.load(session, tail)).unwrap().loaded().unwrap();
                    let middle = loaded.head.next_seq / 2;
                    let page = ReadQuery::forward(middle, loaded.head.next_seq).max_messages(SHORT);
                    assert_eq!(loaded.tail.len(), SHORT);
                    assert_eq!(
                        block_on(store.read(session, page)).unwrap().unwrap().rows.len(),
                        SHORT
                    );
                });
            }
        }
        println!("loading and reading");
        let [before, long_cost, after] = &looking;
        long_cost.is_at_most(PERCENT, if before.reads > after.reads { before } else { after });
    }
}
