//! Running programs: where, with which environment, and how their output is shown.

mod environment;
mod progress;
mod silence;
mod step;

use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) use step::{Finished, Step};

/// Where this checkout is, and the settings of its surroundings.
#[derive(Debug)]
pub(crate) struct Shell {
    root: PathBuf,
    target: PathBuf,
    ci: bool,
}

impl Shell {
    pub(crate) fn new() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask lies in the workspace's root folder")?
            .to_owned();
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root.join("target"), |dir| root.join(dir));
        let ci = std::env::var_os("CI")
            .is_some_and(|value| !value.is_empty() && value != "false" && value != "0");
        Ok(Self { root, target, ci })
    }

    /// The root of the checkout.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Cargo's target folder: everything that is built, installed or logged goes in here.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Nobody watches: a test that cannot be run is a failure, not a note.
    pub(crate) fn ci(&self) -> bool {
        self.ci
    }

    /// A program, to be run in the root folder without the variables that `cargo run` set for this
    /// one.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        environment::forget_cargo(&mut command, &self.target);
        command
    }

    /// `cargo` with these arguments, in the root folder.
    pub(crate) fn cargo<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Command {
        let mut command = self.command("cargo");
        command.args(arguments);
        command
    }

    /// The output of a program, if it can be run and succeeds.
    pub(crate) fn ask(&self, program: &str, arguments: &[&str]) -> Option<String> {
        let output = self.command(program).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}
