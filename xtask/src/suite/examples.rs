//! A third party's store: a workspace of its own that depends on the published crates only.

use crate::report::Part;
use crate::shell::{Shell, Step};
use anyhow::Result;

const FOLDER: &str = "examples/custom-store";

pub(super) fn run(shell: &Shell) -> Result<Part> {
    let mut part = Part::new("custom store");
    let mut command = shell.cargo(["test", "--no-fail-fast", "--manifest-path"]);
    command
        .arg(format!("{FOLDER}/Cargo.toml"))
        .arg("--target-dir")
        .arg(shell.target().join("custom-store"));
    command.args(["--", "--show-output"]);
    part.cargo_test(&Step::new(shell, "custom store", command).run()?);
    Ok(part)
}
