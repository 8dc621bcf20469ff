//! `cargo xtask verify`: everything that can be said of the code without running it. Changes
//! nothing.

use crate::packages::Packages;
use crate::setup::{CARGO_DENY, CARGO_MACHETE, Tool, install, wasm_target};
use crate::shell::{Shell, Step};
use crate::{doors, lines, msrv, package, planted};
use anyhow::Result;
use std::process::Command;

/// Crates that also have to build for wasm32-unknown-unknown.
const WASM_CRATES: [&str; 5] = [
    "durable-session",
    "durable-session-memory",
    "durable-session-conformance",
    "durable-session-http",
    "durable-session-cloudflare",
];

/// Workspaces of their own, which `--workspace` does not reach.
pub(crate) const OTHER_WORKSPACES: [&str; 4] =
    ["examples/custom-store", "benches/peers", "fuzz", "torture/faults"];

/// Runs every check, also after one has failed. `true` if all passed.
pub(crate) fn run(shell: &Shell) -> Result<bool> {
    let mut checks = Checks { shell, passed: 0, failed: Vec::new(), untested: Vec::new() };
    checks.problems("docs/doors.md", &doors::check(shell.root())?);
    checks.problems("line length", &lines::check(shell)?);
    checks.problems("planted bugs", &planted::check(shell)?);
    checks.run("fmt", shell.cargo(["fmt", "--all", "--check"]))?;
    checks.run("clippy", clippy(shell, "Cargo.toml"))?;
    for folder in OTHER_WORKSPACES {
        // Without `--all`, which would take in the path dependencies, too.
        let manifest = format!("{folder}/Cargo.toml");
        checks.run(
            &format!("fmt {folder}"),
            shell.cargo(["fmt", "--manifest-path", &manifest, "--check"]),
        )?;
    }
    for folder in OTHER_WORKSPACES {
        let manifest = format!("{folder}/Cargo.toml");
        let mut lint = clippy(shell, &manifest);
        lint.env("CARGO_TARGET_DIR", shell.target().join(target_folder(folder)));
        checks.run(&format!("clippy {folder}"), lint)?;
    }
    checks.run("rustdoc", rustdoc(shell))?;
    checks.tool("deny", &CARGO_DENY, |program| {
        let mut command = shell.command(program);
        command.args([
            "--workspace",
            "--all-features",
            "--locked",
            "check",
            "bans",
            "licenses",
            "sources",
        ]);
        command
    })?;
    checks.tool("unused dependencies", &CARGO_MACHETE, |program| {
        let mut command = shell.command(program);
        command.arg("--skip-target-dir");
        command
    })?;
    checks.wasm()?;
    let packages = Packages::of(shell)?;
    checks.msrv(&packages)?;
    let packed = package::run(shell, &packages)?;
    checks.verdict("package", packed);
    Ok(checks.conclude())
}

/// Where that workspace is built: each has a folder of its own.
fn target_folder(workspace: &str) -> &str {
    workspace.rsplit('/').next().unwrap_or(workspace)
}

fn clippy(shell: &Shell, manifest: &str) -> Command {
    shell.cargo([
        "clippy",
        "--manifest-path",
        manifest,
        "--workspace",
        "--all-features",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ])
}

fn rustdoc(shell: &Shell) -> Command {
    let mut command = shell.cargo(["doc", "--workspace", "--all-features", "--no-deps"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    command
}

#[derive(Debug)]
struct Checks<'a> {
    shell: &'a Shell,
    passed: usize,
    failed: Vec<String>,
    untested: Vec<String>,
}

impl Checks<'_> {
    fn run(&mut self, name: &str, command: Command) -> Result<()> {
        let ok = Step::new(self.shell, name, command).run()?.ok;
        self.verdict(name, ok);
        Ok(())
    }

    /// A check of the files themselves: it holds if there is no problem.
    fn problems(&mut self, name: &str, problems: &[String]) {
        for problem in problems {
            println!("   {problem}");
        }
        self.verdict(name, problems.is_empty());
    }

    fn verdict(&mut self, name: &str, ok: bool) {
        if ok {
            self.passed += 1;
        } else {
            self.failed.push(name.to_owned());
        }
    }

    fn tool(
        &mut self,
        name: &str,
        tool: &Tool,
        command: impl FnOnce(std::path::PathBuf) -> Command,
    ) -> Result<()> {
        match install(self.shell, tool)? {
            Ok(program) => self.run(name, command(program)),
            Err(missing) => {
                self.failed.push(format!("{name} ({}; {})", missing.what, missing.remedy));
                Ok(())
            }
        }
    }

    fn wasm(&mut self) -> Result<()> {
        let target = match wasm_target(self.shell)? {
            Ok(target) => target,
            Err(missing) => {
                self.failed.push(format!("wasm32 ({}; {})", missing.what, missing.remedy));
                return Ok(());
            }
        };
        let mut command = self.shell.cargo(["check", "--target", target]);
        for package in WASM_CRATES {
            command.args(["--package", package]);
        }
        self.run("wasm32", command)
    }

    /// The lint `incompatible_msrv`, which is part of clippy's check, sees our use of the standard
    /// library. This check sees the versions that dependencies state. Only a build with that very
    /// Rust sees all.
    fn msrv(&mut self, packages: &Packages) -> Result<()> {
        let stated = msrv::stated(packages)?;
        let too_new = msrv::too_new(packages, stated);
        for package in &too_new {
            let needs = package.rust_version.as_deref().unwrap_or_default();
            println!(
                "   {} {} needs Rust {needs}, and we promise {stated}",
                package.name, package.version
            );
        }
        self.verdict("rust-version of dependencies", too_new.is_empty());
        if let Some(command) = msrv::check(self.shell, packages, stated) {
            return self.run(&format!("build with Rust {stated}"), command);
        }
        self.untested.push(format!(
            "the build with Rust {stated}; to test it: \
             rustup toolchain install {stated} --profile minimal"
        ));
        Ok(())
    }

    fn conclude(self) -> bool {
        println!();
        for what in &self.untested {
            println!("NOT TESTED: {what}");
        }
        for name in &self.failed {
            println!("failed: {name}");
        }
        println!("checks: {} passed, {} failed", self.passed, self.failed.len());
        self.failed.is_empty()
    }
}
