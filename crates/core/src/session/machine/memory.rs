//! The state that a machine keeps in memory, its uses and its watchers.

use super::state::{Delete, Load, Machine, Phase};
use super::view::View;
use crate::sync::Arc;

impl Machine {
    /// Drops the state from memory if no work is pending; returns whether it did.
    pub(crate) fn evict(&mut self) -> bool {
        if self.is_busy() || self.view().is_none() {
            return false;
        }
        self.set_durable(None);
        true
    }

    /// Notes a read of `view` at `now`. Returns whether a touch is to be sent now.
    pub(crate) fn accessed(&mut self, view: &View, now: u64) -> bool {
        let interval = self.config.expiry.touch_ms();
        self.usage.accessed(view.head.last_accessed_at, interval, now)
    }

    /// The last use by reading, if the stored time of last access is older.
    pub(crate) fn unwritten_use(&self) -> Option<u64> {
        let view = self.view().filter(|view| view.exists)?;
        Some(self.usage.accessed_at).filter(|&at| at > view.head.last_accessed_at)
    }

    /// The store has written down a use at `at`.
    pub(crate) fn note_touch(&mut self, at: u64) {
        self.usage.written(at);
        let view = match &mut self.phase {
            Phase::Resident { view, .. } => Some(view),
            Phase::Loading(Load { shown, .. }) | Phase::Deleting(Delete { shown, .. }) => {
                shown.as_mut()
            }
            Phase::Unloaded => None,
        };
        if let Some(view) = view.filter(|view| view.exists) {
            let head = &mut Arc::make_mut(view).head;
            head.last_accessed_at = head.last_accessed_at.max(at);
        }
    }

    /// One more watcher, of the changes from now on.
    pub(crate) fn watch(&mut self) {
        let view = self.view().cloned();
        self.changes.watch(view.as_deref());
    }

    /// One watcher less. Returns whether any is left.
    pub(crate) fn unwatch(&mut self) -> bool {
        self.changes.unwatch()
    }
}
