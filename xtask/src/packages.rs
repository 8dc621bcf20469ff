//! The packages that cargo knows: ours, and everything they are built from.

use crate::shell::Shell;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// The output of `cargo metadata`.
#[derive(Debug, Deserialize)]
pub(crate) struct Packages {
    packages: Vec<Package>,
}

/// One package.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The oldest Rust it says it builds with.
    pub(crate) rust_version: Option<String>,
    /// The registries it may go to; empty if none.
    publish: Option<Vec<String>>,
    /// Where it came from; nothing if it is in this workspace.
    source: Option<String>,
}

impl Packages {
    /// Asks cargo, which must find Cargo.lock as it has to be.
    pub(crate) fn of(shell: &Shell) -> Result<Self> {
        let output = shell
            .cargo(["metadata", "--locked", "--all-features", "--format-version", "1"])
            .output()
            .context("could not start cargo")?;
        ensure!(
            output.status.success(),
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        serde_json::from_slice(&output.stdout)
            .context("cargo metadata has a form that xtask does not know")
    }

    /// Ours that are for others to use.
    pub(crate) fn published(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.source.is_none() && package.publish.is_none())
    }

    /// Those of others.
    pub(crate) fn foreign(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.source.is_some())
    }
}
