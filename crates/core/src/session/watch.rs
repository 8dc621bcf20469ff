//! Telling watchers what was published.

use super::hub::Hub;
use super::slot::Slot;
use super::view::{Change, View};
use crate::store::Version;
use crate::sync::Arc;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::ops::Range;
use std::task::Poll;

/// How many changes a watcher may fall behind before it is told that it lags.
const KEPT: usize = 64;

/// How many replaced messages one change names; of more it only says that there was more.
const NAMED: usize = 64;

/// A published change of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionChange {
    /// The version after it; `None` if the session was deleted.
    pub version: Option<Version>,
    /// The seqs of the messages that were appended.
    pub appended: Range<u64>,
    /// The seqs of messages that were there before and were replaced in place, in order, each once.
    pub replaced: Vec<u64>,
    /// The app state was set.
    pub app_changed: bool,
    /// More happened than the other fields say: messages were removed, more than 64 were replaced,
    /// the session was deleted, or it is not known what others did. What was read before has to be
    /// read again.
    pub rewritten: bool,
}

/// What a [`Watcher`] is told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Watched {
    /// A change was published.
    Changed(SessionChange),
    /// The watcher was too slow: this many changes were dropped before the next one it will be told.
    Lagged {
        /// How many.
        missed: u64,
    },
}

/// Follows the published changes of one session, from the moment it was made.
///
/// It sees what its own [`ChatSessions`](crate::ChatSessions) publishes, and changes by others when that next reads them.
/// It keeps the session's slot, not its messages, in memory.
pub struct Watcher {
    hub: Arc<Hub>,
    slot: Arc<Slot>,
    next: u64,
    key: Option<u64>,
}

impl Watcher {
    pub(crate) fn new(hub: &Arc<Hub>, slot: &Arc<Slot>) -> Self {
        let next = {
            let mut state = slot.lock();
            let published = state.published.clone();
            state.watch.join(published.as_deref())
        };
        Self { hub: Arc::clone(hub), slot: Arc::clone(slot), next, key: None }
    }

    /// Waits for the next change. Cancel-safe: dropping the future loses nothing.
    pub async fn next(&mut self) -> Watched {
        poll_fn(|cx| {
            if let Some(watched) = self.take() {
                return Poll::Ready(watched);
            }
            self.slot.lock().wait(&mut self.key, cx.waker());
            self.slot.drive(&self.hub);
            self.take().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// The next change, if there is one already.
    pub(super) fn take(&mut self) -> Option<Watched> {
        self.slot.lock().watch.take(&mut self.next)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let others = {
            let mut state = self.slot.lock();
            state.watch.leave();
            self.key.map(|key| state.leave(key))
        };
        if let Some(others) = others {
            others.wake();
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher")
            .field("session", &self.slot.id)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// What was last published, kept while the state itself is not in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    version: Option<Version>,
    base: Version,
    next_seq: u64,
}

impl Seen {
    fn of(view: &View) -> Self {
        Self { version: view.version(), base: view.head.base, next_seq: view.head.next_seq }
    }
}

/// A slot's watchers and the changes that they may not have seen yet.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    watchers: usize,
    changes: VecDeque<SessionChange>,
    /// How many changes there were in all.
    count: u64,
    seen: Option<Seen>,
}

impl Watch {
    fn join(&mut self, published: Option<&View>) -> u64 {
        if self.watchers == 0 {
            self.seen = published.map(Seen::of);
        }
        self.watchers += 1;
        self.count
    }

    fn leave(&mut self) {
        self.watchers -= 1;
        if self.watchers == 0 {
            self.changes = VecDeque::new();
            self.seen = None;
        }
    }

    fn take(&mut self, next: &mut u64) -> Option<Watched> {
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

    /// A commit of this hub was published, which led to `after`; it appended from seq `first` on.
    pub(crate) fn published(&mut self, first: u64, after: &View, changes: &[Change]) {
        let mut told = SessionChange {
            version: after.version(),
            appended: first..after.head.next_seq,
            replaced: Vec::new(),
            app_changed: false,
            rewritten: false,
        };
        for change in changes {
            match change {
                Change::Append { .. } => {}
                // What was appended just before is told as it is now.
                Change::Replace { seq, .. } if *seq >= first => {}
                Change::Replace { seq, .. } => told.replaced.push(*seq),
                Change::Remove { .. } => told.rewritten = true,
                Change::SetApp(_) => told.app_changed = true,
            }
        }
        told.replaced.sort_unstable();
        told.replaced.dedup();
        if told.rewritten || told.replaced.len() > NAMED {
            told.rewritten = true;
            told.replaced = Vec::new();
        }
        self.seen = Some(Seen::of(after));
        self.tell(told);
    }

    /// The state was loaded: whatever differs from what was last seen is others' work.
    pub(crate) fn loaded(&mut self, view: &View) {
        let now = Seen::of(view);
        match self.seen {
            Some(seen) if seen.version != now.version => {
                let grew = seen.version.is_some() && seen.base == now.base && seen.next_seq <= now.next_seq;
                let appended = if grew { seen.next_seq..now.next_seq } else { 0..0 };
                self.seen = Some(now);
                self.tell_others(now.version, appended, !grew);
            }
            _ => self.seen = Some(now),
        }
    }

    pub(crate) fn deleted(&mut self) {
        self.seen = None;
        self.tell_others(None, 0..0, true);
    }

    fn tell_others(&mut self, version: Option<Version>, appended: Range<u64>, rewritten: bool) {
        let (replaced, app_changed) = (Vec::new(), false);
        self.tell(SessionChange { version, appended, replaced, app_changed, rewritten });
    }

    fn tell(&mut self, change: SessionChange) {
        if self.watchers == 0 {
            return;
        }
        if self.changes.len() == KEPT {
            self.changes.pop_front();
        }
        self.changes.push_back(change);
        self.count += 1;
    }
}
