//! The page of `examples/ai-chat` with the real `useChat`, driven in a real Chromium.

use crate::report::Part;
use crate::setup::{NodeTests, chromium};
use crate::shell::{Shell, Step};
use anyhow::Result;
use std::process::Command;

const PAGE: &str = "examples/ai-chat/page";
const FOLDER: &str = "examples/ai-chat/tests-browser";

/// Against the Rust server, in `AI_CHAT_BIN`.
pub(super) fn run(shell: &Shell) -> Result<Part> {
    let mut part = Part::new("ai chat");
    let build = shell.cargo(["build", "--package", "ai-chat"]);
    if part.preparation(&Step::new(shell, "build ai-chat", build).run()?) {
        drive(shell, &mut part, "ai chat tests", |command| {
            command.env("AI_CHAT_BIN", shell.target().join("debug/ai-chat"));
        })?;
    }
    Ok(part)
}

/// Builds the page and drives it. The tests get the built page in `AI_CHAT_PAGE` and the browser's
/// program in `CHROMIUM`; `serve` says what serves the page.
pub(crate) fn drive(
    shell: &Shell,
    part: &mut Part,
    name: &str,
    serve: impl FnOnce(&mut Command),
) -> Result<()> {
    macro_rules! found {
        ($search:expr) => {
            match $search? {
                Ok(found) => found,
                Err(missing) => {
                    part.skip(&missing.what, &missing.remedy);
                    return Ok(());
                }
            }
        };
    }
    let chromium = found!(chromium(shell));
    let page = found!(NodeTests::prepare(shell, PAGE));
    let mut build = shell.command("node");
    build.args(["node_modules/vite/bin/vite.js", "build"]).current_dir(page.folder());
    if !part.preparation(&Step::new(shell, "build the page", build).run()?) {
        return Ok(());
    }
    let tests = found!(NodeTests::prepare(shell, FOLDER));
    let mut command = tests.command();
    // One browser at a time: several starve each other on a small machine.
    command.arg("--test-concurrency=1").env("CHROMIUM", chromium);
    command.env("AI_CHAT_PAGE", page.folder().join("dist"));
    serve(&mut command);
    part.node_test(&tests.run(name, command)?);
    Ok(())
}
