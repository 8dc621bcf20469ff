//! The commit engine: how a call gets from a plan to a durable commit (clauses C3–C5).
//!
//! A call is planned on the newest state there is (durable, in flight or queued), staged as changes, and waits for the
//! commit that carries them. If that commit did not happen for reasons that are not the call's own, the call is planned
//! again on the state that is stored by then.

use super::batch::{Outcome, Reach, Ticket, Work};
use super::claim::{CatchUp, Claim};
use super::hub::Hub;
use super::plan::{Halt, Planned, Planner};
use super::slot::{Admission, Slot, State};
use super::view::{Change, LongView, View};
use super::whole::Whole;
use crate::error::Error;
use crate::store::{DeleteIf, DeleteOutcome, TailBounds, Version};
use crate::sync::Arc;

/// One session of one hub: what every handle works through.
#[derive(Clone)]
pub(crate) struct Engine {
    pub(crate) hub: Arc<Hub>,
    pub(crate) slot: Arc<Slot>,
}

/// What a call requires of the session at its commit.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Require {
    Nothing,
    /// Exactly this version; `None`: that it does not exist.
    Version(Option<Version>),
}

/// What a plan may work on.
enum Copied<'a> {
    View {
        view: View,
        serial: u64,
    },
    /// Something else comes first.
    Not(Step<'a, ()>),
}

/// What a call waits for next.
enum Step<'a, T> {
    /// Nothing: the answer stands on durable state only.
    Finished(T),
    /// Something that must be done before it can be planned.
    Wait { claim: Claim<'a>, load: bool },
    /// The commit that carries its changes, or the one that its answer stands on.
    Staged { value: T, claim: Claim<'a>, own: Option<Vec<u64>> },
    /// What it was planned on has changed.
    Stale,
}

/// The tries that a call has left.
struct Attempts(u32);

impl Engine {
    pub(crate) fn planner(&self) -> Planner<'_> {
        Planner { config: &self.hub.config, id: &self.slot.id }
    }

    /// The last durable state seen, loaded if there is none in memory.
    pub(crate) async fn view(&self) -> Result<Arc<View>, Error> {
        Ok(self.seen(Reach::tail(self.hub.config.window)).await?.view)
    }

    /// The same for who wants all messages: if it has to be loaded, then with as many as are read in one go.
    pub(crate) async fn long_view(&self) -> Result<LongView, Error> {
        self.seen(Reach::whole(self.hub.config.window)).await
    }

    /// Takes in what the store has answered meanwhile, also to callers that went away (clauses C1, C3). It waits for no
    /// writer: work that the store has not answered goes on.
    pub(crate) async fn catch_up(&self) {
        if self.slot.lock().is_behind() {
            CatchUp::new(self).await;
        }
    }

    async fn seen(&self, reach: Reach) -> Result<LongView, Error> {
        let (mut call, mut behind) = (None, true);
        loop {
            self.check_open()?;
            let wait = {
                let mut state = self.slot.lock();
                if behind && state.is_behind() {
                    None
                } else if let Some(published) = &state.published {
                    return Ok(LongView::new(Arc::clone(published), Vec::new()));
                } else {
                    match state.admit(reach) {
                        Admission::Wait { ticket, load } => Some((self.claim(ticket), load)),
                        Admission::Open => continue,
                    }
                }
            };
            call.get_or_insert_with(|| self.slot.call());
            let Some((claim, load)) = wait else {
                behind = false;
                CatchUp::new(self).await;
                continue;
            };
            match claim.await {
                Outcome::Loaded(loaded) if reach.reads_more() => return Ok(loaded),
                outcome => waited(outcome, load)?,
            }
        }
    }

    /// Makes the changes that `plan` decides on; it runs under the slot's lock and must be short and our own.
    pub(crate) async fn apply<T>(
        &self,
        mut plan: impl FnMut(Planner<'_>, &View) -> Planned<T>,
    ) -> Result<T, Error> {
        let mut attempts = Attempts(self.hub.config.attempts);
        let mut call = None;
        loop {
            let step = self.plan_in_place(&mut plan)?;
            if let Step::Wait { .. } = step {
                call.get_or_insert_with(|| self.slot.call());
            }
            if let Some(value) = self.follow(step, &mut attempts).await? {
                return Ok(value);
            }
        }
    }

    /// Makes the changes that `plan` decides on, working on a copy and outside every lock: it may be the user's code.
    pub(crate) async fn apply_on_copy<T>(
        &self,
        require: Require,
        mut plan: impl FnMut(View, Option<&Whole>) -> Result<(T, Vec<Change>, View), Halt>,
    ) -> Result<T, Error> {
        let mut attempts = Attempts(self.hub.config.attempts);
        let mut depth = self.hub.config.window;
        let mut whole: Option<Whole> = None;
        let mut call = None;
        loop {
            let (view, serial) = match self.copy(require, whole.is_some())? {
                Copied::View { view, serial } => (view, serial),
                Copied::Not(step) => {
                    call.get_or_insert_with(|| self.slot.call());
                    self.follow::<()>(step, &mut attempts).await?;
                    continue;
                }
            };
            if whole.as_ref().is_some_and(|whole| whole.version() != view.version()) {
                attempts.spend(&self.slot)?;
                whole = Some(self.all_messages(whole).await?);
                continue;
            }
            let step = match plan(view, whole.as_ref()) {
                Ok((value, changes, after)) => self.stage_copy(serial, value, changes, after)?,
                Err(Halt::Refused(e)) => return Err(e),
                Err(Halt::Whole) => {
                    call.get_or_insert_with(|| self.slot.call());
                    whole = Some(self.all_messages(whole).await?);
                    continue;
                }
                Err(Halt::Deeper) => {
                    call.get_or_insert_with(|| self.slot.call());
                    depth.max_messages = depth.max_messages.saturating_mul(2);
                    depth.max_bytes = depth.max_bytes.saturating_mul(2).max(1);
                    self.deepen(depth)
                }
            };
            if let Some(value) = self.follow(step, &mut attempts).await? {
                return Ok(value);
            }
        }
    }

    /// Deletes the session under a condition, after everything staged before.
    pub(crate) async fn delete(&self, condition: DeleteIf) -> Result<DeleteOutcome, Error> {
        loop {
            self.check_open()?;
            let claim = {
                let mut state = self.slot.lock();
                let ticket = state.enqueue(Work::Delete(condition));
                self.claim(ticket)
            };
            match claim.await {
                Outcome::Deleted(outcome) => return Ok(outcome),
                Outcome::Failed(e) => return Err(e.into()),
                Outcome::Done
                | Outcome::Loaded(_)
                | Outcome::Retry
                | Outcome::Conflict
                | Outcome::NoSuchSeq(_) => {}
            }
        }
    }

    /// Waits until nothing is with the store or queued.
    pub(crate) async fn drain(&self) {
        loop {
            let claim = self.slot.lock().last_ticket().map(|ticket| self.claim(ticket));
            match claim {
                Some(claim) => claim.await,
                None => return,
            };
        }
    }

    /// Forgets what is in memory, once nothing is pending, because the store was seen to have something newer.
    pub(crate) async fn refresh(&self, old: &Arc<View>) {
        self.drain().await;
        let mut state = self.slot.lock();
        if state.published.as_ref().is_some_and(|published| Arc::ptr_eq(published, old)) {
            state.evict();
        }
    }

    fn plan_in_place<T>(
        &self,
        plan: &mut impl FnMut(Planner<'_>, &View) -> Planned<T>,
    ) -> Result<Step<'_, T>, Error> {
        self.check_open()?;
        let window = self.hub.config.window;
        let mut state = self.slot.lock();
        if let Admission::Wait { ticket, load } = state.admit(Reach::tail(window)) {
            return Ok(Step::Wait { claim: self.claim(ticket), load });
        }
        state.tag();
        let Some(view) = state.top(window) else { return Ok(Step::Stale) };
        match plan(self.planner(), view) {
            Ok((value, changes)) => self.stage(&mut state, value, changes, None),
            Err(Halt::Refused(e)) => Err(e),
            // A removal took the window's end; planning in place removes nothing itself, so the
            // plain window will do, and no plan that is made in place needs all messages.
            Err(Halt::Deeper | Halt::Whole) => Ok(self.deepen_in(&mut state, window)),
        }
    }

    /// A copy of the newest state, with nothing pending below it if it must be `settled`; or what
    /// to wait for first.
    fn copy(&self, require: Require, settled: bool) -> Result<Copied<'_>, Error> {
        self.check_open()?;
        let window = self.hub.config.window;
        let mut state = self.slot.lock();
        if let Admission::Wait { ticket, load } = state.admit(Reach::tail(window)) {
            return Ok(Copied::Not(Step::Wait { claim: self.claim(ticket), load }));
        }
        // A version is known only when nothing is pending on top of it.
        if (settled || matches!(require, Require::Version(_)))
            && let Some(ticket) = state.last_ticket()
        {
            return Ok(Copied::Not(Step::Wait { claim: self.claim(ticket), load: false }));
        }
        if let Require::Version(expected) = require {
            let current = state.published.as_ref().and_then(|view| view.version());
            if current != expected {
                return Err(Error::VersionChanged { session: self.slot.id.clone(), current });
            }
        }
        let serial = state.serial;
        Ok(match state.top(window) {
            Some(view) => Copied::View { view: view.clone(), serial },
            None => Copied::Not(Step::Stale),
        })
    }

    fn stage_copy<T>(
        &self,
        serial: u64,
        value: T,
        changes: Vec<Change>,
        after: View,
    ) -> Result<Step<'_, T>, Error> {
        self.check_open()?;
        let mut state = self.slot.lock();
        if state.serial != serial || state.published.is_none() {
            return Ok(Step::Stale);
        }
        self.stage(&mut state, value, changes, Some(after))
    }

    fn stage<T>(
        &self,
        state: &mut State,
        value: T,
        changes: Vec<Change>,
        after: Option<View>,
    ) -> Result<Step<'_, T>, Error> {
        if changes.is_empty() {
            return Ok(match state.last_ticket() {
                // It may stand on what is not durable yet.
                Some(ticket) => Step::Staged { value, claim: self.claim(ticket), own: None },
                None => Step::Finished(value),
            });
        }
        let exists = state.published.as_ref().is_some_and(|view| view.exists);
        self.planner().check_commit(&changes, exists)?;
        self.planner().initial_app()?;
        let replaced = changes.iter().filter_map(|change| match change {
            Change::Replace { seq, .. } => Some(*seq),
            _ => None,
        });
        let own = Some(replaced.collect());
        let ticket = state.stage(&self.hub.config, changes, after);
        Ok(Step::Staged { value, claim: self.claim(ticket), own })
    }

    fn deepen<T>(&self, depth: TailBounds) -> Step<'_, T> {
        self.deepen_in(&mut self.slot.lock(), depth)
    }

    /// Loads more of the tail, once nothing is pending.
    fn deepen_in<T>(&self, state: &mut State, depth: TailBounds) -> Step<'_, T> {
        match state.last_ticket() {
            Some(ticket) => Step::Wait { claim: self.claim(ticket), load: false },
            None => {
                Step::Wait { claim: self.claim(state.enqueue(Work::Load(Reach::tail(depth)))), load: true }
            }
        }
    }

    /// Waits for a step; `None` says to try again.
    async fn follow<T>(&self, step: Step<'_, T>, attempts: &mut Attempts) -> Result<Option<T>, Error> {
        match step {
            Step::Finished(value) => Ok(Some(value)),
            Step::Stale => Ok(None),
            Step::Wait { claim, load } => waited(claim.await, load).map(|()| None),
            Step::Staged { value, claim, own } => match (claim.await, own) {
                (Outcome::Done, _) => Ok(Some(value)),
                (Outcome::Failed(e), Some(_)) => Err(e.into()),
                (Outcome::NoSuchSeq(seq), Some(own)) if own.contains(&seq) => {
                    Err(self.planner().no_such(seq))
                }
                (Outcome::Conflict, _) => attempts.spend(&self.slot).map(|()| None),
                _ => Ok(None),
            },
        }
    }

    /// Call with the slot's lock held: a batch nobody waits for may be dropped.
    fn claim(&self, ticket: Arc<Ticket>) -> Claim<'_> {
        Claim::new(self, ticket)
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.hub.is_closed() { Err(Error::Closed { session: self.slot.id.clone() }) } else { Ok(()) }
    }
}

/// A wait for somebody else's work: only a failed load is our failure, too (clause C8).
fn waited(outcome: Outcome, load: bool) -> Result<(), Error> {
    match outcome {
        Outcome::Failed(e) if load => Err(e.into()),
        _ => Ok(()),
    }
}

impl Attempts {
    fn spend(&mut self, slot: &Slot) -> Result<(), Error> {
        self.0 = self.0.saturating_sub(1);
        if self.0 == 0 { Err(Error::Contended { session: slot.id.clone() }) } else { Ok(()) }
    }
}
