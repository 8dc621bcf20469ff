//! The suite can tell a broken store from a correct one: each fault is caught, and each case catches a fault.
//!
//! `caught.txt` beside this file says which cases catch which fault. After a change of the suite or of the faults,
//! run the test with `UPDATE_CAUGHT=1` and read the difference.

mod fault;
mod sim;

use durable_session_conformance::{Case, Clause, Outcome, cases, run_all};
use fault::{FAULTS, Fault};
use futures_executor::block_on;
use sim::SimFactory;
use std::fmt::Write;
use std::io::Write as _;

const CAUGHT: &str = include_str!("caught.txt");

fn failing(fault: Fault) -> Vec<&'static Case> {
    let factory = SimFactory { fault: Some(fault), capabilities: SimFactory::WITHOUT_THREADS };
    let report = block_on(run_all(&factory));
    let failed = report.results().iter().filter(|(_, outcome)| matches!(outcome, Outcome::Failed(_)));
    failed.map(|(case, _)| *case).collect()
}

#[test]
fn the_simulated_store_without_a_fault_passes_every_case() {
    let report = block_on(run_all(&SimFactory { fault: None, capabilities: SimFactory::ALL }));
    let counts = report.counts();
    assert_eq!((counts.passed, counts.failed, counts.not_applicable), (cases().len(), 0, 0), "{report}");
}

#[test]
fn every_broken_store_is_caught_by_the_clause_that_it_breaks_and_every_case_catches_one() {
    let mut found = String::new();
    let mut uncaught = Vec::new();
    let mut idle: Vec<&str> = cases().iter().map(Case::name).collect();
    for &(fault, clause) in FAULTS {
        let failed = failing(fault);
        if !failed.iter().any(|case| case.clauses().contains(&clause)) {
            uncaught.push((fault, clause));
        }
        idle.retain(|name| failed.iter().all(|case| case.name() != *name));
        for case in failed {
            writeln!(found, "{clause} {fault:?}: {} {}", joined(case.clauses()), case.name()).unwrap();
        }
    }
    // Past the test harness, which would swallow it, and before anything that fails.
    let total = FAULTS.len();
    writeln!(std::io::stderr(), "broken stores: {} of {total} caught", total - uncaught.len()).unwrap();
    assert_eq!(uncaught, [], "broken stores that no case of their clause catches");

    idle.retain(|name| !THREADED.iter().any(|(case, _)| case == name));
    assert_eq!(idle, Vec::<&str>::new(), "cases that catch no broken store");

    if std::env::var_os("UPDATE_CAUGHT").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/broken/caught.txt"), &found).unwrap();
    } else {
        let missing: Vec<_> = CAUGHT.lines().filter(|line| !found.lines().any(|l| l == *line)).collect();
        let new: Vec<_> = found.lines().filter(|line| !CAUGHT.lines().any(|l| l == *line)).collect();
        assert!(missing.is_empty() && new.is_empty(), "no longer caught: {missing:#?}\nnow caught: {new:#?}");
    }
}

/// Cases with threads, each with a fault that it catches. Whether one does in a given run is up to the scheduler.
const THREADED: [(&str, Fault); 5] = [
    ("writers_in_threads_lose_nothing", Fault::LosesTheLastRow),
    ("readers_in_threads_see_whole_commits", Fault::LosesAppStateBesideAppends),
    ("sessions_in_threads_do_not_mix", Fault::SharesOneSeqCounter),
    ("hubs_in_threads_lose_nothing", Fault::LosesTheLastRow),
    ("an_expiry_never_deletes_what_a_touch_just_kept", Fault::DeletesInSpiteOfConflict),
];

#[test]
fn cases_with_threads_catch_broken_stores_too() {
    for (name, fault) in THREADED {
        let case = cases().iter().find(|case| case.name() == name).unwrap();
        let factory = SimFactory { fault: Some(fault), capabilities: SimFactory::ALL };
        let caught = (0..100).any(|_| matches!(block_on(case.run(&factory)), Outcome::Failed(_)));
        assert!(caught, "{name} never caught {fault:?}");
    }
}

fn joined(clauses: &[Clause]) -> String {
    clauses.iter().map(Clause::to_string).collect::<Vec<_>>().join(" ")
}
