//! Tests in JavaScript: a folder with a lock file, run by `node --test`.

use super::{Found, Missing};
use crate::shell::{Finished, Shell, Step};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder of JavaScript tests, copied below the target folder with its packages beside it: a
/// module's imports are looked up from where its file lies, and the source tree must not get a
/// `node_modules`.
#[derive(Debug)]
pub(crate) struct NodeTests<'a> {
    shell: &'a Shell,
    folder: PathBuf,
}

impl<'a> NodeTests<'a> {
    /// Copies `source` (a path from the root, with `package.json` and `package-lock.json`) and
    /// installs its packages as the lock file says, unless an earlier run did.
    pub(crate) fn prepare(shell: &'a Shell, source: &str) -> Result<Found<Self>> {
        if !supported(shell.ask("node", &["--version"]).as_deref()) {
            return Ok(Err(Missing::new(
                "there is no Node.js 20 or newer",
                "install Node.js 20 with npm",
            )));
        }
        let folder = shell.target().join("npm").join(source.replace('/', "-"));
        mirror(&shell.root().join(source), &folder)?;
        let tests = Self { shell, folder };
        Ok(if tests.install()? {
            Ok(tests)
        } else {
            Err(Missing::new(
                format!("the npm packages of {source} could not be installed"),
                "make the npm registry reachable",
            ))
        })
    }

    /// The copy of the folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// `node --test` in the copy; the test files find the checkout in `DURABLE_SESSION_ROOT`.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.shell.command("node");
        command.args(["--test", "--test-reporter=tap"]).current_dir(&self.folder);
        command.env("DURABLE_SESSION_ROOT", self.shell.root()).env_remove("NODE_TEST_CONTEXT");
        command
    }

    /// Runs [`command`](Self::command) with its additions.
    pub(crate) fn run(&self, name: &str, command: Command) -> Result<Finished> {
        Step::new(self.shell, name, command).run()
    }

    fn install(&self) -> Result<bool> {
        let lock = fs::read(self.folder.join("package-lock.json"))
            .with_context(|| format!("{} needs a package-lock.json", self.folder.display()))?;
        let packages = self.folder.join("node_modules");
        let installed = packages.join(".installed-from");
        if fs::read(&installed).is_ok_and(|from| from == lock) {
            return Ok(true);
        }
        let mut command = self.shell.command("npm");
        command
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(&self.folder);
        let ok = Step::new(self.shell, "npm ci", command).run()?.ok;
        if ok {
            // A lock file without packages leaves no folder.
            fs::create_dir_all(&packages)
                .and_then(|()| fs::write(&installed, lock))
                .with_context(|| format!("could not write {}", installed.display()))?;
        }
        Ok(ok)
    }
}

/// Copies a folder over another, files that are gone removed; either side's `node_modules` is left
/// alone.
pub(crate) fn mirror(from: &Path, to: &Path) -> Result<()> {
    let failed = || format!("could not copy {} to {}", from.display(), to.display());
    fs::create_dir_all(to).with_context(failed)?;
    for entry in fs::read_dir(to).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        if entry.file_name() == "node_modules" {
            continue;
        }
        let gone = if entry.file_type().with_context(failed)?.is_dir() {
            fs::remove_dir_all(entry.path())
        } else {
            fs::remove_file(entry.path())
        };
        gone.with_context(failed)?;
    }
    for entry in fs::read_dir(from).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        let target = to.join(entry.file_name());
        if entry.file_name() == "node_modules" {
            continue;
        }
        if entry.file_type().with_context(failed)?.is_dir() {
            mirror(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target).with_context(failed)?;
        }
    }
    Ok(())
}

/// Whether this answer to `node --version` is 20 or newer.
fn supported(version: Option<&str>) -> bool {
    version
        .and_then(|version| version.strip_prefix('v')?.split('.').next()?.parse::<u32>().ok())
        .is_some_and(|major| major >= 20)
}

#[cfg(test)]
mod tests {
    use super::{Result, fs, mirror, supported};

    #[test]
    fn node_20_is_new_enough_and_18_is_not() {
        assert!(supported(Some("v20.11.0")));
        assert!(supported(Some("v24.0.1")));
        assert!(!supported(Some("v18.19.1")));
        assert!(!supported(None));
    }

    #[test]
    fn a_mirror_has_the_files_of_its_source_and_keeps_its_packages() -> Result<()> {
        let (from, to) = (tempfile::tempdir()?, tempfile::tempdir()?);
        fs::create_dir(from.path().join("lib"))?;
        fs::write(from.path().join("lib/a.mjs"), "1")?;
        fs::write(to.path().join("gone.mjs"), "2")?;
        fs::create_dir(to.path().join("node_modules"))?;
        fs::write(to.path().join("node_modules/kept"), "3")?;
        mirror(from.path(), to.path())?;
        assert_eq!(fs::read_to_string(to.path().join("lib/a.mjs"))?, "1");
        assert!(!to.path().join("gone.mjs").exists());
        assert!(to.path().join("node_modules/kept").exists());
        Ok(())
    }
}
