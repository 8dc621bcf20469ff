//! What all campaigns share: a seed, a budget, and what they count.

use crate::verdict::{Broken, Kind};
use anyhow::{Context, Error, Result, anyhow, ensure};
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
    /// Alter what the campaign sees in this way before it is checked: its verdict has to turn.
    pub(crate) doctor: Option<Kind>,
}

/// How much a campaign may do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Budget {
    /// A first impression within seconds.
    Quick,
    /// So long.
    Time(Duration),
}

/// What a campaign counted: `NAME cases=… checked=… skipped=… lost=… ghosts=… …`.
#[derive(Debug)]
pub(crate) struct Tally {
    name: &'static str,
    kinds: &'static [Kind],
    cases: u64,
    checked: u64,
    skipped: u64,
    broken: Broken,
    counts: Vec<(&'static str, u64)>,
    doctor: Option<Kind>,
    /// Why it ended early.
    failed: Option<Error>,
}

impl Tally {
    pub(crate) fn new(name: &'static str, kinds: &'static [Kind], doctor: Option<Kind>) -> Self {
        Self {
            name,
            kinds,
            cases: 0,
            checked: 0,
            skipped: 0,
            broken: Broken::default(),
            counts: Vec::new(),
            doctor,
            failed: None,
        }
    }

    pub(crate) fn add(&mut self, what: &'static str, n: u64) {
        match self.counts.iter_mut().find(|(name, _)| *name == what) {
            Some((_, count)) => *count += n,
            None => self.counts.push((what, n)),
        }
    }

    /// So many messages or answers were compared with what they should be.
    pub(crate) fn checked(&mut self, n: usize) {
        self.checked += n as u64;
    }

    /// Something that was to be attacked was not.
    pub(crate) fn skipped(&mut self) {
        self.skipped += 1;
    }

    /// The messages that a campaign sees, before it checks them.
    pub(crate) fn sees<T: Clone>(&self, messages: &mut Vec<T>, ghost: impl FnOnce(&T) -> T) {
        let [.., _, last] = &messages[..] else { return };
        let last = last.clone();
        match self.doctor {
            Some(Kind::Lost) => drop(messages.pop()),
            Some(Kind::Doubled) => messages.push(last),
            Some(Kind::Ghosts) => messages.push(ghost(&last)),
            Some(Kind::Reordered) => {
                let at = messages.len() - 2;
                messages.swap(at, at + 1);
            }
            _ => {}
        }
    }

    /// Whether what a campaign sees is to be altered in this way.
    pub(crate) fn doctors(&self, kind: Kind) -> bool {
        self.doctor == Some(kind)
    }

    /// Why the campaign ended early, if it did.
    pub(crate) fn failed(&self) -> Option<&Error> {
        self.failed.as_ref()
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
        let Self { name, cases, checked, skipped, .. } = self;
        write!(f, "{name} cases={cases} checked={checked} skipped={skipped}")?;
        let broken = self.broken.counts(self.kinds);
        broken.chain(self.counts.iter().copied()).try_for_each(|(what, n)| write!(f, " {what}={n}"))
    }
}

impl Plan {
    /// The random choices of one case: the same whenever the case is played.
    pub(crate) fn rng(&self, campaign: &str, case: u64) -> Rng {
        let mut hasher = DefaultHasher::new();
        (self.seed, campaign, case).hash(&mut hasher);
        Rng::with_seed(hasher.finish())
    }

    /// Plays cases until the budget is used up: `quick` of them, or as many as the time allows. A
    /// case that fails ends the campaign: the tally counts what was found, and its error says how
    /// to play the case again. A campaign that checked nothing has failed, too.
    pub(crate) fn cases(
        &self,
        name: &'static str,
        kinds: &'static [Kind],
        quick: u64,
        mut play: impl FnMut(u64, &mut Rng, &mut Tally) -> Result<()>,
    ) -> Tally {
        let mut tally = Tally::new(name, kinds, self.doctor);
        let began = Instant::now();
        let mut progress = Progress::default();
        loop {
            let case = self.case.unwrap_or(tally.cases);
            if std::env::var_os("TORTURE_LOUD").is_some() {
                eprintln!("{name} case {case}");
            }
            let mut rng = self.rng(name, case);
            let played = catch_unwind(AssertUnwindSafe(|| play(case, &mut rng, &mut tally)));
            let played = played.unwrap_or_else(|panic| Err(panicked(&*panic)));
            tally.cases += 1;
            if let Err(error) = &played {
                tally.broken.join(Broken::of(error));
            }
            progress.show(&tally, began.elapsed());
            let done = self.case.is_some()
                || played.is_err()
                || match self.budget {
                    Budget::Quick => tally.cases >= quick,
                    Budget::Time(time) => began.elapsed() >= time,
                };
            if done {
                progress.end();
                let verdict = played.and_then(|()| {
                    ensure!(tally.checked > 0, "nothing was checked");
                    Ok(())
                });
                tally.failed = verdict.with_context(|| self.again(name, case)).err();
                return tally;
            }
        }
    }

    fn again(&self, name: &str, case: u64) -> String {
        let doctor = self.doctor.map(|kind| format!(" --doctor {}", kind.name())).unwrap_or_default();
        format!("{name} failed; play it again with --only {name} --seed {} --case {case}{doctor}", self.seed)
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
