//! The suite tells a broken store from a correct one: a case of the broken clause catches every
//! broken store, and every case catches at least one.
//!
//! Each line of `caught.txt` beside this file is a broken store and a case that fails on it. After
//! a change of the suite or of the broken stores, run the test with `UPDATE_CAUGHT=1` and read the
//! difference.

mod defect;
mod sim;

use defect::{DEFECTS, Defect};
use durable_session_conformance::{Case, Clause, Outcome, cases, run_all};
use futures_executor::block_on;
use sim::SimFactory;
use std::fmt::Write;
use std::io::Write as _;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};

const CAUGHT: &str = include_str!("caught.txt");

fn failing(defect: Defect) -> Vec<&'static Case> {
    let factory = SimFactory { defect: Some(defect), capabilities: SimFactory::WITHOUT_THREADS };
    let report = block_on(run_all(&factory));
    let failed =
        report.results().iter().filter(|(_, outcome)| matches!(outcome, Outcome::Failed(_)));
    failed.map(|(case, _)| *case).collect()
}

/// The failing cases of every broken store, found on as many threads as there are cores.
fn failing_by_defect() -> Vec<(Defect, Clause, Vec<&'static Case>)> {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut found = std::thread::scope(|scope| {
        let work = || {
            let mut found = Vec::new();
            while let Some(&(defect, clause)) = DEFECTS.get(next.fetch_add(1, Ordering::Relaxed)) {
                found.push((defect, clause, failing(defect)));
            }
            found
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect::<Vec<_>>()
    });
    found.sort_by_key(|(defect, ..)| DEFECTS.iter().position(|(f, _)| f == defect));
    found
}

#[test]
fn the_simulated_store_without_a_defect_passes_every_case() {
    let report = block_on(run_all(&SimFactory { defect: None, capabilities: SimFactory::ALL }));
    let counts = report.counts();
    assert_eq!(
        (counts.passed, counts.failed, counts.not_applicable),
        (cases().len(), 0, 0),
        "{report}"
    );
}

#[test]
fn a_case_of_the_broken_clause_fails_on_each_broken_store_and_each_case_fails_on_one() {
    let mut found = String::new();
    let mut uncaught = Vec::new();
    let mut idle: Vec<&str> = cases().iter().map(Case::name).collect();
    for (defect, clause, failed) in failing_by_defect() {
        if !failed.iter().any(|case| case.clauses().contains(&clause)) {
            uncaught.push((defect, clause));
        }
        idle.retain(|name| failed.iter().all(|case| case.name() != *name));
        for case in failed {
            writeln!(found, "{clause} {defect:?}: {} {}", joined(case.clauses()), case.name())
                .unwrap();
        }
    }
    // Written past the test harness, which captures output, and before any assertion can fail.
    let total = DEFECTS.len();
    writeln!(std::io::stderr(), "broken stores: {} of {total} caught", total - uncaught.len())
        .unwrap();
    let update = std::env::var_os("UPDATE_CAUGHT").is_some();
    if update {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/broken/caught.txt"), &found)
            .unwrap();
    }
    idle.retain(|name| !THREADED.iter().any(|(case, _)| case == name));
    assert!(
        uncaught.is_empty() && idle.is_empty(),
        "broken stores that no case of their clause catches: {uncaught:?}\n\
         cases that catch no broken store: {idle:?}"
    );
    if !update {
        let missing: Vec<_> =
            CAUGHT.lines().filter(|line| !found.lines().any(|l| l == *line)).collect();
        let new: Vec<_> =
            found.lines().filter(|line| !CAUGHT.lines().any(|l| l == *line)).collect();
        assert!(
            missing.is_empty() && new.is_empty(),
            "no longer caught: {missing:#?}\nnow caught: {new:#?}"
        );
    }
}

/// Cases with threads, each with a defect that it catches. The scheduler decides in which runs it
/// does.
const THREADED: [(&str, Defect); 8] = [
    ("writers_in_threads_lose_nothing", Defect::LosesTheLastRow),
    ("readers_in_threads_see_whole_commits", Defect::LosesAppStateBesideAppends),
    ("sessions_in_threads_do_not_mix", Defect::SharesOneSeqCounter),
    ("registries_in_threads_lose_no_change", Defect::LosesTheLastRow),
    ("producers_in_threads_lose_nothing_beside_commits", Defect::EndsRepliesWithAppState),
    ("readers_in_threads_see_chunks_in_order", Defect::ReadsChunksFromTheStart),
    ("a_close_in_a_thread_counts_every_acknowledged_chunk", Defect::KeepsRepliesOpenOnClose),
    ("an_expiry_never_deletes_a_session_that_was_just_touched", Defect::DeletesInSpiteOfConflict),
];

#[test]
fn cases_with_threads_catch_broken_stores_too() {
    for (name, defect) in THREADED {
        let case = cases().iter().find(|case| case.name() == name).unwrap();
        let factory = SimFactory { defect: Some(defect), capabilities: SimFactory::ALL };
        let caught = (0..100).any(|_| matches!(block_on(case.run(&factory)), Outcome::Failed(_)));
        assert!(caught, "{name} never caught {defect:?}");
    }
}

fn joined(clauses: &[Clause]) -> String {
    clauses.iter().map(Clause::to_string).collect::<Vec<_>>().join(" ")
}
