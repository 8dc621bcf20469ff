//! `cargo xtask torture`.

use crate::report::Part;
use crate::shell::{Shell, Step};
use anyhow::{Context, Result};
use std::process::Command;

/// Builds the campaigns and runs them, their output going straight to the terminal. `true` if every promise held.
pub(crate) fn run(shell: &Shell, args: &[String]) -> Result<bool> {
    let mut command = campaigns(shell);
    command.args(args);
    if args.iter().any(|arg| arg == "--planted") {
        // A build of its own: nothing else is ever built with these bugs.
        command.env("CARGO_TARGET_DIR", shell.target().join("planted")).env("RUSTFLAGS", "--cfg planted");
    }
    Ok(command.status().context("could not start cargo")?.success())
}

/// The first impression that is part of the tests: every campaign for some seconds.
pub(crate) fn quick(shell: &Shell) -> Result<Part> {
    let mut part = Part::new("torture");
    let mut command = campaigns(shell);
    command.arg("--quick");
    part.torture(&Step::new(shell, "torture", command).run()?);
    Ok(part)
}

fn campaigns(shell: &Shell) -> Command {
    shell.cargo(["run", "--quiet", "--profile", "torture", "--package", "torture", "--"])
}
