//! The list of cases: the one place that says which there are, what they check and what they need.

use crate::cases as case_modules;
use crate::{Case, Clause};

/// Calls a macro with every case: its module and name, the clauses it checks, the capabilities it needs.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_cases {
    ([$($then:tt)+] [$($argument:tt)*]) => {
        $($then)+! {
            [$($argument)*]
            atomic::a_future_that_was_never_polled_changes_nothing [S1] [];
        }
    };
}

macro_rules! case_table {
    ([] $($module:ident :: $case:ident [$($clause:ident)+] [$($need:ident)*];)*) => {
        static CASES: &[Case] = &[$(
            Case {
                name: stringify!($case),
                clauses: &[$(Clause::$clause),+],
                needs: &[$(crate::Capability::$need),*],
                body: |fixture| Box::pin(case_modules::$module::$case(fixture)),
            },
        )*];
    };
}

__conformance_cases! { [case_table] [] }

/// All cases, as data, for places where no test harness runs.
pub fn cases() -> &'static [Case] {
    CASES
}
