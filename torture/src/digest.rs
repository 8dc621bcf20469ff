//! A digest of the first cases of a run: the same if a prefix of the run is played again.

use std::fmt::{self, Debug, Write};
use xxhash_rust::xxh3::Xxh3;

/// So many cases are in it.
const CASES: u64 = 200;

/// A hash of the facts that a campaign notes. It notes only facts that depend on nothing but the
/// seed, the case and the promises: not how far a thread had come.
#[derive(Clone, Default)]
pub(crate) struct Digest {
    hash: Xxh3,
    ended: u64,
}

impl Digest {
    pub(crate) fn note(&mut self, fact: &impl Debug) {
        if self.ended < CASES {
            // Writing to a hash cannot fail.
            let _ = write!(self, "{fact:?};");
        }
    }

    pub(crate) fn end_of_case(&mut self) {
        self.ended += 1;
    }
}

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.hash.update(text.as_bytes());
        Ok(())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.hash.digest())
    }
}

impl Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::{CASES, Digest};

    fn of(cases: u64, fact: &str) -> String {
        let mut digest = Digest::default();
        for case in 0..cases {
            digest.note(&(case, fact));
            digest.end_of_case();
        }
        digest.to_string()
    }

    #[test]
    fn the_digest_is_of_the_facts_of_the_first_cases() {
        assert_eq!(of(CASES, "x"), of(CASES + 7, "x"));
        assert_ne!(of(CASES, "x"), of(CASES, "y"));
        assert_ne!(of(CASES - 1, "x"), of(CASES, "x"));
    }
}
