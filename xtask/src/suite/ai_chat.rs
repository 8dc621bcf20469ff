//! The page of `examples/ai-chat` with the real `useChat`, driven in a real Chromium.

use crate::report::Part;
use crate::setup::{NodeTests, chromium};
use crate::shell::{Shell, Step};
use anyhow::Result;

const PAGE: &str = "examples/ai-chat/page";
const FOLDER: &str = "examples/ai-chat/tests-browser";

/// The tests get the service's program in `AI_CHAT_BIN`, the built page in `AI_CHAT_PAGE`, and the
/// browser's program in `CHROMIUM`.
pub(super) fn run(shell: &Shell) -> Result<Part> {
    let mut part = Part::new("ai chat");
    let build = shell.cargo(["build", "--package", "ai-chat"]);
    if !part.preparation(&Step::new(shell, "build ai-chat", build).run()?) {
        return Ok(part);
    }
    let chromium = match chromium(shell)? {
        Ok(path) => path,
        Err(missing) => {
            part.skip(&missing.what, &missing.remedy);
            return Ok(part);
        }
    };
    let page = match NodeTests::prepare(shell, PAGE)? {
        Ok(page) => page,
        Err(missing) => {
            part.skip(&missing.what, &missing.remedy);
            return Ok(part);
        }
    };
    let mut build = shell.command("node");
    build.args(["node_modules/vite/bin/vite.js", "build"]).current_dir(page.folder());
    if !part.preparation(&Step::new(shell, "build the page", build).run()?) {
        return Ok(part);
    }
    match NodeTests::prepare(shell, FOLDER)? {
        Ok(tests) => {
            let mut command = tests.command();
            // One browser at a time: several starve each other on a small machine.
            command.arg("--test-concurrency=1").env("CHROMIUM", chromium);
            command.env("AI_CHAT_BIN", shell.target().join("debug/ai-chat"));
            command.env("AI_CHAT_PAGE", page.folder().join("dist"));
            part.node_test(&tests.run("ai chat tests", command)?);
        }
        Err(missing) => part.skip(&missing.what, &missing.remedy),
    }
    Ok(part)
}
