//! `cargo xtask torture`.

use crate::shell::Shell;
use anyhow::{Context, Result};

/// Builds the campaigns and runs them, their output going straight to the terminal. `true` if every promise held.
pub(crate) fn run(shell: &Shell, args: &[String]) -> Result<bool> {
    let mut command = shell.cargo(["run", "--quiet", "--profile", "torture", "--package", "torture", "--"]);
    command.args(args);
    Ok(command.status().context("could not start cargo")?.success())
}
