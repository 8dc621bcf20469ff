//! The changes that a session's watchers may not have seen yet.

use crate::session::machine::SessionChange;
use std::collections::VecDeque;

/// How many changes a watcher may fall behind before it is told that it lags.
const KEPT: usize = 64;

/// The answer of a [`Watcher`](crate::Watcher).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Watched {
    /// A change was published.
    Changed(SessionChange),
    /// The watcher was too slow: this many changes were dropped before the next one it will be
    /// told.
    Lagged {
        /// How many.
        missed: u64,
    },
}

#[derive(Debug, Default)]
pub(crate) struct Ring {
    changes: VecDeque<SessionChange>,
    /// How many changes there were in all.
    count: u64,
}

impl Ring {
    /// The number of the next change.
    pub(crate) fn next(&self) -> u64 {
        self.count
    }

    pub(crate) fn push(&mut self, change: SessionChange) {
        if self.changes.len() == KEPT {
            self.changes.pop_front();
        }
        self.changes.push_back(change);
        self.count += 1;
    }

    /// The change with the number `next`, if it has happened; moves `next` on.
    pub(crate) fn take(&self, next: &mut u64) -> Option<Watched> {
        let oldest = self.count - self.changes.len() as u64;
        if *next < oldest {
            let missed = oldest - *next;
            *next = oldest;
            return Some(Watched::Lagged { missed });
        }
        let change = self.changes.get(usize::try_from(*next - oldest).ok()?)?.clone();
        *next += 1;
        Some(Watched::Changed(change))
    }

    /// Nobody watches any more.
    pub(crate) fn clear(&mut self) {
        self.changes = VecDeque::new();
    }
}
