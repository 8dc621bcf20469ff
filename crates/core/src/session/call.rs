//! How a call runs: it plans its changes, stages them and waits until they are durable (clauses
//! C3–C5).
//!
//! A call plans on the newest state: the durable one with all changes that are sent or staged. It
//! stages its own changes on top and waits for the commit that carries them. If that commit does
//! not happen for a reason that lies outside the call, the call plans again on the stored state.
//!
//! A plan may need messages that are not in memory: `fetch` and `whole` read them.

use super::actor::{Actor, Cell};
use super::driver::{CatchUp, Wait};
use super::machine::{
    Admission, Change, CommitEnd, Committed, Deleted, Earlier, Fetched, Halt, Loaded, LongView,
    Planned, Planner, Reach, View,
};
use super::registry::Session;
use super::whole::Whole;
use crate::error::Error;
use crate::store::{DeleteIf, DeleteOutcome, TailBounds, Version};
use crate::sync::Arc;

/// The version that a call requires of the session at its commit.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Require {
    Nothing,
    /// The session has exactly this version; `None`: the session does not exist.
    Version(Option<Version>),
    /// No work on the session is pending.
    Settled,
}

/// The state that a plan works on.
enum Newest<'a> {
    /// With the machine's revision, which says later whether the state is still the newest.
    View { view: Arc<View>, revision: u64 },
    /// It is not known yet: follow this step, then ask again.
    NotYet(Step<'a, ()>),
}

/// The next step of a call.
enum Step<'a, T> {
    /// The call changes nothing, and no commit is pending: the caller gets the answer at once.
    Finished(T),
    /// Earlier work has to end first.
    After(EarlierWait<'a>),
    /// The caller gets `value` after a commit: the one with the call's changes or, if it has none,
    /// the last pending one. `own` has the seqs of the messages that the call replaces; `None` if
    /// it changes nothing.
    Commit { value: T, wait: Wait<'a, Committed>, own: Option<Vec<u64>> },
    /// The plan needs the messages at these seqs, which are not in memory.
    Fetch(Vec<u64>),
    /// Plan again: the state has changed, or is not in memory any more.
    Stale,
}

impl<T> Step<'_, T> {
    /// Whether the step goes on to a commit or to another plan, and does not end the call on the
    /// state that the plan saw.
    fn stages_or_waits(&self) -> bool {
        !matches!(self, Self::Finished(_) | Self::Commit { own: None, .. })
    }
}

/// A wait for earlier work.
pub(crate) enum EarlierWait<'a> {
    Load(Wait<'a, Loaded>),
    Commit(Wait<'a, Committed>),
    Delete(Wait<'a, Deleted>),
}

impl EarlierWait<'_> {
    /// Waits until the work has ended. A failed load fails this call, too (clause C8). If a commit
    /// or delete fails, only the calls that made it learn of that.
    pub(crate) async fn ended(self) -> Result<(), Error> {
        match self {
            Self::Load(wait) => {
                wait.await?;
            }
            Self::Commit(wait) => {
                wait.await;
            }
            Self::Delete(wait) => {
                let _ = wait.await;
            }
        }
        Ok(())
    }
}

/// Like [`Planned`], with the state after the changes as the third part.
pub(crate) type Drafted<T> = Result<(T, Vec<Change>, Arc<View>), Halt>;

/// The tries that a call has left, the present one included.
pub(crate) struct Attempts(u32);

impl Session {
    pub(crate) fn planner<'a>(&'a self, fetched: &'a Fetched) -> Planner<'a> {
        Planner { config: &self.registry.config, id: &self.actor.id, fetched }
    }

    /// The last durable state seen, loaded if there is none in memory.
    pub(crate) async fn view(&self) -> Result<Arc<View>, Error> {
        Ok(self.seen(Reach::tail(self.registry.config.window)).await?.view)
    }

    /// Takes in the answers that the store has given, even if the callers went away (clauses C1,
    /// C3). It waits for no writer: work that the store has not answered goes on.
    pub(crate) async fn catch_up(&self) {
        if self.actor.lock().machine.is_busy() {
            CatchUp::new(self).await;
        }
    }

    pub(crate) async fn seen(&self, reach: Reach) -> Result<LongView, Error> {
        // Once the call waits, it keeps the state in memory until it has read it.
        let mut hold = None;
        let mut caught_up = false;
        loop {
            self.check_open()?;
            let first = {
                let machine = &mut self.actor.lock().machine;
                if let Some(view) = machine.settled_view() {
                    return Ok(LongView::from(Arc::clone(view)));
                } else if !caught_up && machine.is_busy() {
                    // The store may have answered already (clause C1).
                    None
                } else if let Some(view) = machine.view() {
                    return Ok(LongView::from(Arc::clone(view)));
                } else {
                    Some(self.wait_for(machine.earlier_or_load(reach)))
                }
            };
            hold.get_or_insert_with(|| self.actor.hold());
            match first {
                None => {
                    caught_up = true;
                    CatchUp::new(self).await;
                }
                Some(EarlierWait::Load(load)) => {
                    let loaded = load.await?;
                    // Only this answer has the messages that do not stay in memory.
                    if reach.reads_more() {
                        return Ok(loaded);
                    }
                }
                Some(first) => first.ended().await?,
            }
        }
    }

    /// Makes the changes that `plan` decides on and waits until they are durable. `plan` runs under
    /// the actor's lock, so it must be short and must not run the user's code.
    pub(crate) async fn apply<T>(
        &self,
        mut plan: impl FnMut(Planner<'_>, &View) -> Planned<T>,
    ) -> Result<T, Error> {
        let mut attempts = Attempts::new(self.registry.config.attempts);
        let mut fetched = Fetched::default();
        let mut erasures = None;
        let mut hold = None;
        let mut since = self.since();
        loop {
            let step = match (self.plan_in_place(&mut erasures, &fetched, &mut plan), since) {
                (Ok(step), Some(_)) if step.stages_or_waits() => step,
                (_, Some(sent)) => {
                    self.confirm_once(sent, &mut since).await?;
                    continue;
                }
                (step, None) => step?,
            };
            if let Step::After(_) | Step::Fetch(_) = step {
                hold.get_or_insert_with(|| self.actor.hold());
            }
            if let Step::Fetch(seqs) = step {
                // Boxed: few calls come here, and every call's future would have room for it.
                Box::pin(self.fetch(&seqs, &mut fetched, &mut attempts)).await?;
                continue;
            }
            if let Some(value) = self.follow(step, &mut attempts).await? {
                return Ok(value);
            }
        }
    }

    /// Like [`apply`](Self::apply), but `plan` runs on a copy and outside every lock, so it may run
    /// the user's code. The session must have the version that `require` names, if any.
    pub(crate) async fn apply_on_copy<T>(
        &self,
        require: Require,
        mut plan: impl FnMut(Planner<'_>, Arc<View>, Option<&Whole>) -> Drafted<T>,
    ) -> Result<T, Error> {
        let mut attempts = Attempts::new(self.registry.config.attempts);
        let mut depth = self.registry.config.window;
        let mut whole: Option<Whole> = None;
        let mut fetched = Fetched::default();
        let mut erasures = None;
        let mut hold = None;
        let mut since = self.since();
        loop {
            let (view, revision) =
                match (self.newest(&mut erasures, require, whole.is_some()), since) {
                    (Ok(Newest::View { view, revision }), _) => (view, revision),
                    (Ok(Newest::NotYet(step)), _) => {
                        hold.get_or_insert_with(|| self.actor.hold());
                        self.follow::<()>(step, &mut attempts).await?;
                        continue;
                    }
                    (Err(_), Some(sent)) => {
                        self.confirm_once(sent, &mut since).await?;
                        continue;
                    }
                    (Err(e), None) => return Err(e),
                };
            if whole.as_ref().is_some_and(|whole| whole.version() != view.version()) {
                // The session has changed since all messages were read: that is a lost try.
                attempts.spend(&self.actor)?;
                whole = Some(self.all_messages(whole).await?);
                continue;
            }
            let step = match plan(self.planner(&fetched), view, whole.as_ref()) {
                Ok((value, changes, after)) => {
                    match (self.stage_copy(revision, value, changes, after), since) {
                        (Ok(step), Some(_)) if step.stages_or_waits() => step,
                        (_, Some(sent)) => {
                            self.confirm_once(sent, &mut since).await?;
                            continue;
                        }
                        (step, None) => step?,
                    }
                }
                Err(Halt::Refused(e)) => {
                    let Some(sent) = since else { return Err(e) };
                    self.confirm_once(sent, &mut since).await?;
                    continue;
                }
                Err(Halt::Whole) => {
                    hold.get_or_insert_with(|| self.actor.hold());
                    whole = Some(self.all_messages(whole).await?);
                    continue;
                }
                Err(Halt::Fetch(seqs)) => {
                    hold.get_or_insert_with(|| self.actor.hold());
                    // Boxed: few calls come here, and every call's future would have room for it.
                    Box::pin(self.fetch(&seqs, &mut fetched, &mut attempts)).await?;
                    continue;
                }
                Err(Halt::Deeper) => {
                    hold.get_or_insert_with(|| self.actor.hold());
                    // Twice as deep each time, until the plan has all that it needs.
                    depth.max_messages = depth.max_messages.saturating_mul(2);
                    depth.max_bytes = depth.max_bytes.saturating_mul(2).max(1);
                    self.deepen(&mut self.actor.lock(), depth)
                }
            };
            if let Some(value) = self.follow(step, &mut attempts).await? {
                return Ok(value);
            }
        }
    }

    /// On a shared store: the call would end without a commit, so nothing has shown that its state
    /// was current. Confirms the state; the call plans again and then may end.
    async fn confirm_once(&self, sent: u64, since: &mut Option<u64>) -> Result<(), Error> {
        // Boxed: few calls come here, and every call's future would have room for it.
        Box::pin(self.confirm(sent)).await?;
        *since = None;
        Ok(())
    }

    /// Deletes the session if it belongs to the owner: if it has this version, or a newer one in
    /// memory that says so.
    pub(crate) async fn delete_of(
        &self,
        owner: &std::sync::Arc<str>,
        version: Version,
    ) -> Result<DeleteOutcome, Error> {
        let ticket = {
            let mut cell = self.actor.lock();
            self.check_open()?;
            let owner = Some(std::sync::Arc::clone(owner));
            cell.machine.delete_of(owner, DeleteIf::Version(version))
        };
        Ok(Wait::new(self, ticket).await?)
    }

    /// Deletes the session if `condition` holds, after all commits that are staged now.
    pub(crate) async fn delete(&self, condition: DeleteIf) -> Result<DeleteOutcome, Error> {
        let ticket = {
            let mut cell = self.actor.lock();
            // Under the lock: what a close has waited for is all that there is.
            self.check_open()?;
            cell.machine.delete(condition)
        };
        Ok(Wait::new(self, ticket).await?)
    }

    /// Waits until all loads, commits and deletes have ended, those that are not sent yet included.
    pub(crate) async fn drain(&self) {
        loop {
            let earlier = self.actor.lock().machine.earlier();
            let Some(earlier) = earlier else { return };
            // The calls that made the work learn of its failure.
            let _ = self.wait_for(earlier).ended().await;
        }
    }

    /// Waits until the loads, commits and deletes have ended that are pending now.
    pub(crate) async fn pending_work(&self) {
        let earlier = self.actor.lock().machine.earlier();
        if let Some(earlier) = earlier {
            let _ = self.wait_for(earlier).ended().await;
        }
    }

    /// Drops the state `old` from memory, once no work is pending: the store has a newer state.
    pub(crate) async fn refresh(&self, old: &Arc<View>) {
        self.drain().await;
        let machine = &mut self.actor.lock().machine;
        if machine.view().is_some_and(|view| Arc::ptr_eq(view, old)) {
            machine.evict();
        }
    }

    fn plan_in_place<T>(
        &self,
        erasures: &mut Option<u64>,
        fetched: &Fetched,
        plan: &mut impl FnMut(Planner<'_>, &View) -> Planned<T>,
    ) -> Result<Step<'_, T>, Error> {
        let window = self.registry.config.window;
        let mut cell = self.actor.lock();
        self.check_open()?;
        self.check_kept(&cell, erasures)?;
        if let Admission::Wait(earlier) = cell.machine.admit(Reach::tail(window)) {
            return Ok(Step::After(self.wait_for(earlier)));
        }
        let Some(view) = cell.machine.top() else { return Ok(Step::Stale) };
        match plan(self.planner(fetched), view) {
            Ok((value, changes)) => self.stage(&mut cell, value, changes, None),
            Err(Halt::Refused(e)) => Err(e),
            Err(Halt::Fetch(seqs)) => Ok(Step::Fetch(seqs)),
            // Deeper: an earlier removal left too little in memory. A plan in place works on no
            // removal of its own, so the plain window is enough. Whole: no plan in place needs it.
            Err(Halt::Deeper | Halt::Whole) => Ok(self.deepen(&mut cell, window)),
        }
    }

    /// The newest state, or the step to follow before it is known. If `settled`, or if a version is
    /// required, it is taken only once no work is pending.
    fn newest(
        &self,
        erasures: &mut Option<u64>,
        require: Require,
        settled: bool,
    ) -> Result<Newest<'_>, Error> {
        self.check_open()?;
        let window = self.registry.config.window;
        let mut cell = self.actor.lock();
        self.check_kept(&cell, erasures)?;
        let machine = &mut cell.machine;
        if let Admission::Wait(earlier) = machine.admit(Reach::tail(window)) {
            return Ok(Newest::NotYet(Step::After(self.wait_for(earlier))));
        }
        // Only durable state has a version.
        if (settled || !matches!(require, Require::Nothing))
            && let Some(earlier) = machine.earlier()
        {
            return Ok(Newest::NotYet(Step::After(self.wait_for(earlier))));
        }
        if let Require::Version(expected) = require {
            let current = machine.view().and_then(|view| view.version());
            if current != expected {
                return Err(Error::VersionChanged { session: self.actor.id.clone(), current });
            }
        }
        let revision = machine.revision();
        Ok(match machine.top() {
            Some(view) => Newest::View { view: Arc::clone(view), revision },
            None => Newest::NotYet(Step::Stale),
        })
    }

    fn stage_copy<T>(
        &self,
        revision: u64,
        value: T,
        changes: Vec<Change>,
        after: Arc<View>,
    ) -> Result<Step<'_, T>, Error> {
        let mut cell = self.actor.lock();
        self.check_open()?;
        if cell.machine.revision() != revision {
            return Ok(Step::Stale);
        }
        self.stage(&mut cell, value, changes, Some(after))
    }

    fn stage<T>(
        &self,
        cell: &mut Cell,
        value: T,
        mut changes: Vec<Change>,
        mut after: Option<Arc<View>>,
    ) -> Result<Step<'_, T>, Error> {
        let machine = &mut cell.machine;
        if changes.is_empty() {
            return Ok(match machine.last_commit() {
                // The answer may show changes that are not durable yet (clause C1).
                Some(last) => Step::Commit { value, wait: Wait::new(self, last), own: None },
                None => Step::Finished(value),
            });
        }
        let exists = machine.view().is_some_and(|view| view.exists);
        if let Some(labels) = self.begins_with.as_deref().filter(|_| !exists) {
            let top = after.as_deref().or(machine.top().map(|top| &**top));
            let is_set = changes.iter().any(|change| matches!(change, Change::SetLabels(_)));
            if !is_set && top.is_some_and(|top| top.labels.is_empty()) {
                self.planner(Fetched::NONE).check_labels(labels)?;
                let change = Change::SetLabels(labels.clone());
                if let Some(after) = &mut after {
                    Arc::make_mut(after).apply(&change);
                }
                changes.push(change);
            }
        }
        // The checks look at no message.
        let planner = self.planner(Fetched::NONE);
        planner.check_commit(&changes, exists)?;
        // Fails if the default app state cannot be stored.
        planner.initial_app()?;
        let own = Some(changes.iter().filter_map(Change::replaced).collect());
        Ok(match machine.stage(changes, after) {
            Some(ticket) => Step::Commit { value, wait: Wait::new(self, ticket), own },
            None => Step::Stale,
        })
    }

    /// Waits for pending work or, if there is none, loads `depth` of the tail.
    fn deepen<T>(&self, cell: &mut Cell, depth: TailBounds) -> Step<'_, T> {
        Step::After(self.wait_for(cell.machine.earlier_or_load(Reach::tail(depth))))
    }

    /// Waits for a step; `None` tells the call to plan again.
    async fn follow<T>(
        &self,
        step: Step<'_, T>,
        attempts: &mut Attempts,
    ) -> Result<Option<T>, Error> {
        match step {
            Step::Finished(value) => Ok(Some(value)),
            // A call that gets `Fetch` fetches the messages and does not come here.
            Step::Stale | Step::Fetch(_) => Ok(None),
            Step::After(first) => first.ended().await.map(|()| None),
            Step::Commit { value, wait, own } => match (wait.await, own) {
                (CommitEnd::Durable, _) => Ok(Some(value)),
                (CommitEnd::Failed(e), Some(_)) => Err(e.into()),
                (CommitEnd::NoSuchSeq(seq), Some(own)) if own.contains(&seq) => {
                    Err(self.planner(Fetched::NONE).no_such(seq))
                }
                (CommitEnd::Conflict | CommitEnd::ReplyEnded, _) => {
                    attempts.spend(&self.actor).map(|()| None)
                }
                // Not this call's failure. A store that still fails also fails the next load. A
                // call that closes a reply sees by itself that the reply has grown.
                (
                    CommitEnd::Failed(_)
                    | CommitEnd::NoSuchSeq(_)
                    | CommitEnd::Grew
                    | CommitEnd::Retry,
                    _,
                ) => Ok(None),
            },
        }
    }

    /// The wait for earlier work. The machine counts each ticket as a caller until the wait ends or
    /// is dropped, so every ticket needs its wait.
    pub(crate) fn wait_for(&self, earlier: Earlier) -> EarlierWait<'_> {
        match earlier {
            Earlier::Load(ticket) => EarlierWait::Load(Wait::new(self, ticket)),
            Earlier::Commit(ticket) => EarlierWait::Commit(Wait::new(self, ticket)),
            Earlier::Delete(ticket) => EarlierWait::Delete(Wait::new(self, ticket)),
        }
    }

    /// Whether no erasure has begun since the call began (clause C13). `before` is the number of
    /// erasures then.
    fn check_kept(&self, cell: &Cell, before: &mut Option<u64>) -> Result<(), Error> {
        let erasures = cell.machine.erasures();
        if *before.get_or_insert(erasures) == erasures {
            Ok(())
        } else {
            Err(Error::Erased { session: self.actor.id.clone() })
        }
    }

    pub(crate) fn check_open(&self) -> Result<(), Error> {
        if self.registry.is_closed() {
            Err(Error::Closed { session: self.actor.id.clone() })
        } else {
            Ok(())
        }
    }
}

impl Attempts {
    pub(crate) fn new(attempts: u32) -> Self {
        Self(attempts)
    }

    /// Counts a try as lost; fails if no other is left.
    pub(crate) fn spend(&mut self, actor: &Actor) -> Result<(), Error> {
        self.0 = self.0.saturating_sub(1);
        if self.0 == 0 { Err(Error::Contended { session: actor.id.clone() }) } else { Ok(()) }
    }
}
