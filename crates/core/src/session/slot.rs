//! The one live instance of a session: its state and its turns with the store (clauses C1–C4).
//!
//! A slot has at most one piece of work with the store, the *flight*; what is staged meanwhile gathers in a queue. The
//! flight is driven by whoever waits for anything of this slot: each waiter polls it with a waker that wakes them all,
//! so no task is spawned and a dropped waiter stops nothing.

use super::batch::{Answer, AnswerFuture, Batch, Flight, Outcome, Reach, Ticket, Work};
use super::config::Config;
use super::hub::Hub;
use super::view::{Change, LongView, View};
use super::waiters::Waiters;
use super::watch::Watch;
use crate::SessionId;
use crate::planted;
use crate::store::{
    Commit, CommitOutcome, DeleteOutcome, Expect, Op, StoreError, StoreErrorKind, TailBounds,
};
use crate::sync::{Arc, Mutex, MutexGuard, Weak};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll, Wake, Waker};

/// The identity of a session within one [`ChatSessions`](crate::ChatSessions) (clause C2).
pub(crate) struct Slot {
    pub(crate) id: SessionId,
    hub: Weak<Hub>,
    state: Mutex<State>,
}

/// What a slot knows. Everything here changes under the slot's lock, and no code but the engine's runs under it.
#[derive(Default)]
pub(crate) struct State {
    /// The last durable state seen; `None` if not loaded, or emptied.
    pub(crate) published: Option<Arc<View>>,
    /// `published` with everything in flight and queued on top; built when first needed, gone when nothing is pending.
    /// Boxed, since most slots have none.
    projected: Option<Box<View>>,
    /// Changes whenever what the next call would be staged on changes.
    pub(crate) serial: u64,
    flight: Option<Flight>,
    /// Boxed, as what stays of it when it is empty is kept for every session.
    queue: VecDeque<Box<Batch>>,
    waiters: Waiters,
    next_waiter: u64,
    /// The flight's waker was called since it was last polled.
    woken: bool,
    pub(crate) watch: Watch,
    /// When a read last used the session.
    pub(crate) accessed_at: u64,
    /// When a touch was last sent to the store.
    pub(crate) touched_at: u64,
    /// When anything last used the slot.
    pub(crate) used_at: u64,
    /// Calls that wait for the state to be loaded: it is not taken away before they have used it.
    pub(crate) calls: u64,
    /// What it is charged in the hub's account of live sessions.
    pub(crate) charged: u64,
    /// Whether it stands in the hub's queue of live sessions.
    pub(crate) enlisted: bool,
}

/// Whether a call can be staged now.
pub(crate) enum Admission {
    Open,
    /// Wait for this first; is it a load?
    Wait {
        ticket: Arc<Ticket>,
        load: bool,
    },
}

impl Slot {
    pub(crate) fn new(id: SessionId, hub: Weak<Hub>) -> Self {
        Self { id, hub, state: Mutex::default() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Keeps the state in memory until the call has ended.
    pub(crate) fn call(&self) -> Call<'_> {
        self.lock().calls += 1;
        Call(self)
    }

    /// Polls the flight, and the ones that follow from it, as far as they go without waiting.
    pub(crate) fn drive(self: &Arc<Self>, hub: &Arc<Hub>) {
        self.drive_and(hub, |weight| hub.charge(self, weight));
    }

    /// Like [`drive`](Self::drive), with `charge` told the session's weight after each answer.
    pub(crate) fn drive_and(self: &Arc<Self>, hub: &Arc<Hub>, charge: impl Fn(u64)) {
        loop {
            let (future, settled) = {
                let mut state = self.lock();
                let settled = state.launch(self, hub);
                // None: nothing to do, or another waiter is polling and will wake us.
                let future = state.flight.as_mut().and_then(|flight| flight.future.take());
                if future.is_some() {
                    state.woken = false;
                }
                (future, settled)
            };
            if settled {
                self.wake_all();
            }
            let Some(future) = future else { return };
            match self.poll(future) {
                Poll::Pending => {
                    // Woken meanwhile: who was polled then found no flight to poll. Not polled again at once, as an executor
                    // that wants its turn back (tokio's budget) answers so until it has it.
                    if self.lock().woken {
                        self.wake_all();
                    }
                    return;
                }
                Poll::Ready(answer) => {
                    let (wakers, weight) = {
                        let mut state = self.lock();
                        state.complete(answer, self, hub);
                        state.launch(self, hub);
                        (std::mem::take(&mut state.waiters), state.weight())
                    };
                    charge(weight);
                    wakers.wake();
                }
            }
        }
    }

    /// Polls the flight's future once. A store that panics has failed with an unknown outcome; it harms nobody else.
    fn poll(self: &Arc<Self>, mut future: AnswerFuture) -> Poll<Result<Answer, StoreError>> {
        let waker = Waker::from(Arc::clone(self));
        let polled =
            catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker))));
        match polled {
            Ok(Poll::Ready(answer)) => Poll::Ready(Ok(answer)),
            Ok(Poll::Pending) => {
                if let Some(flight) = &mut self.lock().flight {
                    flight.future = Some(future);
                }
                Poll::Pending
            }
            Err(_) => {
                Poll::Ready(Err(StoreError::new(StoreErrorKind::OutcomeUnknown, "the store panicked")
                    .in_session(&self.id)))
            }
        }
    }

    fn wake_all(&self) {
        let wakers = {
            let mut state = self.lock();
            state.woken = true;
            std::mem::take(&mut state.waiters)
        };
        wakers.wake();
    }
}

/// A call that needs the state in memory. Without it, a session larger than the memory there is for all of them would
/// be loaded and dropped forever, and never used.
pub(crate) struct Call<'a>(&'a Slot);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.lock().calls -= 1;
    }
}

impl Wake for Slot {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.upgrade() {
            hub.forget(&self.id);
        }
    }
}

impl State {
    /// Whether a call can be staged now: the state must be loaded, and nothing pending may be sealed.
    pub(crate) fn admit(&mut self, reach: Reach) -> Admission {
        if let Some(last) = self.last_batch() {
            if last.sealed {
                let load = matches!(last.work, Work::Load(_));
                return Admission::Wait { ticket: Arc::clone(&last.ticket), load };
            }
        } else if self.published.is_none() {
            return Admission::Wait { ticket: self.enqueue(Work::Load(reach)), load: true };
        }
        Admission::Open
    }

    /// Adds work of its own; what is staged later waits for it.
    pub(crate) fn enqueue(&mut self, work: Work) -> Arc<Ticket> {
        let batch = Batch::new(work);
        let ticket = Arc::clone(&batch.ticket);
        self.queue.push_back(Box::new(batch));
        self.serial += 1;
        ticket
    }

    /// The batch that everything staged now would stand on.
    fn last_batch(&self) -> Option<&Batch> {
        self.queue.back().or_else(|| self.flight.as_ref().map(|f| &f.batch)).map(|batch| &**batch)
    }

    /// The ticket of the last thing pending, if anything is.
    pub(crate) fn last_ticket(&self) -> Option<Arc<Ticket>> {
        self.last_batch().map(|b| Arc::clone(&b.ticket))
    }

    /// Whether work is with the store or waiting to be.
    pub(crate) fn is_busy(&self) -> bool {
        self.flight.is_some() || !self.queue.is_empty()
    }

    /// Whether the store may have made changes that are not published yet.
    pub(crate) fn is_behind(&self) -> bool {
        self.is_busy() && !planted::bug("leave-answers-to-callers")
    }

    /// Whether work is pending that no caller waits for: nobody polls it unless the session is used.
    pub(crate) fn is_left_alone(&self) -> bool {
        self.is_busy() && self.waiters.is_empty() && !planted::bug("leave-answers-in-memory")
    }

    /// Whether the store may have answered although the flight's last poll did not say so: the store woke the slot
    /// meanwhile, or another thread polls the flight right now. That poll then ends by waking every waiter.
    pub(crate) fn may_be_answered(&mut self) -> bool {
        let polled_elsewhere = self.flight.as_ref().is_some_and(|flight| flight.future.is_none());
        self.woken |= polled_elsewhere;
        self.flight.is_some() && self.woken
    }

    /// Whether nobody waits for the flight's answer any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.flight.as_ref().is_some_and(|flight| flight.batch.ticket.is_abandoned())
    }

    /// The calls that wait to be committed.
    pub(crate) fn depth(&self) -> u64 {
        let calls = |b: &Batch| match &b.work {
            Work::Commit { calls, .. } if !b.ticket.is_abandoned() => *calls,
            _ => 0,
        };
        self.queue.iter().map(|b| calls(b)).sum::<u64>() + self.flight.as_ref().map_or(0, |f| calls(&f.batch))
    }

    /// The state that a call staged now would see; `None` if it is not loaded.
    pub(crate) fn top(&mut self, window: TailBounds) -> Option<&View> {
        if !self.is_busy() {
            return self.published.as_deref();
        }
        self.project(window);
        self.projected.as_deref()
    }

    fn project(&mut self, window: TailBounds) {
        if self.projected.is_some() {
            return;
        }
        let Some(published) = &self.published else { return };
        let mut view = Box::new(View::clone(published));
        let flight = self.flight.iter().map(|f| &f.batch);
        for change in flight.chain(&self.queue).flat_map(|batch| batch.changes()) {
            view.apply(change, window);
        }
        self.projected = Some(view);
    }

    /// Reads the windowed ids once, so that looking one up stays cheap.
    pub(crate) fn tag(&mut self) {
        if let Some(published) = self.published.as_mut().filter(|v| !v.is_tagged()) {
            Arc::make_mut(published).tag();
        }
    }

    /// Stages the changes of one call on top of everything pending; `after` is the state they lead to, if it was made.
    pub(crate) fn stage(
        &mut self,
        config: &Config,
        changes: Vec<Change>,
        after: Option<View>,
    ) -> Arc<Ticket> {
        let window = config.window;
        let grows = changes.iter().all(Change::only_grows);
        // Alone and growing only, nobody needs the projected state yet.
        if let Some(after) = after {
            self.projected = Some(Box::new(after));
        } else if self.is_busy() || !grows {
            self.project(window);
            if let Some(view) = &mut self.projected {
                for change in &changes {
                    view.apply(change, window);
                }
            }
        }
        let sealed = !grows && self.projected.as_ref().is_some_and(|v| !(v.exact && v.counted));
        let (max_ops, max_bytes) = config.batch_bounds();
        let bytes = changes.iter().map(Change::bytes).sum();
        let joins = self.queue.back().is_some_and(|b| b.takes(changes.len(), bytes, max_ops, max_bytes));
        if !joins {
            let work = Work::Commit { changes: Vec::new(), bytes: 0, calls: 0 };
            self.queue.push_back(Box::new(Batch::new(work)));
        }
        self.serial += 1;
        // Just pushed if it was not there.
        let Some(batch) = self.queue.back_mut() else { return Arc::default() };
        batch.join(changes);
        batch.sealed |= sealed;
        Arc::clone(&batch.ticket)
    }

    /// Sends the next batch to the store if none is there. Returns whether it settled any that cannot go.
    fn launch(&mut self, slot: &Arc<Slot>, hub: &Arc<Hub>) -> bool {
        if self.flight.is_some() {
            return false;
        }
        let mut settled = false;
        if self.queue.iter().all(|b| b.ticket.is_abandoned()) && !self.queue.is_empty() {
            // Every caller has gone: none of it happens.
            self.queue.drain(..).for_each(|batch| batch.ticket.settle(Outcome::Retry));
            self.serial += 1;
        }
        while let Some(batch) = self.queue.pop_front() {
            if let Some(future) = self.send(&batch, slot, hub) {
                if planted::bug("publish-before-commit")
                    && let Some(published) = &mut self.published
                {
                    let view = Arc::make_mut(published);
                    batch.changes().iter().for_each(|change| view.apply(change, hub.config.window));
                }
                self.flight = Some(Flight { batch, future: Some(future) });
                return settled;
            }
            // A commit whose state was lost before it could go.
            batch.ticket.settle(Outcome::Retry);
            self.serial += 1;
            settled = true;
        }
        self.projected = None;
        settled
    }

    /// The store's work on a batch, not yet polled.
    fn send(&self, batch: &Batch, slot: &Slot, hub: &Hub) -> Option<AnswerFuture> {
        let (store, id) = (Arc::clone(&hub.store), slot.id.clone());
        Some(match &batch.work {
            Work::Load(reach) => {
                let reach = *reach;
                Box::pin(async move { Answer::Loaded(store.load(&id, reach.read).await, reach) })
            }
            Work::Delete(condition) => {
                let condition = *condition;
                Box::pin(async move { Answer::Deleted(store.delete(&id, condition).await) })
            }
            Work::Commit { calls, .. } => {
                let commit = commit_of(batch, self.published.as_ref()?, &hub.config, hub.clock.now_ms());
                hub.stats.batch(*calls);
                Box::pin(async move { Answer::Committed(store.commit(&id, commit).await) })
            }
        })
    }

    /// Takes in what the store answered to the flight.
    fn complete(&mut self, answer: Result<Answer, StoreError>, slot: &Slot, hub: &Hub) {
        let Some(Flight { batch, .. }) = self.flight.take() else { return };
        let window = hub.config.window;
        let outcome = match answer {
            Ok(Answer::Loaded(Ok(loaded), Reach { keep, .. })) => {
                hub.stats.load();
                let view = if let Some(loaded) = loaded {
                    View::loaded(&slot.id, loaded, keep)
                } else {
                    let app = hub.config.app_or_empty();
                    Ok((View::absent(&hub.config, app, keep, hub.clock.now_ms()), Vec::new()))
                };
                match view {
                    Ok((view, older)) => {
                        self.watch.loaded(&view);
                        let view = Arc::new(view);
                        self.published = Some(Arc::clone(&view));
                        Outcome::Loaded(LongView::new(view, older))
                    }
                    Err(e) => Outcome::Failed(e),
                }
            }
            Ok(Answer::Committed(Ok(CommitOutcome::Committed(head)))) => {
                hub.stats.commit();
                self.publish(&batch, head, window);
                Outcome::Done
            }
            Ok(Answer::Committed(Ok(CommitOutcome::Conflict { .. }))) => {
                hub.stats.conflict();
                self.empty();
                Outcome::Conflict
            }
            Ok(Answer::Committed(Ok(CommitOutcome::NoSuchSeq { seq }))) => {
                self.retry_queue();
                Outcome::NoSuchSeq(seq)
            }
            Ok(Answer::Deleted(Ok(outcome))) => {
                if !matches!(outcome, DeleteOutcome::Conflict { .. }) {
                    self.watch.deleted();
                }
                self.empty();
                Outcome::Deleted(outcome)
            }
            Ok(Answer::Loaded(Err(e), _) | Answer::Committed(Err(e)) | Answer::Deleted(Err(e))) | Err(e) => {
                hub.stats.failure();
                self.empty();
                Outcome::Failed(e)
            }
        };
        batch.ticket.settle(outcome);
    }

    /// Makes a durable commit visible (clause C1).
    fn publish(&mut self, batch: &Batch, head: crate::store::Head, window: TailBounds) {
        let Some(published) = &mut self.published else { return };
        let first = published.head.next_seq;
        let view = Arc::make_mut(published);
        for change in batch.changes() {
            view.apply(change, window);
        }
        view.settle(head, window);
        self.watch.published(first, view, batch.changes());
    }

    /// Forgets what is in memory; the next use loads what is stored. Everything staged is staged again.
    fn empty(&mut self) {
        self.published = None;
        self.retry_queue();
    }

    fn retry_queue(&mut self) {
        // Loads and deletes stand on nothing and stay.
        self.queue.retain(|batch| {
            let stays = !matches!(batch.work, Work::Commit { .. });
            if !stays {
                let forgotten = planted::bug("forget-staged-calls");
                batch.ticket.settle(if forgotten { Outcome::Done } else { Outcome::Retry });
            }
            stays
        });
        self.projected = None;
        self.serial += 1;
    }

    /// Drops the state from memory if nothing is going on; returns whether it did.
    pub(crate) fn evict(&mut self) -> bool {
        if self.is_busy() || self.published.is_none() {
            return false;
        }
        self.published = None;
        self.projected = None;
        self.serial += 1;
        true
    }

    /// What the slot holds in memory; 0 for sessions that do not exist, which are not worth keeping.
    fn weight(&self) -> u64 {
        self.published.as_ref().filter(|v| v.exists).map_or(0, |v| v.weight())
    }

    /// Registers a waker under `key`, making a key for a new waiter.
    pub(crate) fn wait(&mut self, key: &mut Option<u64>, waker: &Waker) {
        let key = *key.get_or_insert_with(|| {
            self.next_waiter += 1;
            self.next_waiter
        });
        self.waiters.put(key, waker);
    }

    /// Takes a waiter out that has what it waited for.
    pub(crate) fn done(&mut self, key: u64) {
        self.waiters.remove(key);
    }

    /// Takes a waiter out. If others remain they must be woken: it may have been the one that polls the flight.
    pub(crate) fn leave(&mut self, key: u64) -> Waiters {
        self.waiters.remove(key);
        std::mem::take(&mut self.waiters)
    }
}

/// The store's commit for a batch on top of `published`. The first change of an absent session writes its initial
/// state with it (clause C8).
fn commit_of(batch: &Batch, published: &View, config: &Config, now: u64) -> Commit {
    if published.exists {
        return Commit { expect: Expect::Version(published.head.version), ops: batch.ops(), at: now };
    }
    let mut ops: Vec<Op> = config.greeting.iter().map(|m| Op::Append(m.body())).collect();
    ops.push(Op::SetApp(config.app_or_empty().into_bytes()));
    ops.extend(batch.ops());
    Commit { expect: Expect::Absent { created_at: now }, ops, at: now }
}
