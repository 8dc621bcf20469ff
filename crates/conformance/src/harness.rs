//! One `#[test]` per case, for `cargo test`.

use crate::report::{Joined, Report};
use crate::{Factory, Outcome, cases};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

/// Makes one `#[test]` per case: a store's whole conformance test.
///
/// The argument is an expression for a [`Factory`](crate::Factory), evaluated anew in every test. When all cases have
/// run in one process, the last writes the [summary](crate::Report::summary) to standard error, uncaptured.
///
/// Use it in a module of its own if a file tests several stores.
#[macro_export]
macro_rules! conformance_tests {
    ($factory:expr) => {
        $crate::__conformance_cases! { [$crate::__conformance_tests] [$factory] }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ([$factory:expr] $($module:ident :: $case:ident $clauses:tt $needs:tt;)*) => {
        $(
            #[test]
            fn $case() {
                $crate::__run_test(&$factory, stringify!($case));
            }
        )*
    };
}

/// What the tests of this process have found so far, by store.
static REPORTS: Mutex<BTreeMap<String, Report>> = Mutex::new(BTreeMap::new());

/// Runs a case by name, and panics if it fails, as a test should.
#[doc(hidden)]
#[allow(clippy::panic)]
pub fn __run_test(factory: &dyn Factory, name: &str) {
    let Some(case) = cases().iter().find(|case| case.name == name) else {
        panic!("no case is called {name}");
    };
    let outcome = futures_executor::block_on(case.run(factory));
    let clauses = Joined(case.clauses);

    let mut reports = REPORTS.lock().unwrap_or_else(PoisonError::into_inner);
    let report = reports.entry(factory.name().to_owned()).or_insert_with(|| Report::new(factory.name()));
    report.add(case, outcome.clone());
    if report.results().len() == cases().len() {
        // The test harness captures what `eprintln!` prints; a summary that nobody sees would hide what was skipped.
        // Whether it could be written is no matter of the store under test.
        let _ = writeln!(std::io::stderr(), "{}", report.summary());
    }
    drop(reports);

    match outcome {
        Outcome::Passed => {}
        Outcome::Failed(failure) => panic!("{} breaks {clauses}: {failure}", factory.name()),
        Outcome::NotApplicable(missing) => println!("not applicable: needs {}", Joined(&missing)),
    }
}
