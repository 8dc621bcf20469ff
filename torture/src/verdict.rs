//! Broken promises. Every count of a verdict comes from here, none from a constant.

use anyhow::Error;
use clap::ValueEnum;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

/// How a promise can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// An acknowledged message is not there.
    Lost,
    /// A message is there more than once.
    Doubled,
    /// A message is there behind its successor.
    Reordered,
    /// A message is there that nobody sent, or that was refused.
    Ghosts,
    /// An answer shows something of another's session.
    Shown,
    /// A message text, an app state or an id is in the log.
    Logged,
    /// A context view that a provider refuses, or that is no view of its history.
    Invalid,
    /// A context view that could be longer.
    NotMaximal,
    /// Any other answer that is not true; an error that must not occur; a panic; a resource that
    /// grows.
    Wrong,
}

impl Kind {
    /// The kinds that a campaign on messages counts.
    pub(crate) const OF_MESSAGES: &[Self] =
        &[Self::Lost, Self::Doubled, Self::Reordered, Self::Ghosts, Self::Wrong];

    const NAMES: [&str; 9] = [
        "lost",
        "doubled",
        "reordered",
        "ghosts",
        "shown",
        "logged",
        "invalid",
        "not-maximal",
        "wrong",
    ];

    pub(crate) fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    fn all() -> &'static [Self] {
        Self::value_variants()
    }
}

/// Broken promises by kind, and a line for each finding. By default none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Broken {
    counts: [u64; Kind::NAMES.len()],
    told: Vec<String>,
}

impl Broken {
    pub(crate) fn new(kind: Kind, count: u64, told: impl Into<String>) -> Self {
        let mut broken = Self { told: vec![told.into()], ..Self::default() };
        broken.counts[kind as usize] = count;
        broken
    }

    /// How the messages that are there differ from the expected ones. Each is known by its content.
    pub(crate) fn between<T: Eq + Hash + fmt::Debug>(should: &[T], is: &[T]) -> Self {
        let mut times: HashMap<&T, u64> = HashMap::new();
        for message in is {
            *times.entry(message).or_default() += 1;
        }
        let mut broken = Self::default();
        for message in should {
            match times.remove(message).unwrap_or(0) {
                0 => broken.add(Kind::Lost, 1, message),
                1 => {}
                more => broken.add(Kind::Doubled, more - 1, message),
            }
        }
        for (message, count) in times {
            broken.add(Kind::Ghosts, count, message);
        }
        let places: HashMap<&T, usize> =
            should.iter().enumerate().map(|(n, message)| (message, n)).collect();
        let mut furthest = 0;
        for message in is {
            let Some(&place) = places.get(message) else { continue };
            if place < furthest {
                broken.add(Kind::Reordered, 1, message);
            }
            furthest = furthest.max(place);
        }
        broken
    }

    fn add(&mut self, kind: Kind, count: u64, message: &impl fmt::Debug) {
        self.counts[kind as usize] += count;
        self.told.push(format!("{} {message:.200?}", kind.name()));
    }

    /// Counts at least one of this kind: a session without messages can be lost, too.
    pub(crate) fn at_least_one(mut self, kind: Kind) -> Self {
        self.counts[kind as usize] = self.counts[kind as usize].max(1);
        self
    }

    /// Says where it was found.
    pub(crate) fn within(mut self, place: impl fmt::Display) -> Self {
        self.told.iter_mut().for_each(|told| *told = format!("{place}: {told}"));
        if self.told.is_empty() && !self.is_nothing() {
            self.told.push(place.to_string());
        }
        self
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(count, more)| *count += more);
        self.told.extend(other.told);
    }

    pub(crate) fn count(&self, kind: Kind) -> u64 {
        self.counts[kind as usize]
    }

    /// How many of all kinds.
    pub(crate) fn findings(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(crate) fn is_nothing(&self) -> bool {
        self.findings() == 0
    }

    /// An error if anything was found.
    pub(crate) fn into_result(self) -> Result<(), Self> {
        if self.is_nothing() { Ok(()) } else { Err(self) }
    }

    /// The findings of a case that failed: those in its error, or something wrong.
    pub(crate) fn of(error: &Error) -> Self {
        error
            .downcast_ref::<Self>()
            .cloned()
            .unwrap_or_else(|| Self::new(Kind::Wrong, 1, error.root_cause().to_string()))
    }

    /// `lost=0 ghosts=0 …`: these kinds, and every other that was found.
    pub(crate) fn counts(&self, kinds: &[Kind]) -> impl Iterator<Item = (&'static str, u64)> {
        let shown = |kind: &&Kind| kinds.contains(kind) || self.count(**kind) > 0;
        let shown: Vec<_> = Kind::all().iter().filter(shown).copied().collect();
        shown.into_iter().map(|kind| (kind.name(), self.count(kind)))
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in self.counts(&[]) {
            write!(f, "{}={count} ", name.to_uppercase())?;
        }
        f.write_str("(")?;
        for (n, told) in self.told.iter().take(5).enumerate() {
            write!(f, "{}{told}", if n == 0 { "" } else { "; " })?;
        }
        if self.told.len() > 5 {
            write!(f, "; and {} more", self.told.len() - 5)?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for Broken {}

/// Fails the case with a finding of this kind unless the condition holds.
macro_rules! hold {
    ($condition:expr, $kind:ident, $($told:tt)+) => {
        if !$condition {
            let kind = $crate::verdict::Kind::$kind;
            return Err($crate::verdict::Broken::new(kind, 1, format!($($told)+)).into());
        }
    };
}
pub(crate) use hold;

#[cfg(test)]
mod tests {
    use super::{Broken, Error, Kind};
    use clap::ValueEnum;

    fn found(should: &[u8], is: &[u8]) -> Vec<(&'static str, u64)> {
        Broken::between(should, is).counts(&[]).collect()
    }

    #[test]
    fn every_kind_of_difference_is_counted_by_itself() {
        assert_eq!(found(&[1, 2, 3], &[1, 2, 3]), []);
        assert_eq!(found(&[], &[]), []);
        assert_eq!(found(&[1, 2, 3], &[1, 3]), [("lost", 1)]);
        assert_eq!(found(&[1, 2, 3], &[]), [("lost", 3)]);
        assert_eq!(found(&[1, 2, 3], &[1, 2, 2, 3, 3, 3]), [("doubled", 3)]);
        assert_eq!(found(&[1, 2, 3], &[1, 3, 2]), [("reordered", 1)]);
        assert_eq!(found(&[1, 2, 3], &[3, 1, 2]), [("reordered", 2)]);
        assert_eq!(found(&[1, 2, 3], &[1, 2, 3, 9, 9]), [("ghosts", 2)]);
        assert_eq!(found(&[1, 2, 3], &[1, 9, 3]), [("lost", 1), ("ghosts", 1)]);
    }

    #[test]
    fn an_error_is_counted_by_the_findings_that_it_carries_and_any_other_as_wrong() {
        let found: Error = Broken::new(Kind::Ghosts, 2, "two of them").into();
        let broken = Broken::of(&found.context("while reading").context("case 3"));
        assert_eq!(broken.counts(&[Kind::Lost]).collect::<Vec<_>>(), [("lost", 0), ("ghosts", 2)]);
        let broken = Broken::of(&anyhow::anyhow!("no such file"));
        assert_eq!(broken.counts(&[]).collect::<Vec<_>>(), [("wrong", 1)]);
    }

    #[test]
    fn kinds_have_the_names_that_the_command_line_knows() {
        for kind in Kind::all() {
            assert_eq!(
                kind.to_possible_value().map(|value| value.get_name().to_owned()),
                Some(kind.name().to_owned())
            );
        }
    }
}
