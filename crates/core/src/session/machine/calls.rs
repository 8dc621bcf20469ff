//! Calls and their tickets. Each ticket that is given out counts as one caller that waits; a caller
//! that goes away [leaves](Machine::leave).

use super::batch::Batch;
use super::change::Change;
use super::state::{Delete, Load, Machine, Phase};
use super::ticket::{CommitEnd, Committed, Deleted, Earlier, Extended, Settled, Ticket};
use super::view::View;
use super::work::Reach;
use crate::store::{DeleteIf, Extension};
use crate::sync::Arc;

/// Whether a call can be planned now.
pub(crate) enum Admission {
    Open,
    /// Not before this has ended.
    Wait(Earlier),
}

impl Machine {
    /// Whether a call can be planned now: the state must be in memory, and the state after
    /// everything pending known exactly. A session that is not in memory is loaded first.
    pub(crate) fn admit(&mut self, reach: Reach) -> Admission {
        let open = match &self.phase {
            _ if !self.deletes.is_empty() => false,
            Phase::Resident { pending, .. } => !pending.last().is_some_and(|last| last.sealed),
            Phase::Unloaded | Phase::Loading(_) | Phase::Deleting(_) => false,
        };
        if open { Admission::Open } else { Admission::Wait(self.earlier_or_load(reach)) }
    }

    /// The last work that is pending; if there is none, a load of more of the session.
    pub(crate) fn earlier_or_load(&mut self, reach: Reach) -> Earlier {
        if let Some(earlier) = self.earlier() {
            return earlier;
        }
        let shown = self.view().cloned();
        let ticket = Ticket::new(self.new_id());
        self.phase = Phase::Loading(Load { ticket, callers: 1, reach, sent: false, shown });
        self.revision += 1;
        Earlier::Load(ticket)
    }

    /// The last work that is pending, if any is.
    pub(crate) fn earlier(&mut self) -> Option<Earlier> {
        if let Some(delete) = self.deletes.back_mut() {
            delete.callers += 1;
            return Some(Earlier::Delete(delete.ticket));
        }
        match &mut self.phase {
            Phase::Unloaded => None,
            Phase::Loading(load) => {
                load.callers += 1;
                Some(Earlier::Load(load.ticket))
            }
            Phase::Resident { pending, .. } => pending.last_mut().map(|last| {
                last.callers += 1;
                Earlier::Commit(last.ticket)
            }),
            Phase::Deleting(delete) => {
                delete.callers += 1;
                Some(Earlier::Delete(delete.ticket))
            }
        }
    }

    /// The last commit that is pending, if any is.
    pub(crate) fn last_commit(&mut self) -> Option<Ticket<Committed>> {
        let Phase::Resident { pending, .. } = &mut self.phase else { return None };
        let last = pending.last_mut()?;
        last.callers += 1;
        Some(last.ticket)
    }

    /// Stages the changes of one call on top of everything pending; `after` is the state they lead
    /// to, if it was made. Only after [`admit`](Self::admit) under the same lock, or while the
    /// [revision](Self::revision) is the same; `None` otherwise.
    pub(crate) fn stage(
        &mut self,
        changes: Vec<Change>,
        after: Option<Arc<View>>,
    ) -> Option<Ticket<Committed>> {
        let Phase::Resident { view, pending } = &mut self.phase else { return None };
        let id = self.tickets + 1;
        let batch = pending.stage(changes, after, view, self.config.batch_bounds(), id);
        batch.callers += 1;
        let (ticket, grows) = (batch.ticket, batch.grows);
        if !grows {
            let top = pending.top(view);
            let known = top.exact && top.counted;
            if let Some(last) = pending.last_mut() {
                last.sealed |= !known;
            }
        }
        self.tickets = id;
        self.revision += 1;
        Some(ticket)
    }

    /// Stages the interruptions that are made. They are sent even if no caller waits.
    pub(super) fn stage_interruptions(&mut self) {
        while let Phase::Resident { view, pending } = &mut self.phase
            && self.deletes.is_empty()
            && !pending.last().is_some_and(|last| last.sealed)
            && let Some(close) = self.replies.take_ready()
        {
            let open = pending.top(view).reply(close.seq);
            if open.is_none_or(|reply| reply.claim != close.claim) {
                continue;
            }
            self.stage(vec![Change::Close(close)], None);
            if let Phase::Resident { pending, .. } = &mut self.phase
                && let Some(last) = pending.last_mut()
            {
                // Nobody waits for it.
                last.callers -= 1;
                last.kept = true;
            }
        }
    }

    /// Deletes the session under a condition, after everything staged before.
    pub(crate) fn delete(&mut self, condition: DeleteIf) -> Ticket<Deleted> {
        self.delete_of(None, condition)
    }

    /// Like [`delete`](Self::delete), but deletes only a session of this owner: one that has the
    /// version of the condition. A newer version of such a session in memory takes its place.
    pub(crate) fn delete_of(
        &mut self,
        owner: Option<std::sync::Arc<str>>,
        condition: DeleteIf,
    ) -> Ticket<Deleted> {
        let ticket = Ticket::new(self.new_id());
        self.deletes.push_back(Delete { ticket, callers: 1, condition, owner, shown: None });
        self.revision += 1;
        ticket
    }

    /// Begins an erasure: the calls that wait behind the commit with the store are not made.
    /// Returns their commits. A call compares [`erasures`](Self::erasures) to learn of it.
    pub(crate) fn begin_to_erase(&mut self) -> Vec<Settled<Committed>> {
        self.erasures += 1;
        self.revision += 1;
        let Phase::Resident { pending, .. } = &mut self.phase else { return Vec::new() };
        let retried: Vec<_> =
            pending.drain_staged().map(|batch| batch.settled(CommitEnd::Retry)).collect();
        self.replies.unstage(false);
        retried
    }

    /// How often an erasure has begun.
    pub(crate) fn erasures(&self) -> u64 {
        self.erasures
    }

    /// Whether the state in memory or a pending commit has this owner.
    pub(crate) fn may_belong_to(&self, owner: &str) -> bool {
        let sets = |change: &Change| match change {
            Change::SetLabels(labels) => labels.get_owner() == Some(owner),
            _ => false,
        };
        let pending = match &self.phase {
            Phase::Resident { pending, .. } => pending.iter().flat_map(Batch::changes).any(sets),
            _ => false,
        };
        pending || self.view().is_some_and(|view| view.labels.get_owner() == Some(owner))
    }

    /// Extends an open reply by these chunks. One that is written here gets the place after its
    /// last chunk, whatever the offset.
    pub(crate) fn extend(&mut self, extension: Extension) -> Ticket<Extended> {
        let id = self.new_id();
        let is_beat = extension.chunks.is_empty();
        self.extensions.stage(id, extension, is_beat)
    }

    /// A caller no longer waits for the work with this ticket. Work for which nobody waits is not
    /// sent, unless other work stands on it.
    pub(crate) fn leave(&mut self, id: u64) {
        let left = |ticket: u64, callers: &mut usize| {
            if ticket == id {
                *callers -= 1;
            }
        };
        match &mut self.phase {
            Phase::Unloaded => {}
            Phase::Loading(load) => left(load.ticket.id, &mut load.callers),
            Phase::Resident { pending, .. } => {
                pending.iter_mut().for_each(|batch| left(batch.ticket.id, &mut batch.callers));
            }
            Phase::Deleting(delete) => left(delete.ticket.id, &mut delete.callers),
        }
        for delete in &mut self.deletes {
            left(delete.ticket.id, &mut delete.callers);
        }
        self.leave_question(id);
        self.extensions.leave(id);
    }

    pub(super) fn new_id(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }
}
