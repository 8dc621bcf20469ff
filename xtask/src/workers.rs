//! The Durable Object store and its Worker, built for wasm32 and driven inside workerd.

use crate::report::Part;
use crate::setup::{Found, NodeTests, Tool, WORKER_BUILD, install, wasm_target};
use crate::shell::{Shell, Step};
use anyhow::{Context, Result};
use std::path::PathBuf;

/// The Worker's crate.
const WORKER: &str = "examples/tutor-worker";
/// Its tests.
pub(crate) const FOLDER: &str = "examples/tutor-worker/tests-worker";

/// Builds the Worker and runs its tests. They find what was built in `WORKER_BUILD_DIR`.
pub(crate) fn run(shell: &Shell) -> Result<Part> {
    let mut part = Part::new("workers");
    match prepare(shell)? {
        Ok((tests, tools)) => {
            if part.preparation(&build(shell, &tests, &tools)?) {
                let mut command = tests.command();
                command.env("WORKER_BUILD_DIR", shell.root().join(WORKER).join("build"));
                part.node_test(&tests.run("workers tests", command)?);
            }
        }
        Err(missing) => part.skip(&missing.what, &missing.remedy),
    }
    Ok(part)
}

/// The programs that make a Worker out of a crate.
#[derive(Debug)]
struct Tools {
    worker_build: PathBuf,
    wasm_bindgen: PathBuf,
}

fn prepare(shell: &Shell) -> Result<Found<(NodeTests<'_>, Tools)>> {
    macro_rules! found {
        ($search:expr) => {
            match $search? {
                Ok(found) => found,
                Err(missing) => return Ok(Err(missing)),
            }
        };
    }
    found!(wasm_target(shell));
    let wasm_bindgen = found!(install(shell, &wasm_bindgen_cli(shell)?));
    let worker_build = found!(install(shell, &WORKER_BUILD));
    let tests = found!(NodeTests::prepare(shell, FOLDER));
    Ok(Ok((tests, Tools { worker_build, wasm_bindgen })))
}

/// The command line tool must be of the very version of the library that the Worker is linked with.
fn wasm_bindgen_cli(shell: &Shell) -> Result<Tool> {
    let lock =
        std::fs::read_to_string(shell.root().join("Cargo.lock")).context("could not read Cargo.lock")?;
    let version = locked_version(&lock, "wasm-bindgen").context("Cargo.lock has no wasm-bindgen")?;
    Ok(Tool { package: "wasm-bindgen-cli", version: version.to_owned().into(), binary: "wasm-bindgen" })
}

fn locked_version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let mut lines = lock.lines().skip_while(|line| *line != format!("name = \"{package}\""));
    lines.nth(1)?.strip_prefix("version = \"")?.strip_suffix('"')
}

fn build(shell: &Shell, tests: &NodeTests<'_>, tools: &Tools) -> Result<crate::shell::Finished> {
    let folder = shell.root().join(WORKER);
    // A failed build leaves it behind, and the next one waits for it.
    let _ = std::fs::remove_dir_all(folder.join("build/.tmp"));
    let mut command = shell.command(&tools.worker_build);
    command.args(["--release", "--no-opt"]).current_dir(&folder);
    command.env("WASM_BINDGEN_BIN", &tools.wasm_bindgen);
    command.env("ESBUILD_BIN", tests.folder().join("node_modules/.bin/esbuild"));
    command.env("CARGO_TARGET_DIR", shell.target().join("worker"));
    Step::new(shell, "build the worker", command).run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_in_the_lock_file() {
        let lock = "[[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.129\"\n\n[[package]]\nname = \"worker\"\nversion = \"0.8.7\"\n";
        assert_eq!(locked_version(lock, "wasm-bindgen"), Some("0.2.129"));
        assert_eq!(locked_version(lock, "absent"), None);
    }
}
