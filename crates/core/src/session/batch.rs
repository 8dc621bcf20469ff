//! Work waiting for the store, and who waits for it.

use super::view::{Change, LongView};
use crate::pages;
use crate::store::{CommitOutcome, DeleteIf, DeleteOutcome, Loaded, Op, StoreError, TailBounds};
use crate::sync::{Arc, AtomicU64, Mutex, Ordering};
use std::future::Future;
use std::pin::Pin;

/// How a piece of work ended, for each of its waiters.
#[derive(Clone)]
pub(crate) enum Outcome {
    /// It is durable.
    Done,
    /// This was loaded; what is more than is kept in memory is for those who waited.
    Loaded(LongView),
    /// It was not even tried, because what it stood on failed: stage it again.
    Retry,
    /// Another writer was first: stage it again, and count that.
    Conflict,
    /// A replaced message was not there. Nothing of the batch happened: whoever replaced it fails, others stage again.
    NoSuchSeq(u64),
    /// A delete was answered.
    Deleted(DeleteOutcome),
    /// The store failed.
    Failed(StoreError),
}

/// Shared by the waiters of one batch.
#[derive(Default)]
pub(crate) struct Ticket {
    outcome: Mutex<Option<Outcome>>,
    /// Callers that still want to know.
    waiting: AtomicU64,
}

impl Ticket {
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.outcome.lock().clone()
    }

    pub(crate) fn settle(&self, outcome: Outcome) {
        *self.outcome.lock() = Some(outcome);
    }

    pub(crate) fn join(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn leave(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0
    }
}

/// How much of a session is loaded, and how much of that stays in memory.
#[derive(Clone, Copy)]
pub(crate) struct Reach {
    pub(crate) read: TailBounds,
    pub(crate) keep: TailBounds,
}

impl Reach {
    /// What is loaded stays.
    pub(crate) fn tail(bounds: TailBounds) -> Self {
        Self { read: bounds, keep: bounds }
    }

    /// As much as is read in one go: all of most sessions, for a caller that wants all. Only the tail stays.
    pub(crate) fn whole(keep: TailBounds) -> Self {
        let read = TailBounds {
            max_messages: keep.max_messages.max(pages::PAGE_MESSAGES),
            max_bytes: keep.max_bytes.max(pages::PAGE_BYTES),
        };
        Self { read, keep }
    }

    /// Whether more is loaded than stays.
    pub(crate) fn reads_more(self) -> bool {
        self.read != self.keep
    }
}

/// What a batch wants of the store.
pub(crate) enum Work {
    Load(Reach),
    Commit { changes: Vec<Change>, bytes: u64, calls: u64 },
    Delete(DeleteIf),
}

/// A piece of work for the store, made whole or not at all.
pub(crate) struct Batch {
    pub(crate) ticket: Arc<Ticket>,
    pub(crate) work: Work,
    /// Nothing can be staged on top of it before it is done.
    pub(crate) sealed: bool,
}

impl Batch {
    pub(crate) fn new(work: Work) -> Self {
        let sealed = !matches!(work, Work::Commit { .. });
        Self { ticket: Arc::default(), work, sealed }
    }

    /// The changes it makes, in order.
    pub(crate) fn changes(&self) -> &[Change] {
        match &self.work {
            Work::Commit { changes, .. } => changes,
            Work::Load(_) | Work::Delete(_) => &[],
        }
    }

    /// Whether `ops` more operations of `more` bytes may join it.
    pub(crate) fn takes(&self, ops: usize, more: u64, max_ops: usize, max_bytes: u64) -> bool {
        match &self.work {
            Work::Commit { changes, bytes, .. } => {
                !self.sealed && changes.len() + ops <= max_ops && bytes + more <= max_bytes
            }
            Work::Load(_) | Work::Delete(_) => false,
        }
    }

    pub(crate) fn join(&mut self, more: impl IntoIterator<Item = Change>) {
        if let Work::Commit { changes, bytes, calls } = &mut self.work {
            for change in more {
                *bytes += change.bytes();
                changes.push(change);
            }
            *calls += 1;
        }
    }

    pub(crate) fn ops(&self) -> Vec<Op> {
        self.changes().iter().map(Change::op).collect()
    }
}

/// What the store answered.
pub(crate) enum Answer {
    Loaded(Result<Option<Loaded>, StoreError>, Reach),
    Committed(Result<CommitOutcome, StoreError>),
    Deleted(Result<DeleteOutcome, StoreError>),
}

pub(crate) type AnswerFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// The one batch that is with the store.
pub(crate) struct Flight {
    pub(crate) batch: Box<Batch>,
    /// Taken out while somebody polls it.
    pub(crate) future: Option<AnswerFuture>,
}
