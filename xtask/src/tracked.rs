//! The files of this checkout, as git knows them.

use crate::shell::Shell;
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;

/// Tracked files and new ones that are not ignored, as paths from the root, sorted. Files that were
/// deleted and are still tracked are left out.
///
/// # Errors
/// Git cannot be run, or this is no checkout.
pub(crate) fn files(shell: &Shell) -> Result<Vec<PathBuf>> {
    let mut git = shell.command("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let output = git.output().context("could not start git")?;
    ensure!(
        output.status.success(),
        "git ls-files failed in {}: {}",
        shell.root().display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let listed = String::from_utf8(output.stdout).context("a file's name is not UTF-8")?;
    let mut files: Vec<PathBuf> = listed.split_terminator('\0').map(PathBuf::from).collect();
    files.retain(|file| shell.root().join(file).is_file());
    files.sort();
    files.dedup();
    Ok(files)
}
