//! Packages of the system, where root can install them.

use crate::shell::{Shell, Step};
use anyhow::Result;

/// Installs a package of Debian if this is root on such a system. `false` if it is not.
pub(super) fn install(shell: &Shell, package: &str) -> Result<bool> {
    if !is_root(shell) || shell.ask("apt-get", &["--version"]).is_none() {
        return Ok(false);
    }
    let install = format!("apt-get install {package}");
    for (name, arguments) in [
        ("apt-get update", &["-q", "update"][..]),
        (&install, &["-qy", "install", "--no-install-recommends", package][..]),
    ] {
        let mut command = shell.command("apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        Step::new(shell, name, command).run()?;
    }
    Ok(true)
}

pub(super) fn is_root(shell: &Shell) -> bool {
    shell.ask("id", &["-u"]).as_deref() == Some("0")
}
