//! How work ended, until each caller that waits for it has been told.

use crate::session::machine::{
    Asked, Committed, Deleted, Extended, Kind, Loaded, Settled, Settlement, Ticket,
};

/// Ended work, by its kind and sorted by its ticket: a session may have hundreds of callers.
#[derive(Default)]
pub(crate) struct Outcomes {
    loads: Vec<Settled<Loaded>>,
    questions: Vec<Settled<Asked>>,
    commits: Vec<Settled<Committed>>,
    deletes: Vec<Settled<Deleted>>,
    extensions: Vec<Settled<Extended>>,
}

/// A kind of work whose outcomes are kept.
pub(crate) trait Listed: Kind + Sized {
    fn list(outcomes: &mut Outcomes) -> &mut Vec<Settled<Self>>;
}

impl Listed for Loaded {
    fn list(outcomes: &mut Outcomes) -> &mut Vec<Settled<Self>> {
        &mut outcomes.loads
    }
}

impl Listed for Asked {
    fn list(outcomes: &mut Outcomes) -> &mut Vec<Settled<Self>> {
        &mut outcomes.questions
    }
}

impl Listed for Committed {
    fn list(outcomes: &mut Outcomes) -> &mut Vec<Settled<Self>> {
        &mut outcomes.commits
    }
}

impl Listed for Deleted {
    fn list(outcomes: &mut Outcomes) -> &mut Vec<Settled<Self>> {
        &mut outcomes.deletes
    }
}

impl Listed for Extended {
    fn list(outcomes: &mut Outcomes) -> &mut Vec<Settled<Self>> {
        &mut outcomes.extensions
    }
}

impl Outcomes {
    pub(super) fn put(&mut self, settlement: Settlement) {
        match settlement {
            Settlement::Load(settled) => put(&mut self.loads, settled),
            Settlement::Question(settled) => put(&mut self.questions, settled),
            Settlement::Commit(settled) => put(&mut self.commits, settled),
            Settlement::Delete(settled) => put(&mut self.deletes, settled),
            Settlement::Extension(settled) => put(&mut self.extensions, settled),
        }
    }

    pub(super) fn put_retried(&mut self, retried: Vec<Settled<Committed>>) {
        for settled in retried {
            put(&mut self.commits, settled);
        }
    }

    /// Tells one caller how the work with this ticket ended; `None` if it has not.
    pub(crate) fn take<K: Listed>(&mut self, ticket: Ticket<K>) -> Option<K::Outcome> {
        let list = K::list(self);
        let at = find(list, ticket).ok()?;
        list[at].callers -= 1;
        if list[at].callers == 0 {
            return Some(list.remove(at).outcome);
        }
        Some(list[at].outcome.clone())
    }
}

fn put<K: Kind>(list: &mut Vec<Settled<K>>, settled: Settled<K>) {
    if settled.callers > 0
        && let Err(at) = find(list, settled.ticket)
    {
        list.insert(at, settled);
    }
}

fn find<K: Kind>(list: &[Settled<K>], ticket: Ticket<K>) -> Result<usize, usize> {
    list.binary_search_by_key(&ticket.id, |settled| settled.ticket.id)
}
