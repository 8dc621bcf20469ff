//! The oldest Rust that the published crates promise to build with.

use crate::packages::{Package, Packages};
use crate::shell::Shell;
use anyhow::{Context, Result};
use std::process::Command;

/// The `rust-version` of the published crates: one for all of them.
pub(crate) fn stated(packages: &Packages) -> Result<&str> {
    let mut stated = packages.published().map(|package| package.rust_version.as_deref());
    let first = stated.next().flatten().context("a published crate states no rust-version")?;
    anyhow::ensure!(
        stated.all(|other| other == Some(first)),
        "the published crates differ in their rust-version"
    );
    Ok(first)
}

/// Packages of others that say they need a newer Rust.
pub(crate) fn too_new<'a>(packages: &'a Packages, stated: &str) -> Vec<&'a Package> {
    packages
        .foreign()
        .filter(|package| {
            package.rust_version.as_deref().is_some_and(|theirs| parts(theirs) > parts(stated))
        })
        .collect()
}

/// Builds the published crates with that Rust, if rustup has it.
pub(crate) fn check(shell: &Shell, packages: &Packages, stated: &str) -> Option<Command> {
    let toolchain = installed(&shell.ask("rustup", &["toolchain", "list"])?, stated)?.to_owned();
    let mut command = shell.command("rustup");
    command.args(["run", &toolchain, "cargo", "check", "--locked", "--all-features"]);
    for package in packages.published() {
        command.args(["--package", &package.name]);
    }
    command.arg("--target-dir").arg(shell.target().join("msrv"));
    Some(command)
}

/// The toolchain of that version in the output of `rustup toolchain list`.
fn installed<'a>(list: &'a str, stated: &str) -> Option<&'a str> {
    list.lines().filter_map(|line| line.split_whitespace().next()).find(|name| {
        name.strip_prefix(stated)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
    })
}

fn parts(version: &str) -> [u64; 3] {
    let mut numbers = version.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    std::array::from_fn(|_| numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::{installed, parts};

    #[test]
    fn the_toolchain_is_found_by_its_version_and_not_by_a_longer_one() {
        let list = "stable-x86_64-unknown-linux-gnu (active, default)\n1.910-x\n\
                    1.91.1-x86_64-unknown-linux-gnu\n";
        assert_eq!(installed(list, "1.91"), Some("1.91.1-x86_64-unknown-linux-gnu"));
        assert_eq!(installed(list, "1.90"), None);
        assert_eq!(
            installed("1.91-x86_64-unknown-linux-gnu", "1.91"),
            Some("1.91-x86_64-unknown-linux-gnu")
        );
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(parts("1.100") > parts("1.91"));
        assert!(parts("1.91.1") > parts("1.91"));
        assert_eq!(parts("1.91.0"), parts("1.91"));
    }
}
