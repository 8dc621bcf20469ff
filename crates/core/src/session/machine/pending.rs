//! Commits of one session: one with the store, the others gathering behind it.

use super::batch::Batch;
use super::change::Change;
use super::view::View;
use crate::store::Head;
use crate::sync::Arc;
use std::collections::VecDeque;

/// The commits that are not durable yet, on top of a view that is.
#[derive(Default)]
pub(super) struct Pending {
    /// The commit that is with the store.
    sent: Option<Box<Batch>>,
    /// The ones that wait, in order. Boxed, as an empty queue keeps its room in every session.
    staged: VecDeque<Box<Batch>>,
    /// A view that the durable one became by changes that only grow.
    spare: Option<Arc<View>>,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.sent.is_none() && self.staged.is_empty()
    }

    /// The commit that is with the store.
    pub(super) fn sent(&self) -> Option<&Batch> {
        self.sent.as_deref()
    }

    /// The commit to send next, if none is with the store.
    pub(super) fn ready(&self) -> Option<&Batch> {
        if self.sent.is_some() { None } else { self.staged.front().map(|batch| &**batch) }
    }

    /// Whether nobody waits for any of the commits, and all may be dropped.
    pub(super) fn is_abandoned(&self) -> bool {
        self.iter().all(|batch| batch.callers == 0 && !batch.kept)
    }

    /// The commit that everything planned now would stand on.
    pub(super) fn last(&self) -> Option<&Batch> {
        self.staged.back().or(self.sent.as_ref()).map(|batch| &**batch)
    }

    pub(super) fn last_mut(&mut self) -> Option<&mut Batch> {
        self.staged.back_mut().or(self.sent.as_mut()).map(|batch| &mut **batch)
    }

    /// The commit that is with the store or goes there next.
    pub(super) fn first(&self) -> Option<&Batch> {
        self.sent.as_ref().or(self.staged.front()).map(|batch| &**batch)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Batch> {
        self.sent.iter().chain(&self.staged).map(|batch| &**batch)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Batch> {
        self.sent.iter_mut().chain(&mut self.staged).map(|batch| &mut **batch)
    }

    /// The session after everything pending, on top of the durable `view`. Made when it is asked
    /// for, and kept up to date from then on.
    pub(super) fn top<'a>(&'a mut self, view: &'a Arc<View>) -> &'a Arc<View> {
        if self.last().is_some_and(|last| last.after.is_none()) {
            let after = self.project(view);
            if let Some(last) = self.last_mut() {
                last.after = Some(after);
            }
        }
        self.last().and_then(|last| last.after.as_ref()).unwrap_or(view)
    }

    fn project(&mut self, view: &View) -> Arc<View> {
        let mut waiting = self.staged.iter_mut().enumerate().rev();
        let below = waiting.find_map(|(at, batch)| Some((batch.after.take()?, at + 1)));
        // An existing view is passed on: one view alone holds all the messages that wait.
        let (mut after, from) = below.unwrap_or_else(|| (self.above_sent(view), 0));
        let view = Arc::make_mut(&mut after);
        for batch in self.staged.range(from..) {
            view.apply_all(batch.changes());
        }
        after
    }

    /// A view of its own of the session after the commit that is with the store.
    fn above_sent(&mut self, view: &View) -> Arc<View> {
        let Some(sent) = &self.sent else { return Arc::new(view.clone()) };
        let below = sent.after.as_deref();
        let source = below.unwrap_or(view);
        let mut after = match self.spare.take() {
            Some(mut spare) if sent.grows => {
                // The only reference: it was taken for a spare for that.
                Arc::make_mut(&mut spare).follow(source);
                spare
            }
            _ => Arc::new(source.clone()),
        };
        if below.is_none() {
            Arc::make_mut(&mut after).apply_all(sent.changes());
        }
        after
    }

    /// Keeps the view from before a commit that is durable now, unless others have it, too, to make
    /// a later view of it.
    pub(super) fn keep(&mut self, before: Option<Arc<View>>, durable: &Batch) {
        if !durable.grows || self.staged.is_empty() {
            self.spare = None;
        } else if let Some(mut before) = before
            && Arc::get_mut(&mut before).is_some()
        {
            self.spare = Some(before);
        }
    }

    /// Adds the changes of a call to the last commit that waits, or to a new one if it takes no
    /// more. `after` is the session after them, if it was made.
    pub(super) fn stage(
        &mut self,
        changes: Vec<Change>,
        after: Option<Arc<View>>,
        durable: &View,
        bounds: (usize, u64),
        new_id: u64,
    ) -> &mut Batch {
        let after = after.map(|mut after| {
            if after.head.version != durable.head.version {
                // A commit became durable since the call was planned.
                Arc::make_mut(&mut after).rebase(&durable.head, |seq| {
                    let own = changes.iter().any(|change| change.replaces(seq));
                    own || self.iter().any(|batch| batch.replaces(seq))
                });
            }
            after
        });
        let bytes = changes.iter().map(Change::bytes).sum();
        let joins =
            self.staged.back().is_some_and(|batch| batch.takes(changes.len(), bytes, bounds));
        if after.is_some()
            && let Some(below) = self.staged.back_mut()
        {
            below.after = None;
        }
        if !joins {
            self.staged.push_back(Box::new(Batch::new(new_id)));
        }
        let at = self.staged.len() - 1;
        let batch = &mut self.staged[at];
        batch.join(changes, bytes);
        batch.after = after.or(batch.after.take());
        batch
    }

    /// Takes the next commit to send.
    pub(super) fn send(&mut self) -> Option<&Batch> {
        if self.sent.is_none() {
            self.sent = Some(self.staged.pop_front()?);
        }
        self.sent.as_deref()
    }

    /// Takes the commit that was with the store.
    pub(super) fn take_sent(&mut self) -> Option<Box<Batch>> {
        self.sent.take()
    }

    /// Takes the commits that wait.
    pub(super) fn drain_staged(&mut self) -> impl Iterator<Item = Box<Batch>> {
        self.staged.drain(..)
    }

    /// The commit below the ones that wait is durable, with this head.
    pub(super) fn rebase(&mut self, head: &Head) {
        for at in 0..self.staged.len() {
            let Some(mut after) = self.staged[at].after.take() else { continue };
            let view = Arc::make_mut(&mut after);
            view.rebase(head, |seq| self.staged.iter().any(|batch| batch.replaces(seq)));
            self.staged[at].after = Some(after);
        }
    }
}
