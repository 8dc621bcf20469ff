//! The state of a machine: of one session in memory, and of its work with the store.

use super::asking::Asking;
use super::changes::Changes;
use super::extensions::Extensions;
use super::pending::Pending;
use super::replies::Replies;
use super::ticket::{Deleted, Loaded, Ticket};
use super::usage::Usage;
use super::view::View;
use super::work::Reach;
use crate::SessionId;
use crate::session::config::Config;
use crate::store::DeleteIf;
use crate::sync::Arc;
use std::collections::VecDeque;

/// The rules of one session, with the state in memory and the work that is sent to the store or
/// waits to be sent.
pub(crate) struct Machine {
    pub(super) id: SessionId,
    pub(super) config: Arc<Config>,
    pub(super) phase: Phase,
    /// Deletes that are not sent yet. The commits that were staged before them go first.
    pub(super) deletes: VecDeque<Delete>,
    /// Extensions of open replies, sent or not. They run beside the work in `phase`.
    pub(super) extensions: Extensions,
    /// The replies that are written, followed or ended here.
    pub(super) replies: Replies,
    /// The watchers, and the state that they were last told of.
    pub(super) changes: Changes,
    /// The questions to a shared store.
    pub(super) asking: Asking,
    /// The last use by reading, and the touch that stores it.
    pub(super) usage: Usage,
    /// How often an erasure has begun. Calls from before fail.
    pub(super) erasures: u64,
    /// Grows whenever the next call would be planned on another state. A commit that becomes
    /// durable makes no other state.
    pub(super) revision: u64,
    /// The id of the ticket that was given out last.
    pub(super) tickets: u64,
}

/// The phase of a session. At most one load, commit or delete is with the store at a time.
/// Questions, touches and extensions run beside it.
pub(super) enum Phase {
    /// Nothing of the session is in memory.
    Unloaded,
    /// A load is sent, or is the next call to send.
    Loading(Load),
    /// The last durable state is in memory. `pending` has the commits on top of it, sent or not; it
    /// may be empty.
    Resident { view: Arc<View>, pending: Pending },
    /// A delete is with the store.
    Deleting(Delete),
}

pub(super) struct Load {
    pub(super) ticket: Ticket<Loaded>,
    /// The number of callers that still wait for the load.
    pub(super) callers: usize,
    pub(super) reach: Reach,
    /// Whether the load is with the store.
    pub(super) sent: bool,
    /// The state that readers see during the load: the one that was in memory before, if any was.
    pub(super) shown: Option<Arc<View>>,
}

pub(super) struct Delete {
    pub(super) ticket: Ticket<Deleted>,
    /// The number of callers that still wait for the delete.
    pub(super) callers: usize,
    pub(super) condition: DeleteIf,
    /// Only a session of this owner is deleted: one with the version in `condition` is. If the
    /// state in memory is one, its version is the condition.
    pub(super) owner: Option<std::sync::Arc<str>>,
    /// The state that readers see until the store answers, set when the delete is sent.
    pub(super) shown: Option<Arc<View>>,
}

impl Machine {
    pub(crate) fn new(id: SessionId, config: Arc<Config>) -> Self {
        Self {
            id,
            config,
            phase: Phase::Unloaded,
            deletes: VecDeque::new(),
            extensions: Extensions::default(),
            replies: Replies::default(),
            changes: Changes::default(),
            asking: Asking::default(),
            usage: Usage::default(),
            erasures: 0,
            revision: 0,
            tickets: 0,
        }
    }

    /// The last durable state that the store told of, if it is in memory.
    pub(crate) fn view(&self) -> Option<&Arc<View>> {
        match &self.phase {
            Phase::Unloaded => None,
            Phase::Loading(Load { shown, .. }) | Phase::Deleting(Delete { shown, .. }) => {
                shown.as_ref()
            }
            Phase::Resident { view, .. } => Some(view),
        }
    }

    /// The [`view`](Self::view), unless the machine [is busy](Self::is_busy).
    pub(crate) fn settled_view(&self) -> Option<&Arc<View>> {
        match &self.phase {
            Phase::Resident { view, pending }
                if pending.is_empty()
                    && self.deletes.is_empty()
                    && self.extensions.is_empty()
                    && !self.replies.is_working() =>
            {
                Some(view)
            }
            _ => None,
        }
    }

    /// The state that the next call is planned on: the durable one with all pending changes, made
    /// here if it does not exist yet. `None` if the session is not in memory.
    pub(crate) fn top(&mut self) -> Option<&Arc<View>> {
        match &mut self.phase {
            Phase::Resident { view, pending } => Some(pending.top(view)),
            Phase::Unloaded | Phase::Loading(_) | Phase::Deleting(_) => None,
        }
    }

    /// A counter that grows whenever the next call would be planned on another state.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether work is with the store or waits to be sent; touches do not count.
    pub(crate) fn is_busy(&self) -> bool {
        !self.deletes.is_empty()
            || !self.extensions.is_empty()
            || self.replies.is_working()
            || match &self.phase {
                Phase::Unloaded => false,
                Phase::Loading(_) | Phase::Deleting(_) => true,
                Phase::Resident { pending, .. } => !pending.is_empty(),
            }
    }

    /// Whether a load, commit or delete is with the store and no caller waits for it any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        let callers = match &self.phase {
            Phase::Unloaded => None,
            Phase::Loading(load) => load.sent.then_some(load.callers),
            Phase::Resident { pending, .. } => pending.sent().map(|batch| batch.callers),
            Phase::Deleting(delete) => Some(delete.callers),
        };
        callers == Some(0)
    }

    /// The number of calls in those pending commits for which a caller still waits.
    pub(crate) fn waiting_calls(&self) -> u64 {
        let Phase::Resident { pending, .. } = &self.phase else { return 0 };
        pending.iter().filter(|batch| batch.callers > 0).map(|batch| batch.calls).sum()
    }

    /// The bytes that the session holds in memory. A session that does not exist counts as 0: its
    /// state is not worth keeping.
    pub(crate) fn weight(&self) -> u64 {
        let weight = |view: &Arc<View>| view.weight() + self.replies.weight();
        self.view().filter(|view| view.exists).map_or(0, weight)
    }

    /// Makes `view` the durable state, with no commit pending on top of it. `None` drops the state
    /// from memory.
    pub(super) fn set_durable(&mut self, view: Option<Arc<View>>) {
        self.phase = match view {
            Some(view) => Phase::Resident { view, pending: Pending::default() },
            None => Phase::Unloaded,
        };
        self.revision += 1;
    }
}
