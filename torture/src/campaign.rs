//! What all campaigns share: a seed, a budget, and what they count.

use anyhow::{Context, Result, anyhow};
use fastrand::Rng;
use std::any::Any;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{IsTerminal, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// How a campaign is to run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) budget: Budget,
    /// Only this case: a failure played again.
    pub(crate) case: Option<u64>,
}

/// How much a campaign may do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Budget {
    /// A first impression within seconds.
    Quick,
    /// So long.
    Time(Duration),
}

/// What a campaign counted: `NAME cases=… lost=0 ghosts=0 …`.
#[derive(Debug)]
pub(crate) struct Tally {
    name: &'static str,
    counts: Vec<(&'static str, u64)>,
}

impl Tally {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, counts: Vec::new() }
    }

    pub(crate) fn add(&mut self, what: &'static str, n: u64) {
        match self.counts.iter_mut().find(|(name, _)| *name == what) {
            Some((_, count)) => *count += n,
            None => self.counts.push((what, n)),
        }
    }

    /// Keeps the largest figure of all cases.
    pub(crate) fn most(&mut self, what: &'static str, n: u64) {
        match self.counts.iter_mut().find(|(name, _)| *name == what) {
            Some((_, count)) => *count = n.max(*count),
            None => self.counts.push((what, n)),
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        self.counts.iter().try_for_each(|(what, n)| write!(f, " {what}={n}"))
    }
}

impl Plan {
    /// The random choices of one case: the same whenever the case is played.
    pub(crate) fn rng(&self, campaign: &str, case: u64) -> Rng {
        let mut hasher = DefaultHasher::new();
        (self.seed, campaign, case).hash(&mut hasher);
        Rng::with_seed(hasher.finish())
    }

    /// Plays cases until the budget is used up: `quick` of them, or as many as the time allows. A case that fails ends
    /// the campaign, and the error says how to play it again.
    pub(crate) fn cases(
        &self,
        name: &'static str,
        quick: u64,
        mut play: impl FnMut(u64, &mut Rng, &mut Tally) -> Result<()>,
    ) -> Result<Tally> {
        let mut tally = Tally::new(name);
        tally.add("cases", 0);
        tally.add("lost", 0);
        tally.add("ghosts", 0);
        let began = Instant::now();
        let mut progress = Progress::default();
        let mut number = 0;
        loop {
            let case = self.case.unwrap_or(number);
            if std::env::var_os("TORTURE_LOUD").is_some() {
                eprintln!("{name} case {case}");
            }
            let mut rng = self.rng(name, case);
            let played = catch_unwind(AssertUnwindSafe(|| play(case, &mut rng, &mut tally)));
            played.unwrap_or_else(|panic| Err(panicked(&*panic))).with_context(|| {
                format!("{name} failed; play it again with --only {name} --seed {} --case {case}", self.seed)
            })?;
            number += 1;
            tally.add("cases", 1);
            progress.show(&tally, began.elapsed());
            let done = match self.budget {
                Budget::Quick => number >= quick,
                Budget::Time(time) => began.elapsed() >= time,
            };
            if done || self.case.is_some() {
                progress.end();
                return Ok(tally);
            }
        }
    }
}

fn panicked(panic: &(dyn Any + Send)) -> anyhow::Error {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    anyhow!("a PANIC got through: {text}")
}

/// Panics tell nothing by themselves: those of redb on damaged files are answered as errors, and one that gets through
/// ends its campaign. With `TORTURE_LOUD` set they are printed, and so is the number of each case, for one that aborts.
pub(crate) fn hush() {
    if std::env::var_os("TORTURE_LOUD").is_none() {
        std::panic::set_hook(Box::new(|_| {}));
    }
}

/// On a terminal, what was counted so far; nothing in a pipe.
#[derive(Debug, Default)]
struct Progress {
    shown: Duration,
}

impl Progress {
    fn show(&mut self, tally: &Tally, elapsed: Duration) {
        if elapsed.saturating_sub(self.shown) >= Duration::from_millis(200) && std::io::stderr().is_terminal()
        {
            self.shown = elapsed;
            let _ = write!(std::io::stderr(), "\r\x1b[2K  {tally} ({} s)", elapsed.as_secs());
        }
    }

    fn end(&self) {
        if self.shown > Duration::ZERO {
            let _ = write!(std::io::stderr(), "\r\x1b[2K");
        }
    }
}
