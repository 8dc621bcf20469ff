//! `cargo xtask faults`: every fault of the list in `torture/faults`, played against built
//! programs.

use crate::setup::{NodeTests, chromium, mirror};
use crate::shell::{Shell, Step};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The script, and the program for the faults of the crates alone.
const FOLDER: &str = "torture/faults";
/// The packages of its checks in a browser.
const BROWSER: &str = "apps/tutor-chat/tests-browser";

/// Builds the programs of this checkout, or of the one in `against`, and plays the faults. `true`
/// if none is there.
pub(crate) fn run(shell: &Shell, against: Option<&Path>, args: &[String]) -> Result<bool> {
    let checkout = match against {
        Some(path) => fs::canonicalize(path)
            .with_context(|| format!("there is no checkout at {}", path.display()))?,
        None => shell.root().to_owned(),
    };
    let target =
        if against.is_some() { shell.target().join("faults") } else { shell.target().to_owned() };
    for (name, manifest, packages) in [
        ("build the programs", checkout.join("Cargo.toml"), &["tutor-chat", "replay"][..]),
        (
            "build the faults of the crates",
            crates(shell, &checkout, against.is_some())?,
            &["faults"],
        ),
    ] {
        let mut command = shell.cargo(["build", "--manifest-path"]);
        command.arg(manifest).args(packages.iter().flat_map(|package| ["--package", package]));
        command.env("CARGO_TARGET_DIR", &target);
        if !Step::new(shell, name, command).run()?.ok {
            return Ok(false);
        }
    }
    Ok(play(shell, &checkout, &target, args)?.status().context("could not start node")?.success())
}

/// The manifest of the program on the crates: for another checkout, of a copy that uses its crates.
fn crates(shell: &Shell, checkout: &Path, elsewhere: bool) -> Result<PathBuf> {
    let source = shell.root().join(FOLDER);
    if !elsewhere {
        return Ok(source.join("Cargo.toml"));
    }
    let copy = shell.target().join("faults/program");
    mirror(&source, &copy)?;
    let manifest = copy.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).context("the copy has no manifest")?;
    ensure!(text.contains(HERE), "{} has no path dependencies", manifest.display());
    fs::write(&manifest, with_crates_of(&text, checkout))
        .context("the copy's manifest cannot be written")?;
    Ok(manifest)
}

/// How the manifest begins the path of a crate of its own checkout.
const HERE: &str = "path = \"../../crates/";

fn with_crates_of(manifest: &str, checkout: &Path) -> String {
    manifest.replace(HERE, &format!("path = \"{}/crates/", checkout.display()))
}

fn play(shell: &Shell, checkout: &Path, target: &Path, args: &[String]) -> Result<Command> {
    let built = |name: &str| target.join("debug").join(name);
    let mut command = shell.command("node");
    command.arg(shell.root().join(FOLDER).join("play.mjs"));
    command.arg("--tutor-chat").arg(built("tutor-chat")).arg("--replay").arg(built("replay"));
    command.arg("--crates").arg(built("faults")).arg("--root").arg(checkout);
    let workers = shell.target().join("workers");
    if checkout == shell.root() && workers.exists() {
        command.arg("--workers").arg(workers);
    }
    // Without these the script says which checks it skips.
    if let Ok(tests) = NodeTests::prepare(shell, BROWSER)? {
        command.env("FAULTS_PLAYWRIGHT", tests.folder().join("node_modules/playwright-core"));
    }
    if let Ok(chromium) = chromium(shell)? {
        command.env("CHROMIUM", chromium);
    }
    command.args(args);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::{Context, FOLDER, HERE, Path, Result, fs, with_crates_of};

    #[test]
    fn the_program_for_another_checkout_uses_that_one_s_crates() -> Result<()> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask lies in the root folder")?;
        let manifest = fs::read_to_string(root.join(FOLDER).join("Cargo.toml"))?;
        let changed = with_crates_of(&manifest, Path::new("/old"));
        assert!(changed.contains("durable-session = { path = \"/old/crates/core\" }"), "{changed}");
        assert!(!changed.contains(HERE));
        Ok(())
    }
}
