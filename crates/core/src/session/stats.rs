//! Counts of the work of a [`ChatSessions`](crate::ChatSessions).

use super::machine::{Answer, Done, StoreCall};
use crate::store::{CommitOutcome, LoadOutcome};
use crate::sync::{AtomicU64, Ordering};

/// Counts since the [`ChatSessions`](crate::ChatSessions) was built, and a few levels at this
/// moment.
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
    /// Questions to a shared store whether a session has changed.
    pub questions: u64,
    /// Questions that the store answered with *unchanged*.
    pub unchanged: u64,
    /// Loads, commits, deletes and questions that failed.
    pub failures: u64,
    /// Sessions dropped from memory to keep its bounds.
    pub evictions: u64,
    /// Touches written.
    pub touches: u64,
    /// Replies ended as interrupted, because their producers were gone.
    pub interruptions: u64,
    /// Live sessions now.
    pub live_sessions: u64,
    /// Bytes of live sessions now.
    pub live_bytes: u64,
    /// Sessions that somebody holds a handle to, or that are live, now.
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
    questions: AtomicU64,
    unchanged: AtomicU64,
    failures: AtomicU64,
    evictions: AtomicU64,
    touches: AtomicU64,
    interruptions: AtomicU64,
}

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Counters {
    /// A call is sent to the store.
    pub(crate) fn sent(&self, call: &StoreCall) {
        if let StoreCall::Commit(_, calls) = call {
            add(&self.calls, *calls);
            self.largest_batch.fetch_max(*calls, Ordering::Relaxed);
        }
    }

    /// The store has answered.
    pub(crate) fn answered(&self, answer: &Answer) {
        match answer {
            Answer::Main(Ok(Done::Loaded(_))) => add(&self.loads, 1),
            Answer::Main(Ok(Done::Committed(CommitOutcome::Committed(_)))) => add(&self.commits, 1),
            Answer::Main(Ok(Done::Committed(CommitOutcome::Conflict { .. }))) => {
                add(&self.conflicts, 1);
            }
            Answer::Asked(Ok(outcome)) => {
                add(&self.questions, 1);
                add(&self.unchanged, u64::from(matches!(**outcome, LoadOutcome::Unchanged)));
            }
            Answer::Main(Err(_)) | Answer::Asked(Err(_)) => add(&self.failures, 1),
            Answer::Touched(Ok(())) => self.touch(),
            Answer::Main(Ok(Done::Committed(_) | Done::Deleted(_)))
            | Answer::Touched(Err(_))
            | Answer::Extended(..)
            | Answer::Made(..) => {}
        }
    }

    pub(crate) fn eviction(&self) {
        add(&self.evictions, 1);
    }

    pub(crate) fn interrupted(&self, replies: u64) {
        add(&self.interruptions, replies);
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
            questions: get(&self.questions),
            unchanged: get(&self.unchanged),
            failures: get(&self.failures),
            evictions: get(&self.evictions),
            touches: get(&self.touches),
            interruptions: get(&self.interruptions),
            ..Stats::default()
        }
    }
}
