//! A Python of its own below the target folder, with the packages of one requirements file.

use super::{Found, Missing};
use crate::shell::{Shell, Step};
use anyhow::{Context, Result};
use std::path::PathBuf;

/// The path of the interpreter, its packages installed first unless an earlier run did.
pub(crate) fn python(shell: &Shell, requirements: &str) -> Result<Found<PathBuf>> {
    let folder = shell.target().join("python");
    let program = folder.join("bin/python");
    let wanted = std::fs::read_to_string(shell.root().join(requirements))
        .with_context(|| format!("could not read {requirements}"))?;
    let installed = folder.join("installed.txt");
    if program.exists()
        && std::fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted)
    {
        return Ok(Ok(program));
    }
    if shell.ask("python3", &["-m", "venv", "--help"]).is_none() {
        return Ok(Err(Missing::new(
            "there is no python3 with venv",
            "install Python 3.10 or newer",
        )));
    }
    let mut create = shell.command("python3");
    create.args(["-m", "venv"]).arg(&folder);
    let mut install = shell.command(&program);
    install.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--requirement",
        requirements,
    ]);
    for (name, command) in [("python venv", create), ("pip install", install)] {
        if !Step::new(shell, name, command).run()?.ok {
            return Ok(Err(Missing::new(
                format!("the packages of {requirements} could not be installed"),
                "make the Python package index reachable, or see target/xtask/pip-install.log",
            )));
        }
    }
    std::fs::write(&installed, wanted)
        .with_context(|| format!("could not write {}", installed.display()))?;
    Ok(Ok(program))
}
