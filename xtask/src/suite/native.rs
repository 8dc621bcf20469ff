//! The workspace's own tests.

use crate::report::Part;
use crate::shell::{Shell, Step};
use anyhow::Result;
use std::process::Command;

/// Packages whose tests need optimised code: `replay` is killed with commits in flight, and benchmarks are only built so.
const RELEASE: [&str; 2] = ["replay", "benches"];

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
    part.cargo_test(&Step::new(shell, "interleavings", interleavings(shell)).run()?);
    Ok(part)
}

/// The engine under a concurrency checker, which needs a build of its own; fewer schedules than `torture` tries.
fn interleavings(shell: &Shell) -> Command {
    let mut command = shell.cargo(["test", "--package", "durable-session", "--test", "interleavings"]);
    command.arg("--target-dir").arg(shell.target().join("shuttle")).args(["--", "--show-output"]);
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    command.env("RUSTFLAGS", format!("{flags} --cfg shuttle")).env("INTERLEAVINGS", "300");
    command
}
