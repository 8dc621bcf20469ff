//! The chat page in Chromium, on two replicas of the server behind nginx, which share a PostgreSQL.

use crate::report::Part;
use crate::setup::{NodeTests, PostgresServer, chromium, nginx};
use crate::shell::{Shell, Step};
use anyhow::Result;

const FOLDER: &str = "apps/tutor-chat/tests-browser";

/// The tests of replicas, and those of the page that are about what is stored.
const TESTS: [&str; 2] = ["replicas.mjs", "storage.test.mjs"];

/// Starts two replicas and nginx, in the place of the server.
const LAUNCHER: &str = "deploy/tests/replicas.mjs";

/// The tests get the database in `DATABASE_URL`, and the launcher in `TUTOR_CHAT_CMD`.
pub(super) fn run(shell: &Shell) -> Result<Part> {
    let mut part = Part::new("replicas");
    let build = shell.cargo(["build", "--package", "tutor-chat"]);
    if !part.preparation(&Step::new(shell, "build tutor-chat", build).run()?) {
        return Ok(part);
    }
    let nginx = match nginx(shell)? {
        Ok(nginx) => nginx,
        Err(missing) => {
            part.skip(&missing.what, &missing.remedy);
            return Ok(part);
        }
    };
    let chromium = match chromium(shell)? {
        Ok(chromium) => chromium,
        Err(missing) => {
            part.skip(&missing.what, &missing.remedy);
            return Ok(part);
        }
    };
    let server = match PostgresServer::start(shell)? {
        Ok(server) => server,
        Err(missing) => {
            part.skip(&missing.what, &missing.remedy);
            return Ok(part);
        }
    };
    match NodeTests::prepare(shell, FOLDER)? {
        Ok(tests) => {
            let mut command = tests.command();
            command.arg("--test-concurrency=1").args(TESTS);
            command.env("CHROMIUM", chromium).env("NGINX", nginx);
            command.env("DATABASE_URL", &server.url);
            command.env("TUTOR_CHAT_BIN", shell.target().join("debug/tutor-chat"));
            let launcher = shell.root().join(LAUNCHER);
            command.env(
                "TUTOR_CHAT_CMD",
                format!(
                    "node '{}' --addr {{addr}} --store {{store}} --client-may everything",
                    launcher.display()
                ),
            );
            part.node_test(&tests.run("browser tests on two replicas", command)?);
        }
        Err(missing) => part.skip(&missing.what, &missing.remedy),
    }
    Ok(part)
}
