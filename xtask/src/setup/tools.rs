//! Cargo subcommands and other programs from the crate registry, each at one pinned version.

use super::{Found, Missing};
use crate::shell::{Shell, Step};
use anyhow::Result;
use std::borrow::Cow;
use std::path::PathBuf;

/// A program that `cargo install` builds.
#[derive(Debug, Clone)]
pub(crate) struct Tool {
    pub(crate) package: &'static str,
    pub(crate) version: Cow<'static, str>,
    pub(crate) binary: &'static str,
}

impl Tool {
    const fn pinned(package: &'static str, version: &'static str) -> Self {
        Self { package, version: Cow::Borrowed(version), binary: package }
    }
}

/// Checks licences, bans and sources of dependencies.
pub(crate) const CARGO_DENY: Tool = Tool::pinned("cargo-deny", "0.20.2");
/// Finds dependencies that nothing uses.
pub(crate) const CARGO_MACHETE: Tool = Tool::pinned("cargo-machete", "0.9.2");
/// Tells breaking changes of a public API.
pub(crate) const CARGO_SEMVER_CHECKS: Tool = Tool::pinned("cargo-semver-checks", "0.51.0");
/// Builds a Worker from a Rust crate.
pub(crate) const WORKER_BUILD: Tool = Tool::pinned("worker-build", "0.8.7");

/// The path of the tool's program, built first unless an earlier run did.
pub(crate) fn install(shell: &Shell, tool: &Tool) -> Result<Found<PathBuf>> {
    let folder = shell.target().join("tools").join(format!("{}-{}", tool.package, tool.version));
    let program = folder.join("bin").join(tool.binary);
    if program.exists() {
        return Ok(Ok(program));
    }
    let mut command =
        shell.cargo(["install", "--quiet", "--locked", "--debug", "--bin", tool.binary]);
    command.arg("--root").arg(&folder).args(["--version", &tool.version, tool.package]);
    // These run for seconds: building them fast matters more than their own speed.
    command.env("CARGO_PROFILE_DEV_DEBUG", "0").env_remove("RUSTFLAGS");
    let name = format!("install {} {}", tool.package, tool.version);
    let finished = Step::new(shell, &name, command).run()?;
    Ok(if finished.ok {
        Ok(program)
    } else {
        Err(Missing::new(
            format!("{} {} could not be installed", tool.package, tool.version),
            format!("make crates.io reachable, or run `{name}` by hand and see why it fails"),
        ))
    })
}
