//! Planted bugs: patches in `torture/planted` that break a promise each, and the campaigns and
//! cases that have to find them.
//!
//! A patch is applied to a copy of the checkout, so that no build of the checkout has the bug. The
//! text in front of the patch names the broken promise, and has a line `Found by: …` for each
//! finder: the name of a campaign of `torture`, `interleavings`, or `conformance` and the name of a
//! case.

mod tree;

pub(crate) use tree::Tree;

use crate::doors::text_of;
use crate::shell::Shell;
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

const FOLDER: &str = "torture/planted";
const FOUND_BY: &str = "Found by:";

/// A bug that is not in the checkout.
#[derive(Debug)]
pub(crate) struct Patch {
    pub(crate) name: String,
    file: PathBuf,
    pub(crate) finders: Vec<Finder>,
}

/// A test that has to fail with the bug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finder {
    /// A campaign of the program `torture`.
    Campaign(String),
    /// The campaign on the session engine under a concurrency checker.
    Interleavings,
    /// A case of the conformance suite on the memory store.
    Conformance(String),
}

impl Patch {
    /// Every patch of the checkout, by name.
    ///
    /// # Errors
    /// A patch cannot be read or names no finder.
    pub(crate) fn all(shell: &Shell) -> Result<Vec<Self>> {
        files(shell.root())?.into_iter().map(Self::read).collect()
    }

    fn read(file: PathBuf) -> Result<Self> {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("could not read {}", file.display()))?;
        let finders = finders(&text).with_context(|| file.display().to_string())?;
        Ok(Self { name, file, finders })
    }

    /// Applies the patch to the files in `folder`.
    ///
    /// # Errors
    /// The patch does not apply.
    pub(crate) fn apply(&self, shell: &Shell, folder: &Path) -> Result<()> {
        self.git_apply(shell, folder, &[])
    }

    fn git_apply(&self, shell: &Shell, folder: &Path, options: &[&str]) -> Result<()> {
        let mut command = git_in(shell, folder);
        command.args(["apply", "--whitespace=nowarn"]).args(options).arg(&self.file);
        let output = command.output().context("could not start git")?;
        ensure!(
            output.status.success(),
            "the planted bug {} does not apply to the tree: {}",
            self.name,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }
}

/// `git`, which takes `folder` for the root of the files: in a folder of a repository it would skip
/// every patch.
fn git_in(shell: &Shell, folder: &Path) -> Command {
    let mut command = shell.command("git");
    command.current_dir(folder);
    command.env("GIT_CEILING_DIRECTORIES", folder.parent().unwrap_or(folder));
    command
}

fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let folder = root.join(FOLDER);
    let failed = || format!("could not read {}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(failed)? {
        let path = entry.with_context(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "patch") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The finders that the text in front of a patch names.
fn finders(patch: &str) -> Result<Vec<Finder>> {
    let text = patch.lines().take_while(|line| !line.starts_with("--- ") && !is_diff(line));
    let found = text.filter_map(|line| line.strip_prefix(FOUND_BY));
    let finders: Vec<_> = found.map(|finder| finder_of(finder.trim())).collect::<Result<_>>()?;
    ensure!(!finders.is_empty(), "no line before the patch begins with {FOUND_BY:?}");
    Ok(finders)
}

fn is_diff(line: &str) -> bool {
    line.starts_with("diff ")
}

fn finder_of(text: &str) -> Result<Finder> {
    Ok(match text.split(' ').collect::<Vec<_>>()[..] {
        ["interleavings"] => Finder::Interleavings,
        ["conformance", case] => Finder::Conformance(case.to_owned()),
        [campaign] if !campaign.is_empty() => Finder::Campaign(campaign.to_owned()),
        _ => bail!("{text:?} is no finder: name a campaign, or `conformance` and a case"),
    })
}

/// Returns a line for each planted bug that does not apply or whose finder is not there.
///
/// # Errors
/// The folder of the patches cannot be read, or git cannot be run.
pub(crate) fn check(shell: &Shell) -> Result<Vec<String>> {
    let text = |folder: &str| text_of(&shell.root().join(folder)).unwrap_or_default();
    let (cases, campaigns) = (text("crates/conformance/src"), text("torture/src"));
    let mut problems = Vec::new();
    for file in files(shell.root())? {
        let patch = match Patch::read(file) {
            Ok(patch) => patch,
            Err(error) => {
                problems.push(format!("{error:#}"));
                continue;
            }
        };
        if let Err(error) = patch.git_apply(shell, shell.root(), &["--check"]) {
            problems.push(format!("{error:#}"));
        }
        let unknown = patch.finders.iter().filter(|finder| !finder.is_in(&cases, &campaigns));
        let name = &patch.name;
        problems.extend(unknown.map(|finder| format!("{name}: there is no {finder:?}")));
    }
    Ok(problems)
}

impl Finder {
    /// Whether the sources of the cases or of the campaigns have it.
    fn is_in(&self, cases: &str, campaigns: &str) -> bool {
        match self {
            Self::Interleavings => true,
            Self::Campaign(name) => campaigns.contains(&format!("{name:?}")),
            Self::Conformance(case) => {
                let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                cases.split(|c| !is_name(c)).any(|word| word == case)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Finder, Patch, finders};
    use crate::shell::Shell;
    use anyhow::Result;
    use std::fs;

    #[test]
    fn the_finders_of_a_bug_are_named_before_its_patch() -> Result<()> {
        let text = "Breaks it.\n\nFound by: power-loss\nFound by: interleavings\n\
                    Found by: conformance a_case\n\n--- a/x\n+++ b/x\nFound by: nobody\n";
        let expected = [
            Finder::Campaign("power-loss".to_owned()),
            Finder::Interleavings,
            Finder::Conformance("a_case".to_owned()),
        ];
        assert_eq!(finders(text)?, expected);
        Ok(())
    }

    #[test]
    fn a_bug_without_a_finder_or_with_an_unknown_one_is_refused() {
        for text in
            ["--- a/x\n+++ b/x\n", "diff --git a/x b/x\nFound by: kill\n", "Found by: a b c\n"]
        {
            assert!(finders(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_finder_is_known_by_its_whole_name() {
        let case = Finder::Conformance("a_case".to_owned());
        assert!(case.is_in("list![a_case, b]", ""));
        assert!(!case.is_in("fn a_case_more()", "a_case"));
        let campaign = Finder::Campaign("kill".to_owned());
        assert!(campaign.is_in("", "const NAME: &str = \"kill\";"));
        assert!(!campaign.is_in("\"kill\"", "kill"));
    }

    /// Also in a folder of a repository, where git by itself skips a patch without a word.
    #[test]
    fn a_patch_changes_the_folder_that_it_is_applied_to_or_fails() -> Result<()> {
        let shell = Shell::new()?;
        let outer = tempfile::tempdir()?;
        assert!(shell.command("git").arg("init").arg(outer.path()).output()?.status.success());
        let folder = outer.path().canonicalize()?.join("inner");
        fs::create_dir(&folder)?;
        fs::write(folder.join("x"), "one\ntwo\n")?;
        let file = folder.join("bug.patch");
        fs::write(&file, "Found by: kill\n--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n")?;
        let patch = Patch::read(file)?;
        patch.git_apply(&shell, &folder, &["--check"])?;
        patch.apply(&shell, &folder)?;
        assert_eq!(fs::read_to_string(folder.join("x"))?, "one\n2\n");
        let refused = patch.apply(&shell, &folder).map_err(|error| error.to_string());
        let told = "the planted bug bug does not apply to the tree: ";
        assert!(refused.is_err_and(|error| error.starts_with(told)));
        Ok(())
    }
}
