//! The chat page in Chromium, on two replicas of the server behind nginx, which share a PostgreSQL.

use super::browser;
use crate::report::Part;
use crate::setup::{PostgresServer, nginx};
use crate::shell::{Shell, Step};
use anyhow::Result;

/// The tests of replicas, and those of the page that are about what is stored.
const TESTS: [&str; 2] = ["replicas.mjs", "storage.test.mjs"];

/// Starts two replicas and nginx, in the place of the server.
const LAUNCHER: &str = "deploy/tests/replicas.mjs";

/// The same for people, in containers.
const COMPOSE: &str = "deploy/compose.yaml";

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
    compose(shell, &mut part)?;
    Ok(part)
}

/// Builds and starts the containers. Their health checks ask for the page's readiness.
fn compose(shell: &Shell, part: &mut Part) -> Result<()> {
    if shell.ask("docker", &["compose", "version"]).is_none() {
        part.not_tested(&format!("{COMPOSE}: there is no container engine (docker compose)"));
        return Ok(());
    }
    let docker = |args: &[&str]| {
        let mut command = shell.command("docker");
        command.args(["compose", "-f", COMPOSE]).args(args);
        command
    };
    let up = Step::new(shell, "compose up", docker(&["up", "--build", "--wait"])).run()?;
    part.check("compose up", up.ok, up.elapsed);
    Step::new(shell, "compose down", docker(&["down", "--volumes"])).run()?;
    Ok(())
}
