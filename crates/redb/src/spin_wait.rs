//! Spin-wait: polling a queue for a short time before the thread sleeps.
//!
//! Waking a thread that sleeps on another core takes 14 µs on an otherwise idle virtual machine,
//! half as long as a transaction in memory. A thread that still polls needs no waking. It polls
//! only briefly, and only while that pays: each spin-wait in vain doubles the number of occasions
//! that are skipped.

use std::time::{Duration, Instant};

const LONGEST: Duration = Duration::from_micros(20);

/// At least one occasion in this many is tried.
const RAREST: u32 = 256;

/// Decides when to poll and when to sleep at once.
#[derive(Debug)]
pub(crate) struct SpinWait {
    /// With a single core, polling would keep the producer from running.
    single_core: bool,
    /// Occasions still to skip.
    skip: u32,
    /// Occasions skipped the last time.
    skipped: u32,
}

impl SpinWait {
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism();
        Self { single_core: cores.map_or(true, |cores| cores.get() == 1), skip: 0, skipped: 0 }
    }

    /// Whether to poll on this occasion.
    pub(crate) fn is_due(&mut self) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        !self.single_core
    }

    /// Polls `ready` for up to 20 µs.
    pub(crate) fn until(&mut self, ready: impl Fn() -> bool) {
        let began = Instant::now();
        let mut came = ready();
        while !came && began.elapsed() < LONGEST {
            for _ in 0..16 {
                std::hint::spin_loop();
            }
            came = ready();
        }
        self.learn(came);
    }

    fn learn(&mut self, paid: bool) {
        self.skipped = if paid { 0 } else { (self.skipped * 2 + 1).min(RAREST - 1) };
        self.skip = self.skipped;
    }
}

#[cfg(test)]
mod tests {
    use super::SpinWait;

    #[test]
    fn it_polls_while_that_pays_and_rarely_otherwise() {
        let mut spin_wait = SpinWait { single_core: false, skip: 0, skipped: 0 };
        for _ in 0..100 {
            assert!(spin_wait.is_due());
            spin_wait.until(|| true);
        }
        let mut in_vain = 0;
        for _ in 0..1000 {
            if spin_wait.is_due() {
                in_vain += 1;
                spin_wait.learn(false);
            }
        }
        assert!(in_vain <= 11, "{in_vain}");
        // One success brings it all back.
        while !spin_wait.is_due() {}
        spin_wait.until(|| true);
        assert!(spin_wait.is_due());
    }

    #[test]
    fn it_never_polls_on_a_single_core() {
        let mut spin_wait = SpinWait { single_core: true, skip: 0, skipped: 0 };
        assert!((0..1000).all(|_| !spin_wait.is_due()));
    }
}
