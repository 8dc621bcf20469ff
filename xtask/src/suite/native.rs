//! The workspace's own tests.

use super::{engines, postgres};
use crate::report::Part;
use crate::shell::{Shell, Step};
use crate::torture;
use anyhow::Result;

/// Of each kind, in each scenario of the engine under a concurrency checker; `torture` tries more.
const SCHEDULES: u64 = 300;

pub(super) fn run(shell: &Shell) -> Result<Part> {
    let mut part = Part::new("native");

    let mut tests = shell.cargo(["test", "--workspace", "--all-features", "--no-fail-fast"]);
    for package in torture::OPTIMIZED.into_iter().chain(postgres::PACKAGES) {
        tests.args(["--exclude", package]);
    }
    // A case that fails slowly would be made smaller for hours.
    tests.env("PROPTEST_MAX_SHRINK_TIME", "60000");
    // The output of passed tests too: conformance prints its counts there.
    tests.args(["--", "--show-output"]);
    part.cargo_test(&Step::new(shell, "native tests", tests).run()?);
    part.cargo_test(
        &Step::new(shell, "interleavings", torture::interleavings(shell, SCHEDULES)).run()?,
    );
    torture::interleavings_turn(shell, &mut part)?;
    engines::run(shell, &mut part)?;
    Ok(part)
}
