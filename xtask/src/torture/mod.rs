//! `cargo xtask torture`.

mod interleavings;
mod planted;
mod tally;

use crate::report::Part;
use crate::setup::postgres_programs;
use crate::shell::{Shell, Step};
use anyhow::{Context, Result};
use interleavings::Asked;
use std::process::Command;

/// Builds the campaigns and runs them, their output going straight to the terminal. `true` if every
/// promise held.
pub(crate) fn run(shell: &Shell, args: &[String]) -> Result<bool> {
    let asked = Asked::from(args);
    if asked.planted && !asked.help {
        return planted::run(shell, &asked);
    }
    // One campaign needs a build of its own: the engine with another's locks.
    if asked.only.as_deref() == Some(interleavings::NAME) {
        return interleavings::run(shell, &asked);
    }
    let mut command = campaigns(shell);
    command.args(args);
    if let Ok(programs) = postgres_programs(shell)? {
        command.env(PG_BIN, programs);
    }
    let held = command.status().context("could not start cargo")?.success();
    Ok(if asked.help || asked.only.is_some() {
        held
    } else {
        interleavings::run(shell, &asked)? && held
    })
}

/// Where the campaigns find the programs of a PostgreSQL server.
const PG_BIN: &str = "PG_BIN";

/// Packages whose tests need optimized code: `replay` is killed with commits in flight, and
/// campaigns play many cases.
pub(crate) const OPTIMIZED: [&str; 2] = ["replay", "torture"];

/// The tests of these packages, and then every campaign for some seconds, all from one build. The
/// interleavings run with the native tests.
pub(crate) fn quick(shell: &Shell) -> Result<Part> {
    let mut part = Part::new("torture");
    let mut tests = shell.cargo(["test", "--profile", "torture", "--no-fail-fast"]);
    for package in OPTIMIZED {
        tests.args(["--package", package]);
    }
    tests.args(["--", "--show-output"]);
    let programs = postgres_programs(shell)?;
    match &programs {
        Ok(programs) => {
            tests.env(PG_BIN, programs);
        }
        Err(missing) => part.skip(&missing.what, &missing.remedy),
    }
    part.cargo_test(&Step::new(shell, "optimized tests", tests).run()?);

    // The program that its own tests ran: another `cargo` would build it with other features.
    let mut command = shell.command(shell.target().join("torture/torture"));
    command.arg("--quick");
    if let Ok(programs) = &programs {
        command.env(PG_BIN, programs);
    }
    part.torture(&Step::new(shell, "torture", command).run()?);
    Ok(part)
}

pub(crate) use interleavings::command as interleavings;
pub(crate) use interleavings::turn as interleavings_turn;

/// The campaigns' own program, and nothing else.
fn campaigns(shell: &Shell) -> Command {
    shell.cargo(["run", "--quiet", "--profile", "torture", "--package", "torture", "--"])
}
