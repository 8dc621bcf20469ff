//! S8: appending to a long session costs what appending to a short one does, in one database file.
#![allow(clippy::unwrap_used, clippy::panic)] // Clippy knows tests, but not their helpers.

#[allow(dead_code)]
#[path = "store/support.rs"]
mod support;

use durable_session::SessionId;
use durable_session::store::{Expect, Order, ReadQuery, SessionStore, TailBounds, Version};
use durable_session_redb::RedbStore;
use futures_executor::block_on;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use support::{append, appends, commit, committed, create, id};
use torture_disk::Disk;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const LONG: usize = 100_000;
const SHORT: usize = 10;
/// How much more than the short session's cost is taken for the same.
const PERCENT: u64 = 110;

fn text(n: usize) -> String {
    format!("{n:06} {}", "x".repeat(200))
}

fn fill(store: &RedbStore, session: &SessionId, messages: usize) -> Version {
    let mut version = block_on(create(store, session, &[])).version;
    for chunk in (0..messages).collect::<Vec<_>>().chunks(1000) {
        let texts: Vec<String> = chunk.iter().map(|&n| text(n)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        version =
            committed(block_on(store.commit(session, commit(Expect::Version(version), appends(&texts)))))
                .version;
    }
    version
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
    /// What `work` costs.
    fn add(&mut self, disk: &Disk, work: impl FnOnce()) {
        let (before, region) = (disk.counts(), Region::new(ALLOCATOR));
        work();
        let (after, allocated) = (disk.counts(), region.change());
        self.bytes_written += after.bytes_written - before.bytes_written;
        self.writes += after.writes - before.writes;
        self.reads += after.reads - before.reads;
        self.bytes_read += after.bytes_read - before.bytes_read;
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
        for (what, long, short) in pairs {
            println!("{what}: {long} for {LONG} messages, {short} for {SHORT}");
            // Without a cache a page more or less is chance, over many calls.
            let chance = if what.starts_with("bytes") { 8192 } else { 2 };
            assert!(
                long <= short * percent / 100 + chance,
                "{what}: {long} for {LONG} messages, {short} for {SHORT}"
            );
        }
    }
}

/// One test, so that nothing else allocates meanwhile.
#[test]
fn the_length_of_a_session_does_not_show_in_the_cost_of_appends_loads_and_reads() {
    let disk = Disk::default();
    let store = RedbStore::builder().open_backend(disk.backend()).unwrap();
    // On both sides of the long session, so that no place in the table is favoured.
    let (short_before, long, short_after) = (id("short-1"), id("long"), id("short-2"));
    let sessions = [(&short_before, SHORT), (&long, LONG), (&short_after, SHORT)];
    let versions = sessions.map(|(session, messages)| fill(&store, session, messages));
    block_on(store.close()).unwrap();

    for cache_bytes in [256 << 20, 0] {
        println!("with a cache of {cache_bytes} bytes");
        let backend = disk.after_power_loss();
        // Opening is not what is measured, and what it reads must not be.
        let builder = RedbStore::builder().cache_bytes(cache_bytes).verify_on_open(false);
        let store = builder.open_backend(backend.backend()).unwrap();
        let mut versions = versions;
        let mut appending = [(); 3].map(|()| Cost::default());
        for round in 0..60 {
            for (n, (session, _)) in sessions.iter().enumerate() {
                let body = text(round);
                appending[n].add(&backend, || {
                    versions[n] = block_on(append(&store, session, versions[n], &[&body])).version;
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
                looking[n].add(&backend, || {
                    let tail = TailBounds { max_messages: SHORT, max_bytes: u64::MAX };
                    let loaded = block_on(store.load(session, tail)).unwrap().unwrap();
                    let page = ReadQuery {
                        first: loaded.head.next_seq / 2,
                        last: loaded.head.next_seq,
                        order: Order::Forward,
                        max_messages: SHORT,
                        max_bytes: u64::MAX,
                    };
                    assert_eq!(loaded.tail.len(), SHORT);
                    assert_eq!(block_on(store.read(session, page)).unwrap().unwrap().rows.len(), SHORT);
                });
            }
        }
        println!("loading and reading");
        let [before, long_cost, after] = &looking;
        long_cost.is_at_most(PERCENT, if before.reads > after.reads { before } else { after });
    }
}
