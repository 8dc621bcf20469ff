//! Counters of a store.

use crate::shared_store::Counters;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since the store was opened, and the current sizes of its queue, log and memtable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Commits that changed a session.
    pub commits: u64,
    /// Commits, extensions, touches and deletes taken from the queue, failed ones included.
    pub changes: u64,
    /// Batches written to the log: one write and one sync each.
    pub batches: u64,
    /// The most changes in one batch.
    pub largest_batch: u64,
    /// Loads, reads of messages and of chunks, salvages and listings.
    pub reads: u64,
    /// Memtables that were moved to the tables.
    pub flushes: u64,
    /// Times that the store was opened again, after an I/O error or on request.
    pub reopened: u64,
    /// Batches at the end of the log that were dropped at opening because they were not written
    /// whole: their changes were not acknowledged.
    pub torn_batches: u64,
    /// Changes that wait for the writer.
    pub queue_depth: usize,
    /// Bytes of the log on the disk that hold changes which are not in the tables yet.
    pub log_bytes: u64,
    /// Bytes of memory of the memtables, about.
    pub memtable_bytes: usize,
    /// Whether the file is being verified in the background.
    pub verifying: bool,
}

impl Stats {
    pub(crate) fn of(counters: &Counters) -> Self {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Self {
            commits: get(&counters.commits),
            changes: get(&counters.changes),
            batches: get(&counters.batches),
            largest_batch: get(&counters.largest_batch),
            reads: get(&counters.reads),
            flushes: get(&counters.flushes),
            reopened: get(&counters.reopened),
            torn_batches: get(&counters.torn_batches),
            log_bytes: get(&counters.log_bytes),
            queue_depth: 0,
            memtable_bytes: 0,
            verifying: false,
        }
    }
}
