//! The store's answers, and the callers that are told.

use super::replies::claim_of;
use super::store::Store;
use super::world::{Call, Luck, Plan, Staged, World};
use crate::session::machine::{
    Answer, CommitEnd, Committed, Done, Effects, Kind, Settled, Settlement, StoreCall,
};
use crate::store::{CommitOutcome, ExtendOutcome, Op, StoreError, StoreErrorKind};

pub(super) fn failure() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "the test says so")
}

fn work(store: &mut Store, call: &StoreCall) -> Done {
    match call {
        StoreCall::Load(tail) => Done::Loaded(store.load(*tail)),
        StoreCall::Commit(commit, _) => Done::Committed(store.commit(commit)),
        _ => Done::Deleted(store.delete()),
    }
}

impl World {
    /// The store answers the load, commit or delete that it has.
    pub(super) fn answer(&mut self, luck: Luck) {
        let (before, applied) = match self.applied.take() {
            Some((before, applied)) => (before, Some(applied)),
            None => (self.store.head, None),
        };
        let Some(call) = self.main.take() else { return };
        let next_seq = before.map_or(2, |head| head.next_seq);
        if let (Luck::ComesSecond, StoreCall::Commit(..), None) = (luck, &call, &applied) {
            self.other_writer();
        }
        let done = |store: &mut Store| work(store, &call);
        let answer = match luck {
            Luck::FailsAfter | Luck::FailsBefore if applied.is_some() => Err(failure()),
            _ if let Some(answer) = applied => answer,
            Luck::FailsBefore => Err(failure()),
            Luck::FailsAfter => {
                done(&mut self.store);
                Err(failure())
            }
            Luck::Works | Luck::ComesSecond => Ok(done(&mut self.store)),
        };
        let committed = match &answer {
            Ok(Done::Committed(CommitOutcome::Committed(head))) => Some(*head),
            _ => None,
        };
        if let StoreCall::Commit(commit, _) = &call {
            let first = before.map_or(1, |head| head.next_seq);
            let appended = commit.ops.iter().filter_map(|op| match op {
                Op::Append(message) => Some(message.body.clone()),
                _ => None,
            });
            self.made = (first..).zip(appended).collect();
        }
        let deleted = matches!(&answer, Ok(Done::Deleted(_)));
        let loaded = matches!(&answer, Ok(Done::Loaded(_)));
        let effects = self.machine.complete(Answer::Main(answer), 1);
        let told = effects.change.as_ref();
        assert!(told.is_none() || self.watchers > 0, "nobody watches");
        if let Some(told) = told {
            assert!(told.version.is_none() || told.version != self.told, "a change is told once");
            self.told = told.version;
        }
        if self.watchers > 0 {
            assert!(loaded || told.is_some() == (committed.is_some() || deleted));
        }
        if let (Some(head), Some(told)) = (committed, told) {
            assert_eq!(told.version, Some(head.version));
            assert_eq!(told.appended, next_seq..head.next_seq);
        }
        self.take(effects);
    }

    /// The store works out the answer to the load, commit or delete that it has.
    pub(super) fn apply(&mut self) {
        let Some(call) = self.main.as_ref().filter(|_| self.applied.is_none()) else { return };
        let before = self.store.head;
        self.applied = Some((before, Ok(work(&mut self.store, call))));
    }

    pub(super) fn answer_extension(&mut self, at: usize, luck: Luck) {
        if self.extending.is_empty() {
            return;
        }
        let extension = self.extending.remove(at % self.extending.len());
        let outcome = match luck {
            Luck::FailsBefore => Err(failure()),
            Luck::FailsAfter => {
                self.store.extend(&extension);
                Err(StoreError::new(StoreErrorKind::OutcomeUnknown, "the test says so"))
            }
            Luck::Works | Luck::ComesSecond => Ok(self.store.extend(&extension)),
        };
        if let Ok(ExtendOutcome::Extended(_)) = outcome {
            let stored = &self.store.written[&extension.claim].chunks;
            let there = extension.chunks.iter().all(|chunk| stored.contains(chunk));
            assert!(there, "what is acknowledged is stored: {:?}", extension.offset);
        }
        let effects = self.machine.complete(Answer::Extended(extension.seq, outcome), 1);
        self.take(effects);
    }

    pub(super) fn answer_touch(&mut self, luck: Luck) {
        if std::mem::take(&mut self.touch) {
            let answer = if let Luck::Works = luck { Ok(()) } else { Err(failure()) };
            let effects = self.machine.complete(Answer::Touched(answer), 1);
            self.take(effects);
        }
    }

    /// Tells callers, and checks their outcomes.
    pub(super) fn take(&mut self, effects: Effects) {
        assert_eq!(effects.weight, self.machine.weight());
        for open in effects.replies.iter().flat_map(|of_replies| &of_replies.suspects) {
            if !self.replies.held.contains(&open.claim) {
                self.machine.interrupt(open);
            }
        }
        match effects.settled {
            None => {}
            Some(Settlement::Question(settled)) => self.told_readers(&settled),
            Some(Settlement::Load(mut settled)) => {
                let loaded = settled.outcome.as_ref();
                let loaded = loaded.map(|loaded| &*loaded.view).map_err(|_| ());
                settled.callers -= self.wake_readers(settled.ticket.id, Some(loaded));
                self.wake(&settled);
            }
            Some(Settlement::Commit(settled)) => self.settle(&settled),
            Some(Settlement::Delete(settled)) => {
                let own = self.deletes.iter().position(|id| *id == settled.ticket.id);
                self.deletes.remove(own.expect("somebody asked for it"));
                let callers = settled.callers - 1 - self.wake_readers(settled.ticket.id, None);
                self.wake(&Settled { callers, ..settled });
            }
            Some(Settlement::Extension(settled)) => {
                let own = self.extensions.iter().position(|(id, _)| *id == settled.ticket.id);
                assert_eq!(settled.callers, usize::from(own.is_some()));
                own.map(|own| self.extensions.remove(own));
            }
        }
        for settled in &effects.retried {
            self.settle(settled);
        }
    }

    /// Wakes the calls that waited for it; returns how many.
    fn wake<K: Kind>(&mut self, settled: &Settled<K>) {
        let waiting = |call: &&mut Call| call.waits == Some(settled.ticket.id);
        let woken = self.calls.iter_mut().filter(waiting).map(|call| call.waits = None).count();
        assert_eq!(woken, settled.callers, "every caller is told, and nobody else");
    }

    fn settle(&mut self, settled: &Settled<Committed>) {
        let mut told = 0;
        for call in &mut self.calls {
            let same = |staged: &mut Staged| staged.ticket.id == settled.ticket.id;
            let Some(staged) = call.staged.take_if(same) else { continue };
            told += 1;
            match settled.outcome {
                CommitEnd::Durable => {
                    for (seq, message) in &staged.appended {
                        let made = self.made.iter().find(|(at, _)| at == seq);
                        assert_eq!(made.map(|(_, body)| body), Some(&message.body()));
                    }
                    if let (Plan::Open, [(seq, _)]) = (call.plan, &*staged.appended) {
                        self.replies.opened.push((*seq, claim_of(call.number)));
                    }
                    if let Some((seq, _)) = staged.appended.first() {
                        self.durable.push((staged.order, (self.store.lives, *seq)));
                    }
                    call.end = Some("durable");
                }
                CommitEnd::Failed(_) if staged.has_changes => call.end = Some("failed"),
                CommitEnd::NoSuchSeq(seq) if matches!(call.plan, Plan::Replace(s) if s == seq) => {
                    call.end = Some("refused");
                }
                CommitEnd::NoSuchSeq(_) if matches!(call.plan, Plan::Turn) => {
                    call.end = Some("refused");
                }
                _ => {}
            }
        }
        self.let_go();
        self.durable.sort_unstable();
        let seqs = self.durable.iter().map(|(_, seq)| seq);
        assert!(seqs.is_sorted(), "in the order in which they were staged: {:?}", self.durable);
        let callers = settled.callers - told - self.wake_readers(settled.ticket.id, None);
        let ticket = settled.ticket;
        self.wake(&Settled { ticket, callers, outcome: settled.outcome.clone() });
    }
}
