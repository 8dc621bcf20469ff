//! The wasm32 target of the toolchain in use.

use super::{Found, Missing};
use crate::shell::{Shell, Step};
use anyhow::Result;

const TARGET: &str = "wasm32-unknown-unknown";

/// Adds the target with rustup unless it is there; answers its name.
pub(crate) fn wasm_target(shell: &Shell) -> Result<Found<&'static str>> {
    if has_target(shell) {
        return Ok(Ok(TARGET));
    }
    if shell.ask("rustup", &["--version"]).is_some() {
        let mut command = shell.command("rustup");
        command.args(["target", "add", TARGET]);
        Step::new(shell, "rustup target add wasm32", command).run()?;
    }
    Ok(if has_target(shell) {
        Ok(TARGET)
    } else {
        Err(Missing::new(
            format!("this Rust toolchain has no standard library for {TARGET}"),
            format!(
                "rustup target add {TARGET}, or install it with the package that rustc came from"
            ),
        ))
    })
}

fn has_target(shell: &Shell) -> bool {
    shell.ask("rustc", &["--print", "target-libdir", "--target", TARGET]).is_some_and(|folder| {
        std::fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some())
    })
}
