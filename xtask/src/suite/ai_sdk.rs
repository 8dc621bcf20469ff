//! The npm package `ai`, whose chat is behind `useChat`, against a real service. Its schema also
//! parses what the routes send in the Rust tests.

use crate::report::Part;
use crate::setup::NodeTests;
use crate::shell::{Shell, Step};
use anyhow::Result;

const FOLDER: &str = "examples/ai-chat/tests-node";

/// The tests get the service's program in `AI_CHAT_BIN`, and what the Rust tests were sent in
/// `UI_CHUNKS`.
pub(super) fn run(shell: &Shell) -> Result<Part> {
    let mut part = Part::new("ai sdk");
    let build = shell.cargo(["build", "--package", "ai-chat"]);
    if !part.preparation(&Step::new(shell, "build ai-chat", build).run()?) {
        return Ok(part);
    }
    let chunks = shell.target().join("ui-chunks.txt");
    // The tests append to it.
    let _ = std::fs::remove_file(&chunks);
    // The native part counts these tests.
    let mut record =
        shell.cargo(["test", "--package", "durable-session-http", "--test", "use_chat"]);
    record.arg("--all-features").env("UI_CHUNKS", &chunks);
    if !part.preparation(&Step::new(shell, "chunks of the rust tests", record).run()?) {
        return Ok(part);
    }
    match NodeTests::prepare(shell, FOLDER)? {
        Ok(tests) => {
            let mut command = tests.command();
            command.env("UI_CHUNKS", chunks);
            command.env("AI_CHAT_BIN", shell.target().join("debug/ai-chat"));
            part.node_test(&tests.run("ai sdk tests", command)?);
        }
        Err(missing) => part.skip(&missing.what, &missing.remedy),
    }
    Ok(part)
}
