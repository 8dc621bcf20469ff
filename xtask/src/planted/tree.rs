//! The copy of the checkout that gets the planted bugs.

use super::Patch;
use crate::shell::Shell;
use crate::tracked;
use anyhow::{Context, Result};
use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A copy of the checkout in the target folder. The path of the copy and the folder that it is
/// built in are fixed: cargo compiles again only the crates that a patch changes.
#[derive(Debug)]
pub(crate) struct Tree<'a> {
    shell: &'a Shell,
    folder: PathBuf,
    /// Held while the copy is used: another process waits for it.
    _lock: File,
}

impl<'a> Tree<'a> {
    /// Takes the copy, which may have the files of an earlier run until a bug is planted.
    ///
    /// # Errors
    /// The target folder cannot be written.
    pub(crate) fn take(shell: &'a Shell) -> Result<Self> {
        let folder = shell.target().join("planted");
        let failed = || format!("could not make {}", folder.display());
        fs::create_dir_all(folder.join("tree")).with_context(failed)?;
        let folder = folder.canonicalize().with_context(failed)?;
        let lock = File::create(folder.join("lock")).with_context(failed)?;
        lock.lock().with_context(failed)?;
        Ok(Self { shell, folder, _lock: lock })
    }

    /// Makes the copy equal to the checkout and plants one bug.
    ///
    /// # Errors
    /// The copy cannot be written, or the patch does not apply.
    pub(crate) fn plant(&self, patch: &Patch) -> Result<()> {
        let copy = self.copy();
        let files = tracked::files(self.shell)?;
        equalize(self.shell.root(), &copy, &files)
            .with_context(|| format!("could not copy the checkout to {}", copy.display()))?;
        patch.apply(self.shell, &copy)
    }

    /// `cargo` in the copy.
    pub(crate) fn cargo<I: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = I>,
    ) -> Command {
        let mut command = self.shell.cargo(arguments);
        command.current_dir(self.copy()).env("CARGO_TARGET_DIR", self.built());
        command
    }

    /// Whether a case of the conformance suite fails on the memory store: it ran, and did not pass.
    ///
    /// # Errors
    /// Cargo cannot be started.
    pub(crate) fn case_fails(&self, case: &str) -> Result<bool> {
        let mut command =
            self.cargo(["test", "--package", "durable-session-conformance", "--test", "memory"]);
        command.args(["--", "--exact", case]);
        let output = command.output().context("could not start cargo")?;
        let printed = String::from_utf8_lossy(&output.stdout);
        Ok(printed.lines().any(|line| line == format!("test {case} ... FAILED")))
    }

    /// The target folder of the copy.
    pub(crate) fn built(&self) -> PathBuf {
        self.folder.join("build")
    }

    fn copy(&self) -> PathBuf {
        self.folder.join("tree")
    }
}

/// Makes `to` have these files of `from` and no others. Files that are equal already stay as they
/// are, so that cargo does not take them for changed.
fn equalize(from: &Path, to: &Path, files: &[PathBuf]) -> Result<()> {
    let wanted: HashSet<_> = files.iter().map(|file| to.join(file)).collect();
    for file in files_in(to)? {
        if !wanted.contains(&file) {
            fs::remove_file(&file)?;
        }
    }
    for file in files {
        let (source, copy) = (fs::read(from.join(file))?, to.join(file));
        if fs::read(&copy).is_ok_and(|copy| copy == source) {
            continue;
        }
        if let Some(folder) = copy.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&copy, source)?;
    }
    Ok(())
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(files_in(&entry.path())?);
        } else {
            files.push(entry.path());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::equalize;
    use anyhow::Result;
    use std::fs;
    use std::path::PathBuf;

    #[test]
    fn a_copy_gets_the_named_files_and_keeps_no_others() -> Result<()> {
        let (from, to) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let (from, to) = (from.path(), to.path());
        fs::create_dir(from.join("a"))?;
        fs::create_dir(to.join("b"))?;
        fs::write(from.join("a/new"), "new")?;
        fs::write(from.join("same"), "same")?;
        fs::write(from.join("unnamed"), "unnamed")?;
        fs::write(to.join("same"), "same")?;
        fs::write(to.join("b/old"), "old")?;
        let before = fs::metadata(to.join("same"))?.modified()?;
        equalize(from, to, &["a/new", "same"].map(PathBuf::from))?;
        assert_eq!(fs::read_to_string(to.join("a/new"))?, "new");
        assert_eq!(fs::metadata(to.join("same"))?.modified()?, before);
        assert!(!to.join("b/old").exists() && !to.join("unnamed").exists());
        Ok(())
    }
}
