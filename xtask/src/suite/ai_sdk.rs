//! The npm package `ai`, whose chat is behind `useChat`, against a real service.

use crate::report::Part;
use crate::setup::NodeTests;
use crate::shell::{Shell, Step};
use anyhow::Result;

const FOLDER: &str = "examples/ai-chat/tests-node";

/// The tests get the service's program in `AI_CHAT_BIN`.
pub(super) fn run(shell: &Shell) -> Result<Part> {
    let mut part = Part::new("ai sdk");
    let build = shell.cargo(["build", "--package", "ai-chat"]);
    if !part.preparation(&Step::new(shell, "build ai-chat", build).run()?) {
        return Ok(part);
    }
    match NodeTests::prepare(shell, FOLDER)? {
        Ok(tests) => {
            let mut command = tests.command();
            command.env("AI_CHAT_BIN", shell.target().join("debug/ai-chat"));
            part.node_test(&tests.run("ai sdk tests", command)?);
        }
        Err(missing) => part.skip(&missing.what, &missing.remedy),
    }
    Ok(part)
}
