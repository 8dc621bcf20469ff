//! Responses to callers. All responses of a transaction are set before any caller is woken.
//!
//! If writer and executor share a core, waking a caller may put the executor in the writer's place
//! at once. With a single response set, the executor would do little and sleep again: two switches
//! of thread for each response. With all of them set, the first caller that runs wakes the others
//! on the executor's own thread, where that costs next to nothing.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The writer's end. Dropping it unused tells the caller that there will be no response.
pub(crate) struct Responder<T>(Arc<Cell<T>>);

/// The caller's end: `None` if the writer gave no response.
pub(crate) struct Response<'a, T> {
    cell: Arc<Cell<T>>,
    wakeups: &'a Wakeups,
}

struct Cell<T>(Mutex<CellState<T>>);

enum CellState<T> {
    Open(Option<Waker>),
    Set(Option<T>),
}

/// Callers whose responses are set and that have to be woken.
///
/// The writer wakes them, and so does each caller that takes its response: the others then need not
/// wait until the writer has a core again. Neither waits for the other.
#[derive(Default)]
pub(crate) struct Wakeups {
    wakers: Mutex<VecDeque<Waker>>,
    any: AtomicBool,
}

/// Makes the two ends.
pub(crate) fn response<T>(wakeups: &Wakeups) -> (Responder<T>, Response<'_, T>) {
    let cell = Arc::new(Cell(Mutex::new(CellState::Open(None))));
    (Responder(Arc::clone(&cell)), Response { cell, wakeups })
}

impl<T> Cell<T> {
    fn lock(&self) -> MutexGuard<'_, CellState<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the waker of a caller that waits already. A response that is set stays.
    fn set(&self, value: Option<T>) -> Option<Waker> {
        let mut state = self.lock();
        match &mut *state {
            CellState::Open(waker) => {
                let waker = waker.take();
                *state = CellState::Set(value);
                waker
            }
            CellState::Set(_) => None,
        }
    }
}

impl<T> Responder<T> {
    /// Sets the response and wakes the caller.
    pub(crate) fn send(self, value: T) {
        if let Some(waker) = self.0.set(Some(value)) {
            waker.wake();
        }
    }

    /// Sets the response and leaves the waking to `wakeups`.
    fn set(self, value: T, wakeups: &mut VecDeque<Waker>) {
        wakeups.extend(self.0.set(Some(value)));
    }
}

impl<T> Drop for Responder<T> {
    fn drop(&mut self) {
        if let Some(waker) = self.0.set(None) {
            waker.wake();
        }
    }
}

impl<T> Future for Response<'_, T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let response = match &mut *self.cell.lock() {
            CellState::Set(value) => value.take(),
            CellState::Open(Some(waker)) if waker.will_wake(cx.waker()) => return Poll::Pending,
            CellState::Open(waker) => {
                *waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
        };
        self.wakeups.wake();
        Poll::Ready(response)
    }
}

impl Wakeups {
    fn wakers(&self) -> MutexGuard<'_, VecDeque<Waker>> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets all responses, then wakes all callers.
    pub(crate) fn send<T>(&self, responses: impl IntoIterator<Item = (Responder<T>, T)>) {
        {
            let mut wakers = self.wakers();
            for (responder, value) in responses {
                responder.set(value, &mut wakers);
            }
            self.any.store(!wakers.is_empty(), Ordering::Release);
        }
        self.wake();
    }

    /// Wakes all callers, one by one, so that a caller that runs meanwhile can help.
    fn wake(&self) {
        while self.any.load(Ordering::Acquire) {
            let waker = {
                let mut wakers = self.wakers();
                let waker = wakers.pop_front();
                self.any.store(!wakers.is_empty(), Ordering::Release);
                waker
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Wakeups, response};
    use std::future::Future;
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Poll, Wake, Waker};

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn the_first_caller_that_is_woken_finds_all_responses_set_and_wakes_the_others() {
        /// Polls the first caller when it is woken, as an executor on the writer's core would.
        struct First(Mutex<Option<Box<dyn FnOnce() + Send>>>);
        impl Wake for First {
            fn wake(self: Arc<Self>) {
                let poll = self.0.lock().unwrap().take().unwrap();
                poll();
            }
        }

        let wakeups: &'static Wakeups = Box::leak(Box::default());
        let (responders, mut callers): (Vec<_>, Vec<_>) =
            (0..3).map(|_| response::<u32>(wakeups)).unzip();
        let others = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&others));
        for caller in &mut callers[1..] {
            assert!(pin!(caller).poll(&mut Context::from_waker(&waker)).is_pending());
        }
        let mut first = callers.remove(0);
        let waking = Arc::new(First(Mutex::new(None)));
        let waker = Waker::from(Arc::clone(&waking));
        assert!(pin!(&mut first).poll(&mut Context::from_waker(&waker)).is_pending());
        let seen = Arc::new(Woken::default());
        let (woken, polled) = (Arc::clone(&others), Arc::clone(&seen));
        *waking.0.lock().unwrap() = Some(Box::new(move || {
            let value = pin!(first).poll(&mut Context::from_waker(Waker::noop()));
            assert_eq!(value, Poll::Ready(Some(0)));
            assert_eq!(woken.0.load(Ordering::SeqCst), 2, "it has woken the others");
            polled.0.fetch_add(1, Ordering::SeqCst);
        }));
        wakeups.send(responders.into_iter().zip(0..));
        assert_eq!(seen.0.load(Ordering::SeqCst), 1);
        assert_eq!(others.0.load(Ordering::SeqCst), 2, "each once");
        for (n, caller) in callers.into_iter().enumerate() {
            let value = pin!(caller).poll(&mut Context::from_waker(Waker::noop()));
            assert_eq!(value, Poll::Ready(u32::try_from(n + 1).ok()));
        }
    }

    #[test]
    fn a_caller_that_was_dropped_or_never_polled_holds_up_no_other() {
        let wakeups = Wakeups::default();
        let (gone, dropped) = response::<u32>(&wakeups);
        drop(dropped);
        let (early, unpolled) = response::<u32>(&wakeups);
        wakeups.send([(gone, 1), (early, 2)]);
        assert_eq!(
            pin!(unpolled).poll(&mut Context::from_waker(Waker::noop())),
            Poll::Ready(Some(2))
        );
    }

    #[test]
    fn a_dropped_responder_wakes_its_caller_without_a_response() {
        let wakeups = Wakeups::default();
        let (responder, mut caller) = response::<u32>(&wakeups);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        assert!(pin!(&mut caller).poll(&mut Context::from_waker(&waker)).is_pending());
        drop(responder);
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert_eq!(pin!(caller).poll(&mut Context::from_waker(&waker)), Poll::Ready(None));
    }
}
