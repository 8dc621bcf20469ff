//! What a [`ChatSessions`](crate::ChatSessions) has done, in numbers.

use crate::sync::{AtomicU64, Ordering};

/// Counts since the [`ChatSessions`](crate::ChatSessions) was built, and a few levels at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Commits that became durable.
    pub commits: u64,
    /// Calls that were in commits sent to the store: `calls / commits` is the batch size.
    pub calls: u64,
    /// The most calls in one commit.
    pub largest_batch: u64,
    /// Commits that another writer came before.
    pub conflicts: u64,
    /// Loads of a session's head and tail.
    pub loads: u64,
    /// Loads, commits and deletes that failed.
    pub failures: u64,
    /// Sessions dropped from memory to keep its bounds.
    pub evictions: u64,
    /// Touches written.
    pub touches: u64,
    /// Live sessions now.
    pub live_sessions: u64,
    /// Bytes of live sessions now.
    pub live_bytes: u64,
    /// Slots now: sessions that somebody holds a handle to, or that are live.
    pub slots: u64,
    /// Calls that wait for a commit now.
    pub queue_depth: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    commits: AtomicU64,
    calls: AtomicU64,
    largest_batch: AtomicU64,
    conflicts: AtomicU64,
    loads: AtomicU64,
    failures: AtomicU64,
    evictions: AtomicU64,
    touches: AtomicU64,
}

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Counters {
    pub(crate) fn batch(&self, calls: u64) {
        add(&self.calls, calls);
        self.largest_batch.fetch_max(calls, Ordering::Relaxed);
    }

    pub(crate) fn commit(&self) {
        add(&self.commits, 1);
    }

    pub(crate) fn conflict(&self) {
        add(&self.conflicts, 1);
    }

    pub(crate) fn load(&self) {
        add(&self.loads, 1);
    }

    pub(crate) fn failure(&self) {
        add(&self.failures, 1);
    }

    pub(crate) fn eviction(&self) {
        add(&self.evictions, 1);
    }

    pub(crate) fn touch(&self) {
        add(&self.touches, 1);
    }

    pub(crate) fn read(&self) -> Stats {
        Stats {
            commits: get(&self.commits),
            calls: get(&self.calls),
            largest_batch: get(&self.largest_batch),
            conflicts: get(&self.conflicts),
            loads: get(&self.loads),
            failures: get(&self.failures),
            evictions: get(&self.evictions),
            touches: get(&self.touches),
            ..Stats::default()
        }
    }
}
