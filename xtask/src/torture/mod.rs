//! `cargo xtask torture`.

mod interleavings;

use crate::report::Part;
use crate::shell::{Shell, Step};
use anyhow::{Context, Result};
use interleavings::Asked;
use std::process::Command;

/// Builds the campaigns and runs them, their output going straight to the terminal. `true` if every promise held.
pub(crate) fn run(shell: &Shell, args: &[String]) -> Result<bool> {
    // One campaign needs a build of its own: the engine with another's locks.
    let asked = Asked::from(args);
    if asked.only.as_deref() == Some(interleavings::NAME) {
        return interleavings::run(shell, &asked);
    }
    let mut command = campaigns(shell);
    command.args(args);
    if asked.planted {
        // A build of its own: nothing else is ever built with these bugs.
        command.env("CARGO_TARGET_DIR", shell.target().join("planted")).env("RUSTFLAGS", "--cfg planted");
    }
    let held = command.status().context("could not start cargo")?.success();
    Ok(if asked.help || asked.only.is_some() { held } else { interleavings::run(shell, &asked)? && held })
}

/// The first impression that is part of the tests: every campaign for some seconds. The interleavings run with the native
/// tests.
pub(crate) fn quick(shell: &Shell) -> Result<Part> {
    let mut part = Part::new("torture");
    let mut command = campaigns(shell);
    command.arg("--quick");
    part.torture(&Step::new(shell, "torture", command).run()?);
    Ok(part)
}

pub(crate) use interleavings::command as interleavings;

fn campaigns(shell: &Shell) -> Command {
    shell.cargo(["run", "--quiet", "--profile", "torture", "--package", "torture", "--"])
}
