//! The chat page, driven in a real Chromium against the real server.

use crate::report::Part;
use crate::setup::{NodeTests, chromium};
use crate::shell::{Shell, Step};
use anyhow::Result;
use std::process::Command;

const FOLDER: &str = "apps/tutor-chat/tests-browser";

pub(super) fn run(shell: &Shell) -> Result<Part> {
    let mut part = Part::new("browser");
    drive(shell, &mut part, "browser tests", |_| {})?;
    Ok(part)
}

/// The tests get the server's program in `TUTOR_CHAT_BIN` and the browser's in `CHROMIUM`; `choose`
/// says which tests run, and which server if it is another one.
pub(super) fn drive(
    shell: &Shell,
    part: &mut Part,
    name: &str,
    choose: impl FnOnce(&mut Command),
) -> Result<()> {
    let build = shell.cargo(["build", "--package", "tutor-chat"]);
    if !part.preparation(&Step::new(shell, "build tutor-chat", build).run()?) {
        return Ok(());
    }
    let found = match chromium(shell)? {
        Ok(chromium) => NodeTests::prepare(shell, FOLDER)?.map(|tests| (tests, chromium)),
        Err(missing) => Err(missing),
    };
    match found {
        Ok((tests, chromium)) => {
            let mut command = tests.command();
            // One browser at a time: several starve each other on a small machine.
            command.arg("--test-concurrency=1").env("CHROMIUM", chromium);
            command.env("TUTOR_CHAT_BIN", shell.target().join("debug/tutor-chat"));
            choose(&mut command);
            part.node_test(&tests.run(name, command)?);
        }
        Err(missing) => part.skip(&missing.what, &missing.remedy),
    }
    Ok(())
}
