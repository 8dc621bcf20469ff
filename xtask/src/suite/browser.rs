//! The chat page, driven in a real Chromium against the real server.

use crate::report::Part;
use crate::setup::{NodeTests, chromium};
use crate::shell::{Shell, Step};
use anyhow::Result;

const FOLDER: &str = "apps/tutor-chat/tests-browser";

/// The tests get the server's program in `TUTOR_CHAT_BIN` and the browser's in `CHROMIUM`.
pub(super) fn run(shell: &Shell) -> Result<Part> {
    let mut part = Part::new("browser");
    let build = shell.cargo(["build", "--package", "tutor-chat"]);
    if !part.preparation(&Step::new(shell, "build tutor-chat", build).run()?) {
        return Ok(part);
    }
    let chromium = match chromium(shell)? {
        Ok(path) => path,
        Err(missing) => {
            part.skip(&missing.what, &missing.remedy);
            return Ok(part);
        }
    };
    match NodeTests::prepare(shell, FOLDER)? {
        Ok(tests) => {
            let mut command = tests.command();
            // One browser at a time: several starve each other on a small machine.
            command.arg("--test-concurrency=1").env("CHROMIUM", chromium);
            command.env("TUTOR_CHAT_BIN", shell.target().join("debug/tutor-chat"));
            part.node_test(&tests.run("browser tests", command)?);
        }
        Err(missing) => part.skip(&missing.what, &missing.remedy),
    }
    Ok(part)
}
