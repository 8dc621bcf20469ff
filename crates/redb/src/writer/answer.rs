//! Answers to callers: those of one transaction are all set before anybody is woken.
//!
//! Where writer and executor share a core, waking a caller may put it in the writer's place at once. With one answer
//! set it would do little and sleep again: two changes of thread for each answer. With all of them set, whoever has its
//! answer first wakes the others, on the executor's own thread, where that costs next to nothing.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The writer's end. Dropping it without an answer tells the caller that there will be none.
pub(crate) struct Answer<T>(Arc<Cell<T>>);

/// The caller's end: `None` if the writer gave no answer.
pub(crate) struct Answered<'a, T> {
    cell: Arc<Cell<T>>,
    due: &'a Due,
}

struct Cell<T>(Mutex<State<T>>);

enum State<T> {
    Open(Option<Waker>),
    Set(Option<T>),
}

/// Callers whose answers are set and who have to be woken.
///
/// The writer wakes them, and so does each caller that takes its answer: the others then need not wait for the writer to
/// get a core again. Neither waits for the other.
#[derive(Default)]
pub(crate) struct Due {
    wakers: Mutex<VecDeque<Waker>>,
    any: AtomicBool,
}

/// Makes the two ends.
pub(crate) fn answer<T>(due: &Due) -> (Answer<T>, Answered<'_, T>) {
    let cell = Arc::new(Cell(Mutex::new(State::Open(None))));
    (Answer(Arc::clone(&cell)), Answered { cell, due })
}

impl<T> Cell<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The caller to wake, if it waits already; what is set stays.
    fn set(&self, value: Option<T>) -> Option<Waker> {
        let mut state = self.lock();
        match &mut *state {
            State::Open(waker) => {
                let waker = waker.take();
                *state = State::Set(value);
                waker
            }
            State::Set(_) => None,
        }
    }
}

impl<T> Answer<T> {
    /// Sets the answer and wakes the caller.
    pub(crate) fn send(self, value: T) {
        if let Some(waker) = self.0.set(Some(value)) {
            waker.wake();
        }
    }

    /// Sets the answer; the caller is woken with `due`.
    fn set(self, value: T, due: &mut VecDeque<Waker>) {
        due.extend(self.0.set(Some(value)));
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        if let Some(waker) = self.0.set(None) {
            waker.wake();
        }
    }
}

impl<T> Future for Answered<'_, T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let answer = match &mut *self.cell.lock() {
            State::Set(value) => value.take(),
            State::Open(Some(waker)) if waker.will_wake(cx.waker()) => return Poll::Pending,
            State::Open(waker) => {
                *waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
        };
        self.due.wake();
        Poll::Ready(answer)
    }
}

impl Due {
    fn wakers(&self) -> MutexGuard<'_, VecDeque<Waker>> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets all answers, then wakes all callers.
    pub(crate) fn send<T>(&self, answers: impl IntoIterator<Item = (Answer<T>, T)>) {
        {
            let mut wakers = self.wakers();
            for (answer, value) in answers {
                answer.set(value, &mut wakers);
            }
            self.any.store(!wakers.is_empty(), Ordering::Release);
        }
        self.wake();
    }

    /// Wakes whoever is to be woken. One by one, so that whoever comes by meanwhile can help.
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
    use super::*;
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn whoever_is_woken_first_finds_all_answers_and_wakes_the_others() {
        /// Polls the first caller when it is woken, as an executor on the writer's core would.
        struct First(Mutex<Option<Box<dyn FnOnce() + Send>>>);
        impl Wake for First {
            fn wake(self: Arc<Self>) {
                let poll = self.0.lock().unwrap().take().unwrap();
                poll();
            }
        }

        let due: &'static Due = Box::leak(Box::default());
        let (answers, mut answered): (Vec<_>, Vec<_>) = (0..3).map(|_| answer::<u32>(due)).unzip();
        let others = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&others));
        for caller in &mut answered[1..] {
            assert!(pin!(caller).poll(&mut Context::from_waker(&waker)).is_pending());
        }
        let mut first = answered.remove(0);
        let waking = Arc::new(First(Mutex::new(None)));
        let waker = Waker::from(Arc::clone(&waking));
        assert!(pin!(&mut first).poll(&mut Context::from_waker(&waker)).is_pending());
        let seen = Arc::new(Woken::default());
        let (woken, polled) = (Arc::clone(&others), Arc::clone(&seen));
        *waking.0.lock().unwrap() = Some(Box::new(move || {
            let answer = pin!(first).poll(&mut Context::from_waker(Waker::noop()));
            assert_eq!(answer, Poll::Ready(Some(0)));
            assert_eq!(woken.0.load(Ordering::SeqCst), 2, "it has woken the others");
            polled.0.fetch_add(1, Ordering::SeqCst);
        }));
        due.send(answers.into_iter().zip(0..));
        assert_eq!(seen.0.load(Ordering::SeqCst), 1);
        assert_eq!(others.0.load(Ordering::SeqCst), 2, "each once");
        for (n, caller) in answered.into_iter().enumerate() {
            let answer = pin!(caller).poll(&mut Context::from_waker(Waker::noop()));
            assert_eq!(answer, Poll::Ready(u32::try_from(n + 1).ok()));
        }
    }

    #[test]
    fn a_caller_that_has_gone_or_never_waited_holds_up_nobody() {
        let due = Due::default();
        let (gone, dropped) = answer::<u32>(&due);
        drop(dropped);
        let (early, unpolled) = answer::<u32>(&due);
        due.send([(gone, 1), (early, 2)]);
        assert_eq!(pin!(unpolled).poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Some(2)));
    }

    #[test]
    fn a_writer_that_is_gone_says_so() {
        let due = Due::default();
        let (answer, mut answered) = answer::<u32>(&due);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        assert!(pin!(&mut answered).poll(&mut Context::from_waker(&waker)).is_pending());
        drop(answer);
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert_eq!(pin!(answered).poll(&mut Context::from_waker(&waker)), Poll::Ready(None));
    }
}
