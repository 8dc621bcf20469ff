//! The choice of the next call to the store.

use super::state::{Machine, Phase};
use super::view::View;
use super::work::{Make, StoreCall};
use crate::reply::ReplyEnd;
use crate::store::{Claim, DeleteIf};
use crate::sync::Arc;

impl Machine {
    /// Takes the next call to the store and marks it as sent; `None` if no call can be sent now. A
    /// load, commit or delete goes first, then a question, a touch and an extension. Unsent loads,
    /// commits and deletes are dropped instead if no caller waits for any of them. `now` is in Unix
    /// milliseconds.
    pub(crate) fn next(&mut self, now: u64) -> Option<StoreCall> {
        if !self.replies.is_empty() {
            self.stage_interruptions();
        }
        match self.next_main(now) {
            Some(main) => Some(main),
            None => self.next_beside(),
        }
    }

    /// The next call that goes beside the main lane.
    fn next_beside(&mut self) -> Option<StoreCall> {
        if let Some(query) = self.send_question() {
            return Some(StoreCall::Ask(query));
        }
        if let Some(at) = self.usage.send() {
            return Some(StoreCall::Touch(at));
        }
        if self.extensions.is_empty() && self.replies.is_empty() {
            return None;
        }
        self.next_extension().or_else(|| self.next_make())
    }

    /// The next call of the main lane: a load, commit or delete.
    fn next_main(&mut self, now: u64) -> Option<StoreCall> {
        match &mut self.phase {
            Phase::Loading(load) if !load.sent => {
                if load.callers == 0 && !self.deletes.iter().any(|delete| delete.callers > 0) {
                    // No caller waits for this load or a delete: both are dropped.
                    let shown = load.shown.take();
                    self.deletes.clear();
                    self.set_durable(shown);
                    return None;
                }
                load.sent = true;
                self.asking.send_main();
                Some(StoreCall::Load(load.reach.read))
            }
            Phase::Resident { view, pending } => {
                let Some(first) = pending.ready() else {
                    return if pending.is_empty() { self.next_delete() } else { None };
                };
                if pending.is_abandoned() && !self.deletes.iter().any(|delete| delete.callers > 0) {
                    pending.drain_staged().for_each(drop);
                    self.deletes.clear();
                    self.revision += 1;
                    return None;
                }
                // The commit waits for a sent extension of a reply that it ends.
                if self.extensions.any_sent(|seq| first.ends_reply(seq)) {
                    return None;
                }
                self.asking.send_main();
                let batch = pending.send()?;
                Some(StoreCall::Commit(batch.commit(view, &self.config, now), batch.calls))
            }
            Phase::Unloaded => self.next_delete(),
            Phase::Loading(_) | Phase::Deleting(_) => None,
        }
    }

    /// The next delete. It waits for all sent extensions.
    fn next_delete(&mut self) -> Option<StoreCall> {
        if self.deletes.is_empty() || self.extensions.any_sent(|_| true) {
            return None;
        }
        if !self.deletes.iter().any(|delete| delete.callers > 0) {
            self.deletes.clear();
            self.revision += 1;
            return None;
        }
        let mut delete = self.deletes.pop_front()?;
        // Before the phase changes: the view is in it.
        delete.shown = self.view().cloned();
        let of_owner = |view: &&Arc<View>| {
            let owner = delete.owner.as_deref();
            view.exists && owner.is_some() && view.labels.get_owner() == owner
        };
        if let Some(view) = delete.shown.as_ref().filter(of_owner) {
            delete.condition = DeleteIf::Version(view.head.version);
        }
        let condition = delete.condition;
        self.phase = Phase::Deleting(delete);
        Some(StoreCall::Delete(condition))
    }

    /// The next extension of an open reply. It is held back while the first pending commit ends the
    /// same reply, and while a delete is with the store or waits behind no commit.
    fn next_extension(&mut self) -> Option<StoreCall> {
        let first = match &self.phase {
            Phase::Resident { pending, .. } => pending.first(),
            Phase::Deleting(_) => return None,
            Phase::Unloaded | Phase::Loading(_) => None,
        };
        let delete_is_next = first.is_none() && !self.deletes.is_empty();
        let replies = &self.replies;
        self.extensions.send(replies, |seq| {
            delete_is_next
                || replies.holds_back(seq)
                || first.is_some_and(|batch| batch.ends_reply(seq))
        })
    }

    /// The next final message of an interrupted reply to make, once none of its extensions is with
    /// the store.
    fn next_make(&mut self) -> Option<StoreCall> {
        let Phase::Resident { view, .. } = &self.phase else { return None };
        let extensions = &self.extensions;
        let can = |seq: u64, claim: &Claim| {
            view.reply(seq).is_some_and(|reply| reply.claim == *claim)
                && !extensions.any_sent(|sent| sent == seq)
        };
        while let Some((seq, claim)) = self.replies.take_wanted(can) {
            let format = view.reply(seq).and_then(|reply| self.config.replies.get(&reply.format));
            let known = self.replies.known(&claim);
            if let (Some(format), Some(known)) = (format, known) {
                let how = ReplyEnd::Interrupted;
                let make = Make { seq, claim, format, known, how, reason: None };
                return Some(StoreCall::Make(Box::new(make)));
            }
            // A service that has the format ends it.
            self.replies.made(seq, None, true);
        }
        None
    }
}
