//! `cargo xtask semver`: the changes of the public API since another revision.

use crate::packages::Packages;
use crate::setup::{CARGO_SEMVER_CHECKS, install};
use crate::shell::Shell;
use anyhow::{Context, Result, bail};

/// Compares the public API with that of `baseline`, or of the last release's tag. `true` if the
/// version says enough.
pub(crate) fn run(shell: &Shell, baseline: Option<&str>) -> Result<bool> {
    let last = || shell.ask("git", &["describe", "--tags", "--abbrev=0", "--match", "v[0-9]*"]);
    let Some(baseline) = baseline.map(str::to_owned).or_else(last) else {
        bail!(
            "there is no release's tag (v0.1.0) to compare with; name a revision: --baseline REV"
        );
    };
    let program = match install(shell, &CARGO_SEMVER_CHECKS)? {
        Ok(program) => program,
        Err(missing) => bail!("{}; {}", missing.what, missing.remedy),
    };
    let mut command = shell.command(program);
    command.args(["semver-checks", "--all-features", "--baseline-rev", &baseline]);
    for package in Packages::of(shell)?.published() {
        command.args(["--package", &package.name]);
    }
    Ok(command.status().context("could not start cargo-semver-checks")?.success())
}
