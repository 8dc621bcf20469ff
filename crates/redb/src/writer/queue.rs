//! The queue between callers and the writer thread.

use super::deadline::Deadlines;
use super::request::{Request, Write};
use super::response::Wakeups;
use crate::error::{OpenError, closed};
use crate::spin_wait::SpinWait;
use durable_session::store::{StoreError, StoreErrorKind};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Bounds of the queue and of one transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) queue_requests: usize,
    pub(crate) queue_bytes: u64,
    pub(crate) batch_requests: usize,
    pub(crate) batch_bytes: u64,
    pub(crate) deadline: Duration,
    /// How long an extension may wait for others.
    pub(crate) gather: Duration,
}

/// A request on the whole store.
pub(crate) enum Control {
    Compact(oneshot::Sender<Result<bool, StoreError>>),
    Scrub(oneshot::Sender<Result<(), StoreError>>),
    Reopen(oneshot::Sender<Result<(), OpenError>>),
    Close(oneshot::Sender<Result<(), StoreError>>),
}

/// The next step of the writer.
pub(crate) enum WriterStep {
    Batch(Vec<Request>),
    Control(Control),
    /// Another thread asked for attention: a reader that met failed storage, a flush or a
    /// verification that ended.
    Attend,
    /// The queue was empty for as long as the caller of `next` asked.
    Idle,
    /// The last handle was dropped and the queue is empty.
    End,
}

enum Item {
    Request(Request, OwnedSemaphorePermit),
    Control(Control),
}

impl Item {
    fn is_extension(&self) -> bool {
        matches!(self, Self::Request(Request { write: Write::Extend(_), .. }, _))
    }
}

pub(crate) struct Queue {
    state: Mutex<QueueState>,
    filled: Condvar,
    /// Room in units of bytes. A request takes as many as it has bytes, and at least `smallest`,
    /// so that the number of requests is bounded, too.
    room: Arc<Semaphore>,
    capacity: u32,
    smallest: u32,
    bounds: Bounds,
    /// The number of `items`, for polling without the lock.
    waiting: AtomicUsize,
    /// Callers whose responses are set.
    pub(crate) wakeups: Wakeups,
}

#[derive(Default)]
struct QueueState {
    items: VecDeque<Item>,
    attend: bool,
    closing: bool,
    sleep: Sleep,
    /// Extensions wait for others until then: the last batch of extensions had several.
    gather_until: Option<Instant>,
}

/// The sleep of the writer, until it is woken.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Sleep {
    #[default]
    Awake,
    /// Until anything comes.
    ForWork,
    /// Until something comes that does not wait for others.
    ForCompany,
}

impl QueueState {
    /// Whether all that waits may wait for others: some extensions, fewer than a batch takes.
    fn may_gather(&self, bounds: &Bounds) -> bool {
        !self.closing
            && (1..bounds.batch_requests).contains(&self.items.len())
            && self.items.iter().all(Item::is_extension)
    }
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
            waiting: AtomicUsize::new(0),
            wakeups: Wakeups::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room, first come first served, until the deadline.
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
                    format!(
                        "the write queue stayed full for {} ms",
                        self.bounds.deadline.as_millis()
                    ),
                ))
            })
        })
        .await
    }

    pub(crate) fn push(
        &self,
        request: Request,
        permit: OwnedSemaphorePermit,
    ) -> Result<(), StoreError> {
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
        let goes_on_waiting = state.sleep == Sleep::ForCompany
            && item.is_extension()
            && state.items.len() + 1 < self.bounds.batch_requests;
        state.items.push_back(item);
        self.waiting.store(state.items.len(), Ordering::Release);
        if !goes_on_waiting {
            self.wake(state);
        }
        Ok(())
    }

    fn accept_no_more(&self, state: &mut QueueState) {
        state.closing = true;
        self.room.close();
    }

    /// Wakes the writer if it sleeps: waking a thread costs a system call.
    fn wake(&self, mut state: MutexGuard<'_, QueueState>) {
        if std::mem::take(&mut state.sleep) != Sleep::Awake {
            drop(state);
            self.filled.notify_one();
        }
    }

    /// Asks the writer to look at what other threads found.
    pub(crate) fn attend(&self) {
        let mut state = self.state();
        state.attend = true;
        self.wake(state);
    }

    /// The last handle was dropped: the writer finishes the queue and ends.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        self.accept_no_more(&mut state);
        self.wake(state);
    }

    /// The number of requests that wait.
    pub(crate) fn depth(&self) -> usize {
        self.state().items.len()
    }

    /// The writer is gone: refuses new requests and drops the waiting ones, which tells their
    /// callers that no response will come.
    pub(crate) fn abandon(&self) {
        let mut state = self.state();
        self.accept_no_more(&mut state);
        let unanswered = std::mem::take(&mut state.items);
        self.waiting.store(0, Ordering::Release);
        // Dropping wakes callers, which may come right back.
        drop(state);
        drop(unanswered);
    }

    /// Blocks until there is work and takes as many requests as one transaction may hold. Returns
    /// [`WriterStep::Idle`] if there was no work for `idle`.
    ///
    /// Extensions wait for others, if those before them had company: many replies then share a
    /// sync. Anything else ends their wait at once.
    pub(crate) fn next(&self, spin_wait: &mut SpinWait, idle: Option<Duration>) -> WriterStep {
        let until = idle.map(|idle| Instant::now() + idle);
        let mut state = self.state();
        loop {
            if std::mem::take(&mut state.attend) {
                return WriterStep::Attend;
            }
            if let Some(until) = state.gather_until
                && state.may_gather(&self.bounds)
            {
                let (slept, woken) = self.wait(state, Sleep::ForCompany, Some(until));
                state = slept;
                if !woken {
                    state.gather_until = None;
                }
                continue;
            }
            match state.items.pop_front() {
                Some(Item::Control(control)) => {
                    self.waiting.store(state.items.len(), Ordering::Release);
                    return WriterStep::Control(control);
                }
                Some(Item::Request(request, permit)) => return self.batch(state, request, permit),
                None if state.closing => return WriterStep::End,
                None => match self.sleep(state, spin_wait, until) {
                    Some(woken) => state = woken,
                    None => return WriterStep::Idle,
                },
            }
        }
    }

    /// Takes the requests that fit into a transaction with `first`.
    fn batch(
        &self,
        mut state: MutexGuard<'_, QueueState>,
        first: Request,
        mut permits: OwnedSemaphorePermit,
    ) -> WriterStep {
        let mut bytes = first.write.bytes();
        let mut batch = Vec::with_capacity((state.items.len() + 1).min(self.bounds.batch_requests));
        batch.push(first);
        while batch.len() < self.bounds.batch_requests {
            let Some(Item::Request(next, _)) = state.items.front() else { break };
            bytes = bytes.saturating_add(next.write.bytes());
            if bytes > self.bounds.batch_bytes {
                break;
            }
            if let Some(Item::Request(next, permit)) = state.items.pop_front() {
                batch.push(next);
                permits.merge(permit);
            }
        }
        self.waiting.store(state.items.len(), Ordering::Release);
        let extends = |request: &&Request| matches!(request.write, Write::Extend(_));
        match batch.iter().filter(extends).take(2).count() {
            0 => {}
            1 => state.gather_until = None,
            _ => state.gather_until = Instant::now().checked_add(self.bounds.gather),
        }
        drop(state);
        WriterStep::Batch(batch)
    }

    /// Waits until there is work; `None` if there was none until `until`.
    fn sleep<'a>(
        &'a self,
        mut state: MutexGuard<'a, QueueState>,
        spin_wait: &mut SpinWait,
        until: Option<Instant>,
    ) -> Option<MutexGuard<'a, QueueState>> {
        if spin_wait.is_due() {
            drop(state);
            spin_wait.until(|| self.waiting.load(Ordering::Acquire) > 0);
            state = self.state();
            if !state.items.is_empty() || state.attend || state.closing {
                return Some(state);
            }
        }
        let (state, woken) = self.wait(state, Sleep::ForWork, until);
        woken.then_some(state)
    }

    /// Sleeps until the writer is woken, or until `until`. Returns whether it was woken.
    fn wait<'a>(
        &'a self,
        mut state: MutexGuard<'a, QueueState>,
        sleep: Sleep,
        until: Option<Instant>,
    ) -> (MutexGuard<'a, QueueState>, bool) {
        state.sleep = sleep;
        while state.sleep != Sleep::Awake {
            state = match until {
                None => self.filled.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        state.sleep = Sleep::Awake;
                        return (state, false);
                    }
                    self.filled.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        (state, true)
    }
}

#[cfg(test)]
mod tests {
    use super::{Bounds, Queue, Request, Sleep, Write, WriterStep};
    use crate::spin_wait::SpinWait;
    use crate::writer::response::response;
    use durable_session::SessionId;
    use durable_session::store::{Claim, Extension};
    use futures_executor::block_on;
    use std::sync::Arc;
    use std::thread::{self, JoinHandle};
    use std::time::Duration;

    struct Writes {
        queue: Arc<Queue>,
        deadlines: super::Deadlines,
    }

    impl Writes {
        /// An extension waits for others for so long; a batch takes four requests.
        fn new(gather: Duration) -> Self {
            let queue = Arc::new(Queue::new(Bounds {
                queue_requests: 64,
                queue_bytes: 1 << 20,
                batch_requests: 4,
                batch_bytes: 1 << 20,
                deadline: Duration::from_mins(1),
                gather,
            }));
            Self { queue, deadlines: super::Deadlines::start().unwrap() }
        }

        fn put(&self, write: Write) {
            let permit = block_on(self.queue.room(write.bytes(), &self.deadlines)).unwrap();
            let (responder, _) = response(&self.queue.wakeups);
            let id = SessionId::new("s").unwrap();
            self.queue.push(Request { id, write, responder }, permit).unwrap();
        }

        fn extend(&self) {
            self.put(Write::Extend(Extension::beat(1, Claim::from_bytes([1; 32]))));
        }

        fn touch(&self) {
            self.put(Write::Touch(1));
        }

        /// The requests of the next batch.
        fn next(&self) -> usize {
            match self.queue.next(&mut SpinWait::new(), None) {
                WriterStep::Batch(batch) => batch.len(),
                _ => panic!("no batch"),
            }
        }

        /// The same, of a writer that sleeps until the batch may begin.
        fn sleeping(self: &Arc<Self>) -> JoinHandle<usize> {
            let writes = Arc::clone(self);
            let sleeper = thread::spawn(move || writes.next());
            while self.queue.state().sleep != Sleep::ForCompany {
                assert!(!sleeper.is_finished(), "it did not wait");
                thread::yield_now();
            }
            sleeper
        }

        /// Two extensions that were written together: the next ones may wait for company.
        fn with_company() -> Arc<Self> {
            let writes = Self::new(Duration::from_hours(1));
            writes.extend();
            writes.extend();
            assert_eq!(writes.next(), 2, "those that wait already go together, at once");
            Arc::new(writes)
        }
    }

    #[test]
    fn an_extension_waits_for_others_and_anything_else_ends_the_wait() {
        let writes = Writes::with_company();
        writes.extend();
        let sleeper = writes.sleeping();
        writes.extend();
        writes.touch();
        assert_eq!(sleeper.join().unwrap(), 3);
    }

    #[test]
    fn a_full_batch_begins_at_once() {
        let writes = Writes::with_company();
        writes.extend();
        let sleeper = writes.sleeping();
        (0..3).for_each(|_| writes.extend());
        assert_eq!(sleeper.join().unwrap(), 4);
    }

    #[test]
    fn the_end_of_the_queue_ends_the_wait() {
        let writes = Writes::with_company();
        writes.extend();
        let sleeper = writes.sleeping();
        writes.queue.end();
        assert_eq!(sleeper.join().unwrap(), 1);
    }

    #[test]
    fn attention_goes_first_and_the_wait_goes_on() {
        let writes = Writes::with_company();
        writes.extend();
        writes.queue.attend();
        let step = writes.queue.next(&mut SpinWait::new(), None);
        assert!(matches!(step, WriterStep::Attend));
        let sleeper = writes.sleeping();
        writes.touch();
        assert_eq!(sleeper.join().unwrap(), 2);
    }

    #[test]
    fn an_extension_after_one_that_was_alone_does_not_wait() {
        let writes = Writes::with_company();
        writes.extend();
        writes.touch();
        assert_eq!(writes.next(), 2);
        writes.extend();
        assert_eq!(writes.next(), 1);
    }

    #[test]
    fn the_wait_has_an_end() {
        let writes = Writes::new(Duration::from_millis(1));
        writes.extend();
        writes.extend();
        assert_eq!(writes.next(), 2);
        writes.extend();
        assert_eq!(writes.next(), 1);
    }
}
