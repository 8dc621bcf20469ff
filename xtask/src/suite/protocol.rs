//! The wire protocol's golden scenarios: their player, and the whole-state object they describe.

use crate::report::Part;
use crate::setup::NodeTests;
use crate::shell::Shell;
use anyhow::Result;

const FOLDER: &str = "protocol";

pub(super) fn run(shell: &Shell) -> Result<Part> {
    let mut part = Part::new("protocol");
    match NodeTests::prepare(shell, FOLDER)? {
        Ok(tests) => part.node_test(&tests.run("protocol tests", tests.command())?),
        Err(missing) => part.skip(&missing.what, &missing.remedy),
    }
    Ok(part)
}
