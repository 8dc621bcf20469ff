//! The PostgreSQL store, against a real server.

use crate::report::Part;
use crate::setup::PostgresServer;
use crate::shell::{Shell, Step};
use anyhow::Result;

/// The package of the store. Its tests need a server, so the native tests are without it.
pub(super) const PACKAGE: &str = "durable-session-postgres";

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
    let mut tests = shell.cargo(["test", "--package", PACKAGE, "--all-features"]);
    tests.args(["--no-fail-fast", "--", "--show-output"]).env("DATABASE_URL", &server.url);
    if let Some(programs) = &server.programs {
        tests.env("PG_BIN", programs);
    }
    part.cargo_test(&Step::new(shell, "postgres tests", tests).run()?);
    Ok(part)
}
