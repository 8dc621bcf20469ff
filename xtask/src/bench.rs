//! `cargo xtask bench`.

use crate::shell::Shell;
use anyhow::{Context, Result};

/// Runs the benchmarks, criterion's report going straight to the terminal. `true` if they ran.
pub(crate) fn run(shell: &Shell, quick: bool, only: Option<&str>) -> Result<bool> {
    let mut command = shell.cargo(["bench", "--package", "benches", "--benches", "--"]);
    if quick {
        command.arg("--quick");
    }
    command.args(only);
    Ok(command.status().context("could not start cargo")?.success())
}
