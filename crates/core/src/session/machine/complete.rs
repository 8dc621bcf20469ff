//! An answer of the store, and its effects.

use super::batch::Batch;
use super::change::Change;
use super::changes::SessionChange;
use super::pending::Pending;
use super::state::{Delete, Load, Machine, Phase};
use super::ticket::{CommitEnd, Committed, Settled, Settlement};
use super::view::{LongView, View};
use super::work::{Answer, Done};
use crate::reply::ReplyEnd;
use crate::store::{self, CommitOutcome, DeleteOutcome, OpenReply, ReplyCounts, StoreError};
use crate::sync::Arc;
use std::mem;

/// The consequences of an answer of the store.
pub(crate) struct Effects {
    /// The work that ended.
    pub(crate) settled: Option<Settlement>,
    /// Commits that are not sent, because the work before them did not happen.
    pub(crate) retried: Vec<Settled<Committed>>,
    /// The change to tell watchers.
    pub(crate) change: Option<SessionChange>,
    /// The bytes that the session holds in memory now.
    pub(crate) weight: u64,
    /// What it means for replies. Boxed, since few answers are about replies.
    pub(crate) replies: Option<Box<ReplyEffects>>,
}

/// The consequences of an answer for the replies of a session.
#[derive(Default)]
pub(crate) struct ReplyEffects {
    /// Open replies whose producers may be gone: of a load, or just opened.
    pub(crate) suspects: Vec<OpenReply>,
    /// The number of replies that a commit interrupted.
    pub(crate) interrupted: u64,
}

impl Machine {
    /// Takes in an answer of the store.
    pub(crate) fn complete(&mut self, answer: Answer, now: u64) -> Effects {
        let mut effects =
            Effects { settled: None, retried: Vec::new(), change: None, weight: 0, replies: None };
        match answer {
            Answer::Main(Ok(Done::Committed(outcome))) => self.committed(outcome, &mut effects),
            Answer::Main(Ok(Done::Loaded(loaded))) => self.loaded(loaded, now, &mut effects),
            Answer::Main(Ok(Done::Deleted(outcome))) => self.deleted(outcome, &mut effects),
            Answer::Main(Err(e)) => self.failed(e, &mut effects),
            Answer::Asked(answer) => self.asked(answer.map(|outcome| *outcome), now, &mut effects),
            Answer::Touched(result) => {
                if let Some(at) = self.usage.touched(result.is_ok()) {
                    self.note_touch(at);
                }
            }
            Answer::Extended(seq, outcome) => {
                if let Some(ended) = self.extensions.complete(seq, outcome) {
                    self.replies.extended(&ended.claim, ended.sent, &ended.settled.outcome);
                    effects.settled = Some(Settlement::Extension(ended.settled));
                }
            }
            Answer::Made(seq, made) => {
                let in_memory = matches!(self.phase, Phase::Resident { .. });
                self.replies.made(seq, made.ok().flatten(), in_memory);
            }
        }
        effects.weight = self.weight();
        effects
    }

    fn committed(&mut self, outcome: CommitOutcome, effects: &mut Effects) {
        let Phase::Resident { view, pending } = &mut self.phase else { return };
        let Some(mut batch) = pending.take_sent() else { return };
        let end = match outcome {
            CommitOutcome::Committed(head) => {
                let first = view.head.next_seq;
                let before = if let Some(after) = batch.after.take() {
                    Some(mem::replace(view, after))
                } else {
                    Arc::make_mut(view).apply_all(batch.changes());
                    None
                };
                pending.keep(before, &batch);
                let after = Arc::make_mut(view);
                after.settle(head);
                self.asking.main_answered();
                effects.change = self.changes.committed(first, after, batch.changes());
                pending.rebase(&after.head);
                if batch.reply_changes > 0 || !self.replies.is_empty() {
                    self.replies_committed(first, &batch, effects);
                }
                CommitEnd::Durable
            }
            CommitOutcome::Conflict { .. } => {
                effects.retried = retried(pending);
                self.replies.unstage(false);
                self.set_durable(None);
                CommitEnd::Conflict
            }
            CommitOutcome::NoSuchSeq { seq } => {
                effects.retried = retried(pending);
                self.replies.unstage(false);
                self.revision += 1;
                CommitEnd::NoSuchSeq(seq)
            }
            CommitOutcome::Grew { seq, .. } => {
                effects.retried = retried(pending);
                self.replies.grew(seq);
                self.replies.unstage(false);
                self.revision += 1;
                CommitEnd::Grew
            }
            // The state in memory has the reply, so it is not the stored one.
            CommitOutcome::ReplyEnded { .. } => {
                effects.retried = retried(pending);
                self.replies.unstage(false);
                self.set_durable(None);
                CommitEnd::ReplyEnded
            }
        };
        effects.settled = Some(Settlement::Commit(batch.settled(end)));
    }

    /// The changes of `batch` are durable: replies were opened and ended. New messages have seqs
    /// from `next_seq` on.
    fn replies_committed(&mut self, mut next_seq: u64, batch: &Batch, effects: &mut Effects) {
        let Phase::Resident { view, .. } = &self.phase else { return };
        let life = view.head.version.incarnation();
        let told = &mut **effects.replies.get_or_insert_default();
        for change in batch.changes() {
            match change {
                Change::Open(open) => {
                    let seq = open.seq.unwrap_or(next_seq);
                    let claim = open.opening.claim;
                    self.replies.removed(seq, seq);
                    self.replies.opened(seq, claim, open.message.clone(), life);
                    told.suspects.push(OpenReply {
                        seq,
                        claim,
                        format: open.opening.format.clone(),
                        counts: ReplyCounts::default(),
                        bytes: 0,
                    });
                }
                Change::Close(close) => {
                    told.interrupted += u64::from(close.how == ReplyEnd::Interrupted);
                    self.replies.closed(close);
                }
                Change::Replace { seq, .. } => self.replies.removed(*seq, *seq),
                Change::Remove { first, last } => self.replies.removed(*first, *last),
                Change::Begin(_)
                | Change::Append { .. }
                | Change::SetApp(_)
                | Change::SetLabels(_) => {}
            }
            next_seq += u64::from(change.appends());
        }
    }

    /// The state was loaded: other writers may have ended replies.
    pub(super) fn replies_loaded(&mut self) {
        if self.replies.is_empty() {
            return;
        }
        let Phase::Resident { view, .. } = &self.phase else { return };
        let life = view.exists.then(|| view.head.version.incarnation());
        self.replies.loaded(
            life,
            |seq, claim| view.reply(seq).is_some_and(|reply| reply.claim == *claim),
            |seq| view.surely_absent(seq),
        );
    }

    fn loaded(&mut self, loaded: Option<Box<store::Loaded>>, now: u64, effects: &mut Effects) {
        let Phase::Loading(load) = &mut self.phase else { return };
        if let Some(loaded) = &loaded
            && !loaded.replies.is_empty()
        {
            let suspects = loaded.replies.clone();
            effects.replies = Some(Box::new(ReplyEffects { suspects, interrupted: 0 }));
        }
        let (keep, shown) = (load.reach.keep, load.shown.take());
        let (ticket, callers) = (load.ticket, load.callers);
        let made = if let Some(loaded) = loaded {
            View::loaded(&self.id, *loaded, keep)
        } else {
            let app = self.config.app_or_empty();
            Ok((View::absent(&self.config, app, keep, now), Vec::new()))
        };
        let outcome = match made {
            Ok((view, older)) => {
                effects.change = self.changes.loaded(&view);
                let view = Arc::new(view);
                self.set_durable(Some(Arc::clone(&view)));
                self.asking.main_answered();
                self.replies_loaded();
                Ok(LongView::new(view, older))
            }
            Err(e) => {
                self.set_durable(shown);
                Err(e)
            }
        };
        effects.settled = Some(Settlement::Load(Settled { ticket, callers, outcome }));
    }

    fn deleted(&mut self, outcome: DeleteOutcome, effects: &mut Effects) {
        let Phase::Deleting(Delete { ticket, callers, .. }) = self.phase else { return };
        if !matches!(outcome, DeleteOutcome::Conflict { .. }) {
            effects.change = self.changes.deleted();
            self.replies.removed(0, u64::MAX);
        }
        self.set_durable(None);
        let outcome = Ok(outcome);
        effects.settled = Some(Settlement::Delete(Settled { ticket, callers, outcome }));
    }

    /// The store failed. The state in memory may not be the stored one any more.
    fn failed(&mut self, e: StoreError, effects: &mut Effects) {
        self.replies.unstage(true);
        effects.settled = match mem::replace(&mut self.phase, Phase::Unloaded) {
            Phase::Unloaded => None,
            Phase::Loading(Load { ticket, callers, .. }) => {
                Some(Settlement::Load(Settled { ticket, callers, outcome: Err(e) }))
            }
            Phase::Resident { mut pending, .. } => {
                let sent = pending.take_sent();
                effects.retried = retried(&mut pending);
                sent.map(|batch| Settlement::Commit(batch.settled(CommitEnd::Failed(e))))
            }
            Phase::Deleting(Delete { ticket, callers, .. }) => {
                Some(Settlement::Delete(Settled { ticket, callers, outcome: Err(e) }))
            }
        };
        self.revision += 1;
    }
}

fn retried(pending: &mut Pending) -> Vec<Settled<Committed>> {
    pending.drain_staged().map(|batch| batch.settled(CommitEnd::Retry)).collect()
}
