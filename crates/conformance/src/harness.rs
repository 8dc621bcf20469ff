//! One `#[test]` per case, for `cargo test`.

use crate::report::{Joined, Report};
use crate::{Factory, Outcome, cases};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

/// Makes the conformance test of a store: one `#[test]` per case.
///
/// The argument is an expression for a [`Factory`](crate::Factory), which every test evaluates
/// anew. When all cases have run in one process, the last one writes the
/// [summary](crate::Report::summary) to standard error, past the output capture of the harness.
///
/// The tests have the names of the cases: use the macro in one module per store.
///
/// ```
/// # mod stores {
/// # use durable_session_conformance::{BoxError, Capability, Factory, Instance};
/// # pub struct Memory;
/// # #[async_trait::async_trait(?Send)]
/// # impl Factory for Memory {
/// #     fn name(&self) -> &'static str {
/// #         "memory"
/// #     }
/// #     fn capabilities(&self) -> &'static [Capability] {
/// #         &[]
/// #     }
/// #     async fn create(&self) -> Result<Box<dyn Instance>, BoxError> {
/// #         Err("not needed here".into())
/// #     }
/// # }
/// # }
/// mod memory {
///     durable_session_conformance::conformance_tests!(crate::stores::Memory);
/// }
/// ```
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

/// The results of the tests that this process has run so far, by store.
static REPORTS: Mutex<BTreeMap<String, Report>> = Mutex::new(BTreeMap::new());

/// Runs a case by name, and panics if it fails, as a test should.
#[doc(hidden)]
#[allow(clippy::panic)]
pub fn __run_test(factory: &dyn Factory, name: &str) {
    let Some(case) = cases().iter().find(|case| case.name == name) else {
        panic!("there is no case {name}");
    };
    let outcome = futures_executor::block_on(case.run(factory));
    let clauses = Joined(case.clauses);

    let mut reports = REPORTS.lock().unwrap_or_else(PoisonError::into_inner);
    let report =
        reports.entry(factory.name().to_owned()).or_insert_with(|| Report::new(factory.name()));
    report.add(case, outcome.clone());
    if report.results().len() == cases().len() {
        // The test harness captures `eprintln!`, and a captured summary would hide the skipped
        // cases. A failure to write it is no failure of the store.
        let _ = writeln!(std::io::stderr(), "{}", report.summary());
    }
    drop(reports);

    match outcome {
        Outcome::Passed => {}
        Outcome::Failed(failure) => panic!("{} breaks {clauses}: {failure}", factory.name()),
        Outcome::NotApplicable(missing) => println!("not applicable: needs {}", Joined(&missing)),
    }
}
