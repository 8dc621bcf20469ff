//! What the kernel counts.

use anyhow::{Context, Result};

/// A line of `/proc/…/io`.
pub(crate) fn counted(path: &str, what: &str) -> Result<u64> {
    let io = std::fs::read_to_string(path).with_context(|| format!("{path}, which only Linux has"))?;
    let line = io.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(": "));
    Ok(line.with_context(|| format!("no {what} in {path}"))?.parse()?)
}
