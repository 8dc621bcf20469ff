//! The line of a run in `docs/runs.tsv`.

use crate::campaign::{Budget, Plan, Tally};
use std::process::Command;
use std::thread::available_parallelism;

/// Campaign, commit, seed, cases, settings, verdict and digest.
pub(crate) fn line(name: &str, plan: &Plan, tally: &Tally) -> String {
    let verdict = if tally.failed().is_none() { "held" } else { "FAILED" };
    format!(
        "{name}\t{}\t{}\t{}..{}\t{}\t{verdict}: {}\t{}",
        commit(),
        plan.seed,
        plan.first,
        plan.first + tally.cases(),
        settings(plan.budget),
        tally.counted(),
        tally.digest()
    )
}

fn settings(budget: Budget) -> String {
    let cores = available_parallelism().map_or(0, std::num::NonZero::get);
    let checked = if cfg!(debug_assertions) { "with" } else { "without" };
    let budget = match budget {
        Budget::Quick => "quick".to_owned(),
        Budget::Time(time) => format!("{} minutes", time.as_secs_f64() / 60.0),
        Budget::Cases(cases) => format!("{cases} cases"),
    };
    format!("{budget}, {cores} cores, {checked} debug assertions")
}

/// The commit that is checked out, and a `+` if the checkout has other changes.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok();
        let output = output.filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=10", "HEAD"]) else {
        return "unknown".to_owned();
    };
    let changes = git(&["status", "--porcelain", "--untracked-files=no"]).unwrap_or_default();
    if changes.is_empty() { commit } else { format!("{commit}+") }
}
