//! `cargo xtask fix`: the corrections that tools make by themselves.

use crate::shell::{Shell, Step};
use crate::verify::OTHER_WORKSPACES;
use anyhow::Result;

/// Applies the lints' corrections, then formats. `true` if both went through.
pub(crate) fn run(shell: &Shell) -> Result<bool> {
    let mut ok = true;
    let others = OTHER_WORKSPACES.iter().map(|folder| format!("{folder}/Cargo.toml"));
    for manifest in std::iter::once("Cargo.toml".to_owned()).chain(others) {
        let mut lint = shell.cargo([
            "clippy",
            "--fix",
            "--allow-dirty",
            "--allow-staged",
            "--workspace",
            "--all-features",
            "--all-targets",
        ]);
        lint.args(["--manifest-path", &manifest]).arg("--target-dir").arg(shell.target());
        ok &= Step::new(shell, "clippy --fix", lint).run()?.ok;
        ok &= Step::new(shell, "fmt", shell.cargo(["fmt", "--manifest-path", &manifest])).run()?.ok;
    }
    Ok(ok)
}
