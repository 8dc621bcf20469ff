//! A case of the suite, and its outcome.

use crate::fixture::Fixture;
use crate::{Capability, Clause, Factory, Failure};
use futures_util::FutureExt;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;

pub(crate) type CaseFuture<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + 'a>>;

/// A check of one promise of the contract, on a new store of its own.
///
/// ```
/// use durable_session_conformance::{Clause, cases};
///
/// let about_deletes = cases().iter().filter(|case| case.clauses().contains(&Clause::S6));
/// assert!(about_deletes.count() > 0);
/// ```
pub struct Case {
    pub(crate) name: &'static str,
    pub(crate) clauses: &'static [Clause],
    pub(crate) needs: &'static [Capability],
    pub(crate) body: for<'a> fn(&'a mut Fixture) -> CaseFuture<'a>,
}

/// How a case ended on a store.
///
/// ```
/// use durable_session_conformance::{Case, Factory, Outcome};
///
/// /// Runs one case, such as one that failed in a report.
/// async fn passes(case: &Case, factory: &dyn Factory) -> bool {
///     matches!(case.run(factory).await, Outcome::Passed)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The store kept the promise.
    Passed,
    /// The store broke the promise, or the case panicked.
    Failed(Failure),
    /// The factory does not declare these capabilities, which the case needs.
    NotApplicable(Vec<Capability>),
}

impl Case {
    /// The behaviour that the case checks, in the form of a function name. Names are unique.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The clauses that promise this behaviour, the main one first.
    pub fn clauses(&self) -> &'static [Clause] {
        self.clauses
    }

    /// The capabilities that the case needs.
    pub fn needs(&self) -> &'static [Capability] {
        self.needs
    }

    /// Runs the case on a new store of the factory.
    ///
    /// A panic is a failure where the target can unwind.
    pub async fn run(&self, factory: &dyn Factory) -> Outcome {
        let declared = factory.capabilities();
        let missing: Vec<_> =
            self.needs.iter().copied().filter(|need| !declared.contains(need)).collect();
        if !missing.is_empty() {
            return Outcome::NotApplicable(missing);
        }
        let run = async {
            let mut fixture = Fixture::new(factory.create().await?);
            (self.body)(&mut fixture).await
        };
        match AssertUnwindSafe(run).catch_unwind().await {
            Ok(Ok(())) => Outcome::Passed,
            Ok(Err(failure)) => Outcome::Failed(failure),
            Err(payload) => Outcome::Failed(Failure::from_panic(&*payload)),
        }
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case")
            .field("name", &self.name)
            .field("clauses", &self.clauses)
            .field("needs", &self.needs)
            .finish_non_exhaustive()
    }
}
