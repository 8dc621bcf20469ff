//! The result of a run: counts per part, the notes of the tests, and one last plain line.

mod parse;

use crate::shell::Finished;
use std::time::Duration;

/// Tests, by how they ended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// One part of the tests, after its run.
#[derive(Debug)]
pub(crate) struct Part {
    name: &'static str,
    counts: Counts,
    notes: Vec<String>,
    elapsed: Duration,
}

impl Part {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, counts: Counts::default(), notes: Vec::new(), elapsed: Duration::ZERO }
    }

    /// Takes in a run of `cargo test`.
    pub(crate) fn cargo_test(&mut self, finished: &Finished) {
        self.tests(parse::cargo(&finished.lines), finished);
    }

    /// Takes in a run of `node --test --test-reporter=tap`.
    pub(crate) fn node_test(&mut self, finished: &Finished) {
        self.tests(parse::tap(&finished.lines), finished);
    }

    /// Takes in a run of the torture campaigns.
    pub(crate) fn torture(&mut self, finished: &Finished) {
        self.tests(parse::torture(&finished.lines), finished);
    }

    fn tests(&mut self, mut counts: Counts, finished: &Finished) {
        if !finished.ok && counts.failed == 0 {
            // It did not get so far as to count, for example because it did not compile.
            counts.failed = 1;
        }
        if finished.ok && counts.passed == 0 {
            self.notes.push("it ran no test, which is a failure".to_owned());
            counts.failed += 1;
        }
        self.counts.add(counts);
        self.notes.extend(parse::notes(&finished.lines));
        self.elapsed += finished.elapsed;
    }

    /// Takes in something that was shown without a test runner.
    pub(crate) fn check(&mut self, name: &str, holds: bool, elapsed: Duration) {
        self.elapsed += elapsed;
        self.counts.passed += u64::from(holds);
        self.counts.failed += u64::from(!holds);
        println!(
            "   {name} {} ({:.1} s)",
            if holds { "ok" } else { "FAILED" },
            elapsed.as_secs_f32()
        );
        if !holds {
            self.notes.push(format!("FAILED {name}"));
        }
    }

    /// Takes in a run that had to succeed before the tests can run; `true` if it did.
    pub(crate) fn preparation(&mut self, finished: &Finished) -> bool {
        self.elapsed += finished.elapsed;
        if !finished.ok {
            self.counts.failed += 1;
        }
        finished.ok
    }

    /// Something could not be had, so tests did not run. `remedy` tells how to get it.
    pub(crate) fn skip(&mut self, missing: &str, remedy: &str) {
        self.counts.skipped += 1;
        self.notes.push(format!("SKIPPED: {missing}. To run it: {remedy}"));
    }

    /// Says what these tests do not cover here. It is not counted.
    pub(crate) fn not_tested(&mut self, what: &str) {
        self.notes.push(format!("NOT TESTED: {what}"));
    }
}

/// All parts of one run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    parts: Vec<Part>,
}

impl Report {
    pub(crate) fn add(&mut self, part: Part) {
        self.parts.push(part);
    }

    /// Prints the summary, the plain line of counts last. `true` if everything that ran passed and,
    /// in CI, all ran.
    pub(crate) fn conclude(&self, ci: bool) -> bool {
        let mut all = Counts::default();
        println!();
        for part in &self.parts {
            println!("{:<16} {} ({:.0} s)", part.name, part.counts, part.elapsed.as_secs_f32());
            for note in &part.notes {
                println!("  {note}");
            }
            all.add(part.counts);
        }
        let skip_fails = ci && all.skipped > 0;
        if skip_fails {
            println!("with CI set, a skipped test is a failure");
        }
        println!("{all}");
        all.failed == 0 && all.passed > 0 && !skip_fails
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, Duration, Finished, Part, Report};

    fn finished(ok: bool, lines: &[&str]) -> Finished {
        Finished {
            ok,
            lines: lines.iter().map(|&line| line.to_owned()).collect(),
            elapsed: Duration::ZERO,
        }
    }

    fn concluded(part: Part, ci: bool) -> bool {
        let mut report = Report::default();
        report.add(part);
        report.conclude(ci)
    }

    const PASSED: &str = "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; \
                          0 filtered out; finished in 0.01s";

    #[test]
    fn a_run_that_does_not_compile_counts_as_a_failure() {
        let mut part = Part::new("native");
        part.cargo_test(&finished(false, &["error[E0308]: mismatched types"]));
        assert_eq!(part.counts, Counts { passed: 0, failed: 1, skipped: 0 });
        assert!(!concluded(part, false));
    }

    #[test]
    fn a_run_without_tests_is_a_failure() {
        let mut part = Part::new("native");
        part.cargo_test(&finished(true, &["nothing to do"]));
        assert!(!concluded(part, false));
    }

    #[test]
    fn a_skip_fails_in_ci_only() {
        let part = || {
            let mut part = Part::new("browser");
            part.cargo_test(&finished(true, &[PASSED]));
            part.skip("Chromium is not installed", "install it");
            part
        };
        assert!(concluded(part(), false));
        assert!(!concluded(part(), true));
    }

    #[test]
    fn a_test_that_says_that_it_did_not_run_is_skipped_and_fails_in_ci() {
        let part = || {
            let mut part = Part::new("native");
            part.cargo_test(&finished(true, &["note: not run: there is no data", PASSED]));
            part
        };
        assert_eq!(part().counts, Counts { passed: 2, failed: 0, skipped: 1 });
        assert!(concluded(part(), false));
        assert!(!concluded(part(), true));
    }

    #[test]
    fn a_check_that_does_not_hold_is_a_failure() {
        let part = |holds| {
            let mut part = Part::new("native");
            part.check("something", holds, Duration::ZERO);
            part
        };
        assert!(concluded(part(true), true));
        assert!(!concluded(part(false), false));
    }

    #[test]
    fn a_green_run_is_green() {
        let mut part = Part::new("native");
        part.cargo_test(&finished(true, &[PASSED, PASSED]));
        assert_eq!(part.counts.passed, 6);
        assert!(concluded(part, true));
    }
}
