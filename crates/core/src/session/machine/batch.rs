//! Calls that gather into one commit.

use super::change::Change;
use super::ticket::{CommitEnd, Committed, Settled, Ticket};
use super::view::View;
use crate::session::config::Config;
use crate::store::{Commit, Expect, Op};
use crate::sync::Arc;

/// The changes of some calls, made in one commit or not at all.
pub(super) struct Batch {
    pub(super) ticket: Ticket<Committed>,
    /// The callers that still want to know how it ends.
    pub(super) callers: usize,
    /// The calls whose changes are in it.
    pub(super) calls: u64,
    changes: Vec<Change>,
    /// How many of them open or close a reply.
    pub(super) reply_changes: usize,
    bytes: u64,
    /// The session after it, made when something is planned on top.
    pub(super) after: Option<Arc<View>>,
    /// Whether its changes only grow the session.
    pub(super) grows: bool,
    /// Nothing can be planned on top before it has ended: the view after it is not known exactly.
    pub(super) sealed: bool,
    /// Whether it is sent even if no caller waits for it.
    pub(super) kept: bool,
}

impl Batch {
    pub(super) fn new(id: u64) -> Self {
        Self {
            ticket: Ticket::new(id),
            callers: 0,
            calls: 0,
            changes: Vec::new(),
            reply_changes: 0,
            bytes: 0,
            after: None,
            grows: true,
            sealed: false,
            kept: false,
        }
    }

    /// The changes it makes, in order.
    pub(super) fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Whether so many more operations and bytes may join it.
    pub(super) fn takes(&self, ops: usize, bytes: u64, bounds: (usize, u64)) -> bool {
        !self.sealed && self.changes.len() + ops <= bounds.0 && self.bytes + bytes <= bounds.1
    }

    /// Adds the changes of one more call.
    pub(super) fn join(&mut self, changes: Vec<Change>, bytes: u64) {
        for change in &changes {
            self.grows &= change.only_grows();
            self.reply_changes += usize::from(change.is_of_a_reply());
        }
        if let Some(after) = &mut self.after {
            Arc::make_mut(after).apply_all(&changes);
        }
        if self.changes.is_empty() {
            self.changes = changes;
        } else {
            self.changes.extend(changes);
        }
        self.bytes += bytes;
        self.calls += 1;
    }

    /// Whether it gives the message at `seq` other content.
    pub(super) fn replaces(&self, seq: u64) -> bool {
        self.changes.iter().any(|change| change.replaces(seq))
    }

    /// Whether it ends the reply at `seq`: replaces or removes the message that the reply writes.
    pub(super) fn ends_reply(&self, seq: u64) -> bool {
        self.changes.iter().any(|change| change.ends_reply(seq))
    }

    /// The store's commit for it on top of `view`. The first change of an absent session writes its
    /// initial state with it (clause C8).
    pub(super) fn commit(&self, view: &View, config: &Config, now: u64) -> Commit {
        let ops = self.changes.iter().filter_map(Change::op);
        if view.exists {
            return Commit::new(view.head.expect(), ops.collect(), now);
        }
        if let Some(Change::Begin(incarnation)) = self.changes.first() {
            let expect = Expect::Absent { created_at: now, incarnation: Some(*incarnation) };
            return Commit::new(expect, ops.collect(), now);
        }
        let mut all: Vec<Op> = config.greeting.iter().map(|m| Op::Append(m.into())).collect();
        all.push(Op::SetApp(config.app_or_empty().into_bytes()));
        all.extend(ops);
        Commit::new(Expect::absent(now), all, now)
    }

    pub(super) fn settled(&self, outcome: CommitEnd) -> Settled<Committed> {
        Settled { ticket: self.ticket, callers: self.callers, outcome }
    }
}
