//! `cargo xtask bench`.

use crate::shell::Shell;
use crate::workers;
use anyhow::{Context, Result};

/// The name of the one that runs in workerd.
const WORKERS: &str = "workers";

/// Runs the benchmarks, their reports going straight to the terminal. `true` if they ran.
pub(crate) fn run(shell: &Shell, quick: bool, only: Option<&str>) -> Result<bool> {
    if only == Some(WORKERS) {
        return workers::bench(shell);
    }
    let mut command = shell.cargo(["bench", "--package", "benches", "--benches", "--"]);
    if quick {
        command.arg("--quick");
    }
    command.args(only);
    let ran = command.status().context("could not start cargo")?.success();
    // A quick look, or one at something else, need not wait for it.
    Ok(ran && (quick || only.is_some() || workers::bench(shell)?))
}
