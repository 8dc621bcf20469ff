//! The report of a run of all cases.

use crate::{Case, Clause, Factory, Outcome, cases};
use std::collections::BTreeMap;
use std::fmt;

/// The outcomes of the cases on one store.
///
/// Its display has a line for every failed case and every case that was not applicable, and ends
/// with the [summary](Self::summary).
///
/// ```
/// use durable_session_conformance::Report;
///
/// fn print(report: &Report) {
///     for (clause, counts) in report.by_clause() {
///         println!("{clause}: {counts}");
///     }
///     println!("{report}");
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Report {
    store: String,
    results: Vec<(&'static Case, Outcome)>,
}

/// Numbers of cases by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Cases that passed.
    pub passed: usize,
    /// Cases that failed.
    pub failed: usize,
    /// Cases that need a capability which the factory does not declare.
    pub not_applicable: usize,
}

impl Counts {
    fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Failed(_) => self.failed += 1,
            Outcome::NotApplicable(_) => self.not_applicable += 1,
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} not applicable",
            self.passed, self.failed, self.not_applicable
        )
    }
}

impl Report {
    pub(crate) fn new(store: impl Into<String>) -> Self {
        Self { store: store.into(), results: Vec::new() }
    }

    pub(crate) fn add(&mut self, case: &'static Case, outcome: Outcome) {
        self.results.push((case, outcome));
    }

    /// Every case that ran, with its outcome.
    pub fn results(&self) -> &[(&'static Case, Outcome)] {
        &self.results
    }

    /// The numbers of cases by outcome.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.results.iter().for_each(|(_, outcome)| counts.add(outcome));
        counts
    }

    /// The numbers of cases by outcome for each clause. A case that cites several clauses counts
    /// for each of them.
    pub fn by_clause(&self) -> BTreeMap<Clause, Counts> {
        let mut by_clause: BTreeMap<Clause, Counts> = BTreeMap::new();
        for (case, outcome) in &self.results {
            for &clause in case.clauses {
                by_clause.entry(clause).or_default().add(outcome);
            }
        }
        by_clause
    }

    /// Whether no case failed. Cases that were not applicable are no failures.
    pub fn is_success(&self) -> bool {
        self.counts().failed == 0
    }

    /// `conformance <store>: N passed, N failed, N not applicable`.
    pub fn summary(&self) -> String {
        format!("conformance {}: {}", self.store, self.counts())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (case, outcome) in &self.results {
            let clauses = Joined(case.clauses);
            match outcome {
                Outcome::Passed => {}
                Outcome::Failed(failure) => {
                    writeln!(f, "failed {} [{clauses}]: {failure}", case.name)?;
                }
                Outcome::NotApplicable(missing) => {
                    writeln!(
                        f,
                        "not applicable {} [{clauses}]: needs {}",
                        case.name,
                        Joined(missing)
                    )?;
                }
            }
        }
        f.write_str(&self.summary())
    }
}

pub(crate) struct Joined<'a, T>(pub(crate) &'a [T]);

impl<T: fmt::Display> fmt::Display for Joined<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, item) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{item}")?;
        }
        Ok(())
    }
}

/// Runs all cases one after another. A failure does not stop the run.
///
/// ```
/// use durable_session_conformance::{Factory, run_all};
///
/// async fn check(factory: &dyn Factory) -> Result<String, String> {
///     let report = run_all(factory).await;
///     if report.is_success() { Ok(report.summary()) } else { Err(report.to_string()) }
/// }
/// ```
pub async fn run_all(factory: &dyn Factory) -> Report {
    let mut report = Report::new(factory.name());
    for case in cases() {
        report.add(case, case.run(factory).await);
    }
    report
}
