//! The workspace's own tests.

use crate::report::Part;
use crate::shell::{Shell, Step};
use crate::torture;
use anyhow::Result;

/// Packages whose tests need optimised code: `replay` is killed with commits in flight, and benchmarks are only built so.
const RELEASE: [&str; 2] = ["replay", "benches"];

/// Of each kind, in each scenario of the engine under a concurrency checker; `torture` tries more.
const SCHEDULES: u64 = 300;

pub(super) fn run(shell: &Shell) -> Result<Part> {
    let mut part = Part::new("native");

    let mut debug = shell.cargo(["test", "--workspace", "--all-features", "--no-fail-fast"]);
    for package in RELEASE {
        debug.args(["--exclude", package]);
    }
    // The output of passed tests too: conformance prints its counts there.
    debug.args(["--", "--show-output"]);
    part.cargo_test(&Step::new(shell, "native tests", debug).run()?);

    let mut release = shell.cargo(["test", "--release", "--no-fail-fast"]);
    for package in RELEASE {
        release.args(["--package", package]);
    }
    release.args(["--bins", "--tests", "--benches", "--", "--show-output"]);
    part.cargo_test(&Step::new(shell, "native tests, release", release).run()?);
    part.cargo_test(&Step::new(shell, "interleavings", torture::interleavings(shell, SCHEDULES)).run()?);
    Ok(part)
}
