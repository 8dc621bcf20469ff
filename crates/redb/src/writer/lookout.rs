//! Watching a queue for a moment before sleeping.
//!
//! Waking a thread that sleeps on another core takes 14 µs on a virtual machine that is otherwise idle, as long as half
//! of a transaction in memory. A caller that comes right back saves that if the thread still looks. It looks only for a
//! moment and only while that pays: each time that nobody came, twice as many occasions are left out.

use std::time::{Duration, Instant};

const LONGEST: Duration = Duration::from_micros(20);

/// At worst, one occasion in so many is tried.
const RAREST: u32 = 256;

/// When to watch and when to sleep at once.
#[derive(Debug)]
pub(crate) struct Lookout {
    /// There is one core only: watching would keep those from it who are to come.
    alone: bool,
    /// Occasions still to be left out.
    skip: u32,
    /// How many were left out the last time.
    skipped: u32,
}

impl Lookout {
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism();
        Self { alone: cores.map_or(true, |cores| cores.get() == 1), skip: 0, skipped: 0 }
    }

    /// Whether to watch this time.
    pub(crate) fn is_due(&mut self) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        !self.alone
    }

    /// Watches, for a moment, until there is work.
    pub(crate) fn until(&mut self, work: impl Fn() -> bool) {
        let began = Instant::now();
        let mut came = work();
        while !came && began.elapsed() < LONGEST {
            for _ in 0..16 {
                std::hint::spin_loop();
            }
            came = work();
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
    use super::*;

    #[test]
    fn it_is_done_while_it_pays_and_hardly_ever_otherwise() {
        let mut lookout = Lookout { alone: false, skip: 0, skipped: 0 };
        for _ in 0..100 {
            assert!(lookout.is_due());
            lookout.until(|| true);
        }
        let mut in_vain = 0;
        for _ in 0..1000 {
            if lookout.is_due() {
                in_vain += 1;
                lookout.learn(false);
            }
        }
        assert!(in_vain <= 11, "{in_vain}");
        // One success brings it all back.
        while !lookout.is_due() {}
        lookout.until(|| true);
        assert!(lookout.is_due());
    }

    #[test]
    fn never_on_a_single_core() {
        let mut lookout = Lookout { alone: true, skip: 0, skipped: 0 };
        assert!((0..1000).all(|_| !lookout.is_due()));
    }
}
