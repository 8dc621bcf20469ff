//! What a store tells about itself.

use crate::engine::Counters;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a store has done since it was opened, and how much waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Commits that changed a session.
    pub commits: u64,
    /// Commits, touches and deletes taken from the queue, whatever became of them.
    pub changes: u64,
    /// Transactions that were made durable, each for one or more changes.
    pub transactions: u64,
    /// The most changes in one transaction.
    pub largest_batch: u64,
    /// Loads, reads, salvages and listings.
    pub reads: u64,
    /// How often the file was opened again, after an I/O error or on request.
    pub reopened: u64,
    /// Changes that wait for the writer now.
    pub queue_depth: usize,
    /// Messages that are in a log and not yet among the rows.
    pub logged: usize,
}

impl Stats {
    pub(crate) fn of(counters: &Counters, queue_depth: usize, logged: usize) -> Self {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Self {
            commits: get(&counters.commits),
            changes: get(&counters.changes),
            transactions: get(&counters.transactions),
            largest_batch: get(&counters.largest_batch),
            reads: get(&counters.reads),
            reopened: get(&counters.reopened),
            queue_depth,
            logged,
        }
    }
}
