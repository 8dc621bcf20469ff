//! An nginx to put in front of replicas.

use super::{Found, Missing, apt};
use crate::shell::Shell;
use anyhow::Result;

/// The path of an nginx: from `NGINX`, from the search path, or from the system's package when root
/// can install it.
pub(crate) fn nginx(shell: &Shell) -> Result<Found<String>> {
    if find(shell).is_none() {
        apt::install(shell, "nginx-light")?;
    }
    Ok(find(shell).ok_or_else(|| {
        Missing::new(
            "there is no nginx to put in front of the replicas",
            "install it (on Debian: apt-get install nginx-light), or set NGINX to the path of one",
        )
    }))
}

fn find(shell: &Shell) -> Option<String> {
    let given = std::env::var("NGINX").ok().filter(|path| !path.is_empty());
    let search = "PATH=$PATH:/usr/sbin command -v nginx";
    given.or_else(|| shell.ask("sh", &["-c", search]))
}
