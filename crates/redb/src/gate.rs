//! Whether the file was verified. Until it was, damage may hide sessions: what is found is served,
//! and nothing that is not found counts as absent.

use durable_session::store::{StoreError, StoreErrorKind};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// What is known of the file.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    /// A verification reads the file.
    Pending,
    /// Every page is as redb wrote it, or the file is trusted unread.
    Sound,
    /// Nothing that is not found counts as absent: the file is damaged, or could not be read.
    Refused(StoreError),
}

/// The verdict on the file that is open, which callers can wait for without a runtime.
#[derive(Debug)]
pub(crate) struct Gate(watch::Sender<State>);

#[derive(Debug)]
struct State {
    /// Counts verifications: the verdict of an earlier one is of another file.
    round: u64,
    verdict: Verdict,
}

impl Gate {
    pub(crate) fn new(verdict: Verdict) -> Self {
        Self(watch::Sender::new(State { round: 0, verdict }))
    }

    /// A verification begins, or none is needed. Returns its number.
    pub(crate) fn begin(&self, verdict: Verdict) -> u64 {
        let mut round = 0;
        self.0.send_modify(|state| {
            state.round += 1;
            state.verdict = verdict;
            round = state.round;
        });
        round
    }

    /// The verification of this number ended; says whether it was the last one that began. Then
    /// `before` is called, before anybody hears of the verdict.
    pub(crate) fn end(&self, round: u64, verdict: Verdict, before: impl FnOnce()) -> bool {
        self.0.send_if_modified(|state| {
            let current = state.round == round && matches!(state.verdict, Verdict::Pending);
            if current {
                before();
                state.verdict = verdict;
            }
            current
        })
    }

    pub(crate) fn is_sound(&self) -> bool {
        matches!(self.0.borrow().verdict, Verdict::Sound)
    }

    pub(crate) fn is_pending(&self) -> bool {
        matches!(self.0.borrow().verdict, Verdict::Pending)
    }

    /// The file could not be read for a verification: another attempt may succeed.
    pub(crate) fn may_try_again(&self) -> bool {
        match &self.0.borrow().verdict {
            Verdict::Refused(error) => error.kind() == StoreErrorKind::Unavailable,
            Verdict::Pending | Verdict::Sound => false,
        }
    }

    /// Waits for the end of the verification. `Ok`: what was not found then is absent.
    pub(crate) async fn passed(&self) -> Result<(), StoreError> {
        let mut verdicts = self.0.subscribe();
        let known = verdicts.wait_for(|state| !matches!(state.verdict, Verdict::Pending)).await;
        match known.map(|state| state.verdict.clone()) {
            Ok(Verdict::Refused(error)) => Err(error),
            // The sender lives as long as `self`.
            Ok(Verdict::Sound | Verdict::Pending) | Err(_) => Ok(()),
        }
    }

    /// Like [`passed`](Self::passed), and blocks the thread.
    pub(crate) fn wait(&self) -> Result<(), StoreError> {
        loop {
            if let Some(verdict) = self.wait_for(Duration::MAX) {
                return verdict;
            }
        }
    }

    /// Blocks the thread for up to `patience`; `None` if the verification did not end.
    pub(crate) fn wait_for(&self, patience: Duration) -> Option<Result<(), StoreError>> {
        struct Unpark(Thread);

        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }

        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut passed = pin!(self.passed());
        let began = Instant::now();
        loop {
            if let Poll::Ready(verdict) = passed.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Some(verdict);
            }
            match patience.checked_sub(began.elapsed()) {
                Some(left) => thread::park_timeout(left),
                None => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Gate, StoreError, StoreErrorKind, Verdict};
    use futures_util::FutureExt;

    fn damaged() -> Verdict {
        Verdict::Refused(StoreError::new(StoreErrorKind::Corrupt, "a page is damaged"))
    }

    #[test]
    fn callers_wait_for_the_verdict_and_get_it() {
        let gate = Gate::new(Verdict::Sound);
        assert!(gate.passed().now_or_never().unwrap().is_ok());
        let round = gate.begin(Verdict::Pending);
        let mut waiting = Box::pin(gate.passed());
        assert!((&mut waiting).now_or_never().is_none() && !gate.is_sound());
        assert!(gate.end(round, Verdict::Sound, || ()));
        assert!(waiting.now_or_never().unwrap().is_ok() && gate.is_sound());
    }

    #[test]
    fn the_verdict_on_an_earlier_file_is_not_taken() {
        let gate = Gate::new(Verdict::Pending);
        let earlier = gate.begin(Verdict::Pending);
        let round = gate.begin(Verdict::Pending);
        assert!(!gate.end(earlier, Verdict::Sound, || panic!("stale")) && gate.is_pending());
        assert!(gate.end(round, damaged(), || ()));
        assert!(!gate.end(round, Verdict::Sound, || ()), "it ends once");
        let error = gate.passed().now_or_never().unwrap().unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
        assert!(!gate.may_try_again());
    }
}
