//! The chat page in Chromium, on two replicas of the server behind nginx, which share a PostgreSQL.

use super::browser;
use crate::report::Part;
use crate::setup::{PostgresServer, nginx};
use crate::shell::Shell;
use anyhow::Result;

/// The tests of replicas, and those of the page that are about what is stored.
const TESTS: [&str; 2] = ["replicas.mjs", "storage.test.mjs"];

/// Starts two replicas and nginx, in the place of the server.
const LAUNCHER: &str = "deploy/tests/replicas.mjs";

/// The tests get the database in `DATABASE_URL`, and the launcher in `TUTOR_CHAT_CMD`.
pub(super) fn run(shell: &Shell) -> Result<Part> {
    let mut part = Part::new("replicas");
    let found = match nginx(shell)? {
        Ok(nginx) => PostgresServer::start(shell)?.map(|server| (nginx, server)),
        Err(missing) => Err(missing),
    };
    match found {
        Ok((nginx, server)) => {
            let launcher = shell.root().join(LAUNCHER);
            let launch = format!(
                "node '{}' --addr {{addr}} --store {{store}} --client-may everything",
                launcher.display()
            );
            browser::drive(shell, &mut part, "browser tests on two replicas", |command| {
                command.args(TESTS).env("NGINX", nginx).env("DATABASE_URL", &server.url);
                command.env("TUTOR_CHAT_CMD", launch);
            })?;
        }
        Err(missing) => part.skip(&missing.what, &missing.remedy),
    }
    Ok(part)
}
