//! A Chromium to drive.

use super::{Found, Missing, apt};
use crate::shell::Shell;
use anyhow::Result;

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// The path of a Chromium: from `CHROMIUM`, from the search path, or from the system's package when
/// root can install it.
pub(crate) fn chromium(shell: &Shell) -> Result<Found<String>> {
    if let Some(path) = find(shell) {
        return Ok(Ok(path));
    }
    apt::install(shell, "chromium")?;
    Ok(find(shell).ok_or_else(|| {
        Missing::new(
            "there is no Chromium to run the page in",
            "install it (on Debian: apt-get install chromium), or set CHROMIUM to the path of one",
        )
    }))
}

fn find(shell: &Shell) -> Option<String> {
    std::env::var("CHROMIUM").ok().filter(|path| !path.is_empty()).or_else(|| {
        NAMES.iter().find_map(|name| shell.ask("sh", &["-c", &format!("command -v {name}")]))
    })
}
