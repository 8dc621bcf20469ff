//! When the writer waits a moment instead of going ahead, and when it does not.
//!
//! Two waits pay off, sometimes. After a transaction for several callers, most of them are about to come back: waiting
//! until they have puts them into the next transaction together. And before the writer goes to sleep, watching the
//! queue for a moment saves a caller that comes right back from having to wake it. Each wait is bounded, is tried only
//! where the last transaction gives reason to, and is given up for a while whenever it was in vain.

use std::time::Duration;

/// The longest wait for callers to come back; no longer than half of the last transaction either.
const GATHER: Duration = Duration::from_micros(100);

/// How often the queue is looked at before the writer sleeps, and how long that takes, about.
const WATCH: Duration = Duration::from_micros(20);

/// What the writer has learned of its callers.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Callers that were answered by the last transaction or waiting by its end.
    crowd: usize,
    took: Duration,
    gather: Hunch,
    watch: Hunch,
    alone: bool,
}

/// Whether to try something that paid off or did not.
#[derive(Debug, Default)]
struct Hunch {
    /// Occasions still to be left out.
    skip: u32,
    /// How many were left out the last time.
    skipped: u32,
}

impl Hunch {
    /// At worst, one occasion in so many is tried.
    const LONGEST: u32 = 256;

    /// Whether to try this time.
    fn says_yes(&mut self) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        true
    }

    /// How the try went.
    fn learn(&mut self, paid: bool) {
        self.skipped = if paid { 0 } else { (self.skipped * 2 + 1).min(Self::LONGEST - 1) };
        self.skip = self.skipped;
    }
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self {
            crowd: 1,
            took: Duration::ZERO,
            gather: Hunch::default(),
            watch: Hunch::default(),
            // Watching would only keep callers from the one core there is.
            alone: std::thread::available_parallelism().is_ok_and(|cores| cores.get() == 1),
        }
    }

    /// A transaction has answered so many callers, and so many more wait.
    pub(crate) fn finished(&mut self, answered: usize, waiting: usize, took: Duration) {
        self.crowd = answered + waiting;
        self.took = took;
    }

    /// How many callers to wait for, and how long, if that is more than the ones that wait.
    pub(crate) fn gather(&mut self, waiting: usize, most: usize) -> Option<(usize, Duration)> {
        let expected = self.crowd.min(most);
        // Once per transaction: who has not come by then does not come.
        self.crowd = 1;
        (waiting < expected && self.gather.says_yes()).then(|| (expected, GATHER.min(self.took / 2)))
    }

    /// How the wait for callers went.
    pub(crate) fn gathered(&mut self, before: usize, after: usize, expected: usize) {
        self.gather.learn((after - before) * 2 >= expected - before);
    }

    /// How long to watch the queue before sleeping.
    pub(crate) fn watch(&mut self) -> Option<Duration> {
        (!self.alone && self.watch.says_yes()).then_some(WATCH)
    }

    /// Whether somebody came while the queue was watched.
    pub(crate) fn watched(&mut self, came: bool) {
        self.watch.learn(came);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_caller_never_waits_for_others() {
        let mut pace = Pace::new();
        for _ in 0..1000 {
            assert_eq!(pace.gather(1, 64), None);
            pace.finished(1, 0, Duration::from_millis(1));
        }
    }

    #[test]
    fn who_comes_back_is_waited_for_and_who_does_not_is_not() {
        let mut pace = Pace::new();
        let took = Duration::from_millis(4);
        for _ in 0..100 {
            pace.finished(40, 24, took);
            assert_eq!(pace.gather(24, 1000), Some((64, GATHER)), "as long as they come");
            pace.gathered(24, 64, 64);
        }
        let mut waits = 0;
        for _ in 0..1000 {
            pace.finished(40, 24, took);
            if pace.gather(24, 1000).is_some() {
                waits += 1;
                pace.gathered(24, 25, 64);
            }
        }
        assert!(waits <= 12, "{waits} waits in vain");
        // One wait that pays brings them all back.
        let mut waits = 0;
        for _ in 0..1000 {
            pace.finished(40, 24, took);
            if pace.gather(24, 1000).is_some() {
                waits += 1;
                pace.gathered(24, 64, 64);
            }
        }
        assert!(waits > 700, "{waits}");
    }

    #[test]
    fn no_wait_is_longer_than_half_a_transaction_and_none_beyond_what_one_takes() {
        let mut pace = Pace::new();
        pace.finished(8, 8, Duration::from_micros(30));
        assert_eq!(pace.gather(8, 12), Some((12, Duration::from_micros(15))));
        pace.finished(8, 8, Duration::from_micros(30));
        assert_eq!(pace.gather(8, 8), None);
    }
}
