//! Broken engines: the conformance suite run on the memory store with a bug planted in the session engine. A case
//! that passes on its broken engine proves nothing.

use crate::report::Part;
use crate::shell::Shell;
use anyhow::{Context, Result};
use std::time::Instant;

/// A bug of the engine, and a case that has to fail with it.
const ENGINES: [(&str, &str); 5] = [
    ("leave-answers-to-callers", "a_dropped_callers_change_is_seen_by_the_next_read"),
    ("leave-answers-to-callers", "what_a_dropped_caller_created_is_kept_while_it_is_read"),
    ("leave-answers-in-memory", "a_session_whose_callers_went_away_leaves_memory"),
    ("publish-before-commit", "readers_do_not_wait_behind_a_writer"),
    ("forget-staged-calls", "a_failed_commit_fails_every_call_in_it_alike"),
];

/// Each case must fail on its engine.
pub(super) fn run(shell: &Shell, part: &mut Part) -> Result<()> {
    for (bug, case) in ENGINES {
        let began = Instant::now();
        let mut command =
            shell.cargo(["test", "--package", "durable-session-conformance", "--test", "memory"]);
        // A build of its own: nothing else is ever built with these bugs.
        command.arg("--target-dir").arg(shell.target().join("planted-engine")).args(["--", "--exact", case]);
        command.env("RUSTFLAGS", "--cfg planted").env("DURABLE_SESSION_PLANTED", bug);
        let output = command.output().context("could not start cargo")?;
        let printed = String::from_utf8_lossy(&output.stdout);
        let caught = printed.lines().any(|line| line == format!("test {case} ... FAILED"));
        part.check(&format!("the engine that would {bug} is caught by {case}"), caught, began.elapsed());
    }
    Ok(())
}
