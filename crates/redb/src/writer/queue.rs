//! The queue between callers and the writer thread.

use super::answer::Due;
use super::lookout::Lookout;
use super::{Deadlines, Request};
use crate::OpenError;
use crate::error::closed;
use durable_session::store::{StoreError, StoreErrorKind};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// How much may wait, and how much one transaction takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) queue_requests: usize,
    pub(crate) queue_bytes: u64,
    pub(crate) batch_requests: usize,
    pub(crate) batch_bytes: u64,
    pub(crate) deadline: Duration,
}

/// Work on the store as a whole.
pub(crate) enum Control {
    Compact(oneshot::Sender<Result<bool, StoreError>>),
    Reopen(oneshot::Sender<Result<(), OpenError>>),
    Close(oneshot::Sender<Result<(), StoreError>>),
}

/// What the writer does next.
pub(crate) enum Work {
    Batch(Vec<Request>),
    Control(Control),
    /// A reader met failed storage.
    Recover,
    /// Nothing waits, and has not for a while.
    Idle,
    /// No handle is left and nothing waits.
    End,
}

enum Item {
    Request(Request, OwnedSemaphorePermit),
    Control(Control),
}

pub(crate) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    /// Room in units of bytes. A request takes its bytes, but at least its share of the room by number.
    room: Arc<Semaphore>,
    capacity: u32,
    smallest: u32,
    bounds: Bounds,
    /// As many as `items`, to be watched without the lock.
    watched: AtomicUsize,
    /// Callers to be woken.
    pub(crate) due: Due,
}

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    recover: bool,
    closing: bool,
    /// The writer sleeps, and nobody has woken it yet.
    asleep: bool,
}

impl Queue {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let capacity = u32::try_from(bounds.queue_bytes.max(1)).unwrap_or(u32::MAX);
        let requests = u32::try_from(bounds.queue_requests.max(1)).unwrap_or(u32::MAX);
        Self {
            state: Mutex::default(),
            filled: Condvar::new(),
            room: Arc::new(Semaphore::new(capacity as usize)),
            capacity,
            smallest: capacity.div_ceil(requests).clamp(1, capacity),
            bounds,
            watched: AtomicUsize::new(0),
            due: Due::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room, in turn, until the deadline.
    pub(crate) async fn room(
        &self,
        bytes: u64,
        deadlines: &Deadlines,
    ) -> Result<OwnedSemaphorePermit, StoreError> {
        let units = u32::try_from(bytes).unwrap_or(u32::MAX).clamp(self.smallest, self.capacity);
        if let Ok(permit) = Arc::clone(&self.room).try_acquire_many_owned(units) {
            return Ok(permit);
        }
        let mut acquired = pin!(Arc::clone(&self.room).acquire_many_owned(units));
        let mut late = deadlines.after(self.bounds.deadline);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(permit) = acquired.as_mut().poll(cx) {
                return Poll::Ready(permit.map_err(|_| closed()));
            }
            pin!(&mut late).poll(cx).map(|_| {
                Err(StoreError::new(
                    StoreErrorKind::Unavailable,
                    format!("the write queue stayed full for {} ms", self.bounds.deadline.as_millis()),
                ))
            })
        })
        .await
    }

    pub(crate) fn push(&self, request: Request, permit: OwnedSemaphorePermit) -> Result<(), StoreError> {
        self.put(Item::Request(request, permit))
    }

    pub(crate) fn control(&self, control: Control) -> Result<(), StoreError> {
        self.put(Item::Control(control))
    }

    fn put(&self, item: Item) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.closing {
            return Err(closed());
        }
        if let Item::Control(Control::Close(_)) = item {
            self.accept_no_more(&mut state);
        }
        state.items.push_back(item);
        self.watched.store(state.items.len(), Ordering::Release);
        self.wake(state);
        Ok(())
    }

    fn accept_no_more(&self, state: &mut State) {
        state.closing = true;
        self.room.close();
    }

    /// Waking a thread costs a system call, and there is no need to while it is awake.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        if std::mem::take(&mut state.asleep) {
            drop(state);
            self.filled.notify_one();
        }
    }

    /// Asks the writer to open the database again.
    pub(crate) fn recover(&self) {
        let mut state = self.state();
        state.recover = true;
        self.wake(state);
    }

    /// No handle is left: the writer ends once it has done what is here.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        self.accept_no_more(&mut state);
        self.wake(state);
    }

    /// How many requests wait.
    pub(crate) fn depth(&self) -> usize {
        self.state().items.len()
    }

    /// There is no writer any more: nothing is accepted, and whoever still waits learns that no answer will come.
    pub(crate) fn abandon(&self) {
        let mut state = self.state();
        self.accept_no_more(&mut state);
        let unanswered = std::mem::take(&mut state.items);
        self.watched.store(0, Ordering::Release);
        // This wakes callers, who may come right back.
        drop(state);
        drop(unanswered);
    }

    /// Blocks until there is something to do, then takes all that one transaction may hold; or until nothing was there to
    /// do for as long as `idle`.
    pub(crate) fn next(&self, lookout: &mut Lookout, idle: Option<Duration>) -> Work {
        let until = idle.map(|idle| Instant::now() + idle);
        let mut state = self.state();
        loop {
            if std::mem::take(&mut state.recover) {
                return Work::Recover;
            }
            match state.items.pop_front() {
                Some(Item::Control(control)) => {
                    self.watched.store(state.items.len(), Ordering::Release);
                    return Work::Control(control);
                }
                Some(Item::Request(request, permit)) => return self.batch(state, request, permit),
                None if state.closing => return Work::End,
                None => match self.sleep(state, lookout, until) {
                    Some(woken) => state = woken,
                    None => return Work::Idle,
                },
            }
        }
    }

    /// All that fits into a transaction with `first`.
    fn batch(
        &self,
        mut state: MutexGuard<'_, State>,
        first: Request,
        mut permits: OwnedSemaphorePermit,
    ) -> Work {
        let mut bytes = first.change.bytes();
        let mut batch = Vec::with_capacity((state.items.len() + 1).min(self.bounds.batch_requests));
        batch.push(first);
        while batch.len() < self.bounds.batch_requests {
            let Some(Item::Request(next, _)) = state.items.front() else { break };
            bytes = bytes.saturating_add(next.change.bytes());
            if bytes > self.bounds.batch_bytes {
                break;
            }
            if let Some(Item::Request(next, permit)) = state.items.pop_front() {
                batch.push(next);
                permits.merge(permit);
            }
        }
        self.watched.store(state.items.len(), Ordering::Release);
        drop(state);
        Work::Batch(batch)
    }

    /// Waits until something is there, or was asked for; `None` if nothing was by then.
    fn sleep<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        lookout: &mut Lookout,
        until: Option<Instant>,
    ) -> Option<MutexGuard<'a, State>> {
        if lookout.is_due() {
            drop(state);
            lookout.until(|| self.watched.load(Ordering::Acquire) > 0);
            state = self.state();
            if !state.items.is_empty() || state.recover || state.closing {
                return Some(state);
            }
        }
        state.asleep = true;
        while state.asleep {
            state = match until {
                None => self.filled.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        state.asleep = false;
                        return None;
                    }
                    self.filled.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        Some(state)
    }
}
