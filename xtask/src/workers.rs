//! The Durable Object store and its Worker, built for wasm32 and driven inside workerd.

use crate::report::Part;
use crate::setup::{Found, NodeTests, Tool, WORKER_BUILD, chromium, install, wasm_target};
use crate::shell::{Finished, Shell, Step};
use crate::suite::ai_chat;
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;

/// The Workers: each the name that tests know it by, and its crate.
const WORKERS: [(&str, &str); 3] =
    [("tests", "crates/cloudflare/tests/worker"), TUTOR, ("ai-chat", "examples/ai-chat-worker")];
const TUTOR: (&str, &str) = ("tutor", "apps/tutor-worker");
/// For tests, all are built without optimization at link time: with one profile they share their
/// dependencies.
const FOR_TESTS: &str = "worker-test";
/// As it is deployed: for measurements.
const AS_DEPLOYED: &str = "worker";
/// Their tests.
const FOLDER: &str = "crates/cloudflare/tests/workerd";
/// The tests of the page that the tutoring Worker serves: here the tests that depend on the store
/// of the conversations and on who writes the answers. The browser suite runs all of them.
const PAGE: &str = "apps/tutor-chat/tests-browser";
const PAGE_TESTS: [&str; 2] = ["storage.test.mjs", "replies.test.mjs"];
/// The tests with the npm package `ai`, against the Worker in place of the Rust server.
const AI_SDK: &str = "examples/ai-chat/tests-node";
const AI_SDK_TESTS: &str = "chat.test.mjs";
/// Those of the page with `useChat`.
const AI_CHAT_TESTS: &str = "page.test.mjs";

/// Builds the Workers and runs their tests, which find the Workers in `WORKERS_DIR`.
pub(crate) fn run(shell: &Shell) -> Result<Part> {
    let mut part = Part::new("workers");
    match prepare(shell)? {
        Ok((tests, tools)) => {
            for worker in WORKERS {
                if !part.preparation(&build(shell, &tests, &tools, worker, FOR_TESTS)?) {
                    return Ok(part);
                }
            }
            let mut command = tests.command();
            command.env("WORKERS_DIR", built(shell));
            part.node_test(&tests.run("workers tests", command)?);
            ai_sdk(shell, &tests, &mut part)?;
            page(shell, &tests, &mut part)?;
        }
        Err(missing) => part.skip(&missing.what, &missing.remedy),
    }
    Ok(part)
}

/// The client of the AI SDK's `useChat`, and the page with the hook itself in Chromium.
fn ai_sdk(shell: &Shell, tests: &NodeTests<'_>, part: &mut Part) -> Result<()> {
    let serve = |command: &mut Command| {
        let server = tests.folder().join("serve-ai-chat.mjs");
        let model = "{addr} {store} {tokens} {delay_ms} {tools}";
        command.env("AI_CHAT_CMD", format!("node '{}' {model}", server.display()));
        command.env("WORKERS_DIR", built(shell));
    };
    match NodeTests::prepare(shell, AI_SDK)? {
        Ok(client) => {
            let mut command = client.command();
            command.arg(AI_SDK_TESTS);
            serve(&mut command);
            part.node_test(&client.run("ai sdk tests on the worker", command)?);
        }
        Err(missing) => part.skip(&missing.what, &missing.remedy),
    }
    ai_chat::drive(shell, part, "useChat tests on the worker", |command| {
        command.arg(AI_CHAT_TESTS);
        serve(command);
    })
}

/// The chat page in Chromium: served by the tutoring Worker itself, and by the Rust server with the
/// Worker behind it.
fn page(shell: &Shell, tests: &NodeTests<'_>, part: &mut Part) -> Result<()> {
    let page = match chromium(shell)? {
        Ok(chromium) => NodeTests::prepare(shell, PAGE)?.map(|page| (page, chromium)),
        Err(missing) => Err(missing),
    };
    match page {
        Ok((page, chromium)) => {
            let build = shell.cargo(["build", "--package", "tutor-chat"]);
            if !part.preparation(&Step::new(shell, "build tutor-chat", build).run()?) {
                return Ok(());
            }
            for (name, server) in [
                ("browser tests on the worker", "serve.mjs"),
                ("browser tests on tutor-chat over the worker", "proxied.mjs"),
            ] {
                let mut command = page.command();
                command.arg("--test-concurrency=1").args(PAGE_TESTS);
                command.env("CHROMIUM", &chromium).env("WORKERS_DIR", built(shell));
                command.env("TUTOR_CHAT_BIN", shell.target().join("debug/tutor-chat"));
                let server = tests.folder().join(server);
                command.env(
                    "TUTOR_CHAT_CMD",
                    format!("node '{}' {{addr}} {{store}}", server.display()),
                );
                part.node_test(&page.run(name, command)?);
            }
        }
        Err(missing) => part.skip(&missing.what, &missing.remedy),
    }
    Ok(())
}

/// Times requests in workerd; the table goes to the terminal. `true` if it ran.
pub(crate) fn bench(shell: &Shell) -> Result<bool> {
    let (tests, tools) = match prepare(shell)? {
        Ok(found) => found,
        Err(missing) => {
            println!("SKIPPED: {}. To run it: {}", missing.what, missing.remedy);
            return Ok(true);
        }
    };
    if !build(shell, &tests, &tools, TUTOR, AS_DEPLOYED)?.ok {
        return Ok(false);
    }
    let mut command = shell.command("node");
    command.arg("bench.mjs").current_dir(tests.folder());
    command.env("DURABLE_SESSION_ROOT", shell.root()).env("WORKERS_DIR", built(shell));
    Ok(command.status().context("could not start node")?.success())
}

/// Where the built Workers are.
fn built(shell: &Shell) -> PathBuf {
    shell.target().join("workers")
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
    let lock = std::fs::read_to_string(shell.root().join("Cargo.lock"))
        .context("could not read Cargo.lock")?;
    let version =
        locked_version(&lock, "wasm-bindgen").context("Cargo.lock has no wasm-bindgen")?;
    Ok(Tool {
        package: "wasm-bindgen-cli",
        version: version.to_owned().into(),
        binary: "wasm-bindgen",
    })
}

fn locked_version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let mut lines = lock.lines().skip_while(|line| *line != format!("name = \"{package}\""));
    lines.nth(1)?.strip_prefix("version = \"")?.strip_suffix('"')
}

fn build(
    shell: &Shell,
    tests: &NodeTests<'_>,
    tools: &Tools,
    (name, folder): (&str, &str),
    profile: &str,
) -> Result<Finished> {
    let out = built(shell).join(name);
    // A failed build leaves it behind, and the next one waits for it.
    let _ = std::fs::remove_dir_all(out.join(".tmp"));
    let mut command = shell.command(&tools.worker_build);
    command.args(["--profile", profile, "--no-opt", "--out-dir"]).arg(&out).arg(folder);
    command.env("WASM_BINDGEN_BIN", &tools.wasm_bindgen);
    command.env("ESBUILD_BIN", tests.folder().join("node_modules/.bin/esbuild"));
    command.env("CARGO_TARGET_DIR", shell.target().join("worker"));
    Step::new(shell, &format!("build the {name} worker"), command).run()
}

#[cfg(test)]
mod tests {
    use super::locked_version;

    #[test]
    fn the_version_is_the_one_in_the_lock_file() {
        let lock = "[[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.129\"\n\n\
                    [[package]]\nname = \"worker\"\nversion = \"0.8.7\"\n";
        assert_eq!(locked_version(lock, "wasm-bindgen"), Some("0.2.129"));
        assert_eq!(locked_version(lock, "absent"), None);
    }
}
