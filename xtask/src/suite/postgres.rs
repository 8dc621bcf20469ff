//! The PostgreSQL store, and the command over it, against a real server.

use crate::report::Part;
use crate::setup::PostgresServer;
use crate::shell::{Shell, Step};
use anyhow::Result;

/// The packages whose tests need a server. The native tests are without them.
pub(super) const PACKAGES: [&str; 2] = ["durable-session-postgres", "durable-session-cli"];

/// The tests get the server in `DATABASE_URL`, and the folder of its programs in `PG_BIN`.
pub(super) fn run(shell: &Shell) -> Result<Part> {
    let mut part = Part::new("postgres");
    let server = match PostgresServer::start(shell)? {
        Ok(server) => server,
        Err(missing) => {
            part.skip(&missing.what, &missing.remedy);
            return Ok(part);
        }
    };
    let mut tests = shell.cargo(["test", "--all-features", "--no-fail-fast"]);
    for package in PACKAGES {
        tests.args(["--package", package]);
    }
    tests.args(["--", "--show-output"]).env("DATABASE_URL", &server.url);
    if let Some(programs) = &server.programs {
        tests.env("PG_BIN", programs);
    }
    part.cargo_test(&Step::new(shell, "postgres tests", tests).run()?);
    Ok(part)
}
