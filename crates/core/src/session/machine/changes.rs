//! The one place that tells watchers.

use super::change::Change;
use super::view::View;
use crate::store::Version;
use std::ops::Range;

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
    /// The seqs of messages on which a reply was opened: new ones, which are also in `appended`,
    /// and ones that were opened again.
    pub opened: Vec<u64>,
    /// The seqs of messages that got their final content, because a reply ended. A removed message
    /// is not among them.
    pub closed: Vec<u64>,
    /// The app state was set.
    pub app_changed: bool,
    /// The labels were set (S11).
    pub labels_changed: bool,
    /// More happened than the other fields say: messages were removed, more than 64 were replaced,
    /// the session was deleted, or another writer's change is not known. Read the session again.
    pub rewritten: bool,
}

/// The state that watchers were last told of, kept while the state itself is not in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    version: Option<Version>,
    base: Version,
    closed: Version,
    next_seq: u64,
}

impl Seen {
    fn of(view: &View) -> Self {
        let head = &view.head;
        Self {
            version: view.version(),
            base: head.base,
            closed: head.closed,
            next_seq: head.next_seq,
        }
    }
}

/// The watchers of a session and the state that they know. Without watchers nothing is kept or
/// told.
#[derive(Debug, Default)]
pub(super) struct Changes {
    watchers: usize,
    seen: Option<Seen>,
}

impl Changes {
    /// One more watcher, from the state in memory on.
    pub(super) fn watch(&mut self, view: Option<&View>) {
        if self.watchers == 0 {
            self.seen = view.map(Seen::of);
        }
        self.watchers += 1;
    }

    pub(super) fn is_watched(&self) -> bool {
        self.watchers > 0
    }

    /// The version that watchers were last told of.
    pub(super) fn seen_version(&self) -> Option<Version> {
        self.seen?.version
    }

    /// One watcher less. Returns whether any is left.
    pub(super) fn unwatch(&mut self) -> bool {
        self.watchers -= 1;
        if self.watchers == 0 {
            self.seen = None;
        }
        self.watchers > 0
    }

    /// A commit of this registry is durable: `changes` led to `after`, appending from seq `first`
    /// on.
    pub(super) fn committed(
        &mut self,
        first: u64,
        after: &View,
        changes: &[Change],
    ) -> Option<SessionChange> {
        if self.watchers == 0 {
            return None;
        }
        let mut told = SessionChange {
            version: after.version(),
            appended: first..after.head.next_seq,
            replaced: Vec::new(),
            opened: Vec::new(),
            closed: Vec::new(),
            app_changed: false,
            labels_changed: false,
            rewritten: false,
        };
        let mut next_seq = first;
        for change in changes {
            match change {
                // The initial state that watchers knew is gone.
                Change::Begin(_) => (told.rewritten, told.appended.start) = (true, 1),
                Change::Append { .. } => {}
                Change::Open(open) => told.opened.push(open.seq.unwrap_or(next_seq)),
                Change::Close(close) => told.closed.push(close.seq),
                // The watcher is told of a message that this commit appended as it is now.
                Change::Replace { seq, .. } if *seq >= first => {}
                Change::Replace { seq, .. } => told.replaced.push(*seq),
                Change::Remove { .. } => told.rewritten = true,
                Change::SetApp(_) => told.app_changed = true,
                Change::SetLabels(_) => told.labels_changed = true,
            }
            next_seq += u64::from(change.appends());
        }
        told.replaced.sort_unstable();
        told.replaced.dedup();
        if told.rewritten || told.replaced.len() > NAMED {
            told.rewritten = true;
            told.replaced = Vec::new();
        }
        self.seen = Some(Seen::of(after));
        Some(told)
    }

    /// The state was loaded: other writers made the difference to the state seen last.
    pub(super) fn loaded(&mut self, view: &View) -> Option<SessionChange> {
        if self.watchers == 0 {
            return None;
        }
        let now = Seen::of(view);
        let seen = self.seen.replace(now).filter(|seen| seen.version != now.version)?;
        let kept = seen.base == now.base && seen.closed == now.closed;
        let grew = seen.version.is_some() && kept && seen.next_seq <= now.next_seq;
        let appended = if grew { seen.next_seq..now.next_seq } else { 0..0 };
        Some(others(now.version, appended, !grew))
    }

    /// The session was deleted.
    pub(super) fn deleted(&mut self) -> Option<SessionChange> {
        self.seen = None;
        (self.watchers > 0).then(|| others(None, 0..0, true))
    }
}

fn others(version: Option<Version>, appended: Range<u64>, rewritten: bool) -> SessionChange {
    SessionChange {
        version,
        appended,
        replaced: Vec::new(),
        opened: Vec::new(),
        closed: Vec::new(),
        app_changed: false,
        labels_changed: false,
        rewritten,
    }
}
