//! Counters of a store.

use crate::shared::Shared;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since the store was opened, and the current size of its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Commits that changed a session.
    pub commits: u64,
    /// Commits, extensions, touches and deletes taken from the queue, failed ones included.
    pub changes: u64,
    /// Statements and transactions that made them. Appends that wait together are one statement.
    pub batches: u64,
    /// The most appends in one statement.
    pub largest_batch: u64,
    /// Loads, reads of messages and of chunks, salvages and listings.
    pub reads: u64,
    /// Changes whose outcome was unknown, since their connection ended before the answer.
    pub unknown_outcomes: u64,
    /// Connections that were made.
    pub connections: u64,
    /// Sessions of which listeners were told ([`Hints`](durable_session::store::Hints)).
    pub hints: u64,
    /// Changes that wait for a connection.
    pub queue_depth: usize,
}

/// The counters of [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) changes: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) largest_batch: AtomicU64,
    pub(crate) reads: AtomicU64,
    pub(crate) unknown_outcomes: AtomicU64,
    pub(crate) hints: AtomicU64,
}

pub(crate) fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}

impl Counters {
    /// Counts a statement or transaction that makes so many changes.
    pub(crate) fn batch(&self, changes: usize) {
        add(&self.batches, 1);
        self.largest_batch.fetch_max(changes as u64, Ordering::Relaxed);
    }
}

impl Stats {
    pub(crate) fn of(shared: &Shared) -> Self {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &shared.counters;
        Self {
            commits: get(&counters.commits),
            changes: get(&counters.changes),
            batches: get(&counters.batches),
            largest_batch: get(&counters.largest_batch),
            reads: get(&counters.reads),
            unknown_outcomes: get(&counters.unknown_outcomes),
            connections: get(&shared.connector.connections),
            hints: get(&counters.hints),
            queue_depth: shared.queue.depth(),
        }
    }
}
