//! Shared by all campaigns: the seed, the budget and the counts.

use crate::digest::Digest;
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
    /// The case to begin with: a run that goes on where an earlier one ended.
    pub(crate) first: u64,
    /// Only this case: a failure played again.
    pub(crate) case: Option<u64>,
    /// Alters the content that the campaign sees before it is checked: its verdict has to turn.
    pub(crate) alteration: Option<Alteration>,
}

/// A change of the content that a campaign sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Alteration {
    pub(crate) kind: Kind,
    /// The chunks of open replies, and not the messages.
    pub(crate) chunks: bool,
}

/// How much a campaign may do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Budget {
    /// A first impression within seconds.
    Quick,
    /// So long.
    Time(Duration),
    /// So many cases.
    Cases(u64),
}

/// The counts of a campaign: `NAME cases=… checked=… skipped=… lost=… ghosts=… …`.
#[derive(Debug)]
pub(crate) struct Tally {
    name: &'static str,
    kinds: &'static [Kind],
    cases: u64,
    checked: u64,
    skipped: u64,
    digest: Digest,
    broken: Broken,
    counts: Vec<(&'static str, u64)>,
    alteration: Option<Alteration>,
    /// Why it ended early.
    failed: Option<Error>,
}

impl Tally {
    pub(crate) fn new(
        name: &'static str,
        kinds: &'static [Kind],
        alteration: Option<Alteration>,
    ) -> Self {
        Self {
            name,
            kinds,
            cases: 0,
            checked: 0,
            skipped: 0,
            digest: Digest::default(),
            broken: Broken::default(),
            counts: Vec::new(),
            alteration,
            failed: None,
        }
    }

    pub(crate) fn add(&mut self, what: &'static str, n: u64) {
        match self.counts.iter_mut().find(|(name, _)| *name == what) {
            Some((_, count)) => *count += n,
            None => self.counts.push((what, n)),
        }
    }

    /// Counts messages or answers that were compared with the expected ones.
    pub(crate) fn checked(&mut self, n: usize) {
        self.checked += n as u64;
    }

    /// Takes into the digest something that is the same whenever the case is played.
    pub(crate) fn note(&mut self, fact: &impl fmt::Debug) {
        self.digest.note(fact);
    }

    pub(crate) fn cases(&self) -> u64 {
        self.cases
    }

    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The counts behind the number of cases.
    pub(crate) fn counted(&self) -> String {
        let all = self.to_string();
        all.splitn(3, ' ').nth(2).unwrap_or_default().to_owned()
    }

    /// Something that was to be attacked was not.
    pub(crate) fn skipped(&mut self) {
        self.skipped += 1;
    }

    /// The messages that a campaign sees, before it checks them.
    pub(crate) fn sees<T: Clone>(&self, messages: &mut Vec<T>, ghost: impl FnOnce(&T) -> T) {
        self.alter(false, messages, ghost);
    }

    /// The chunks of open replies that a campaign sees, before it checks them.
    pub(crate) fn sees_chunks<T: Clone>(&self, chunks: &mut Vec<T>, ghost: impl FnOnce(&T) -> T) {
        self.alter(true, chunks, ghost);
    }

    fn alter<T: Clone>(&self, chunks: bool, seen: &mut Vec<T>, ghost: impl FnOnce(&T) -> T) {
        let [.., _, last] = &seen[..] else { return };
        let last = last.clone();
        match self
            .alteration
            .filter(|alteration| alteration.chunks == chunks)
            .map(|alteration| alteration.kind)
        {
            Some(Kind::Lost) => drop(seen.pop()),
            Some(Kind::Doubled) => seen.push(last),
            Some(Kind::Ghosts) => seen.push(ghost(&last)),
            Some(Kind::Reordered) => {
                let at = seen.len() - 2;
                seen.swap(at, at + 1);
            }
            _ => {}
        }
    }

    /// Whether the campaign's view is to be altered in this way.
    pub(crate) fn alters(&self, kind: Kind) -> bool {
        self.alteration.is_some_and(|alteration| alteration.kind == kind)
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
    /// case that fails ends the campaign: the tally counts the findings, and its error says how
    /// to play the case again. A campaign that checked nothing has failed, too.
    pub(crate) fn cases(
        &self,
        name: &'static str,
        kinds: &'static [Kind],
        quick: u64,
        mut play: impl FnMut(u64, &mut Rng, &mut Tally) -> Result<()>,
    ) -> Tally {
        let mut tally = Tally::new(name, kinds, self.alteration);
        let began = Instant::now();
        let mut progress = Progress::default();
        loop {
            let case = self.case.unwrap_or(self.first + tally.cases);
            if std::env::var_os("TORTURE_LOUD").is_some() {
                eprintln!("{name} case {case}");
            }
            let mut rng = self.rng(name, case);
            tally.note(&(case, rng.get_seed()));
            let played = catch_unwind(AssertUnwindSafe(|| play(case, &mut rng, &mut tally)));
            let played = played.unwrap_or_else(|panic| Err(panicked(&*panic)));
            tally.cases += 1;
            tally.digest.end_of_case();
            if let Err(error) = &played {
                tally.broken.join(Broken::of(error));
            }
            progress.show(&tally, began.elapsed());
            let done = self.case.is_some()
                || played.is_err()
                || match self.budget {
                    Budget::Quick => tally.cases >= quick,
                    Budget::Time(time) => began.elapsed() >= time,
                    Budget::Cases(cases) => tally.cases >= cases,
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
        let alteration = self.alteration.map(|alteration| {
            let chunks = if alteration.chunks { " --chunks" } else { "" };
            format!(" --alter {}{chunks}", alteration.kind.name())
        });
        let alteration = alteration.unwrap_or_default();
        format!(
            "{name} failed; play it again with --only {name} --seed {} --case {case}{alteration}",
            self.seed
        )
    }
}

fn panicked(panic: &(dyn Any + Send)) -> anyhow::Error {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    anyhow!("a PANIC got through: {text}")
}

/// Panics tell nothing by themselves: those of redb on damaged files are answered as errors, and
/// one that gets through ends its campaign. With `TORTURE_LOUD` set they are printed, and so is the
/// number of each case, for one that aborts.
pub(crate) fn hush() {
    if std::env::var_os("TORTURE_LOUD").is_none() {
        std::panic::set_hook(Box::new(|_| {}));
    }
}

/// On a terminal, the counts so far; nothing in a pipe.
#[derive(Debug, Default)]
struct Progress {
    shown: Duration,
}

impl Progress {
    fn show(&mut self, tally: &Tally, elapsed: Duration) {
        if elapsed.saturating_sub(self.shown) >= Duration::from_millis(200)
            && std::io::stderr().is_terminal()
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
