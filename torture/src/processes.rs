//! Processes that campaigns start and kill.

use anyhow::{Context, Result};
use durable_session_redb::{OpenCheck, RedbStore};
use fastrand::Rng;
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// Options of the store in a process that is killed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoreOptions {
    check: u8,
    log_bytes: u64,
    memtable_bytes: u64,
}

const CHECK: &str = "TORTURE_CHECK";
const LOG_BYTES: &str = "TORTURE_LOG_BYTES";
const MEMTABLE_BYTES: &str = "TORTURE_MEMTABLE_BYTES";

impl StoreOptions {
    pub(crate) fn any(rng: &mut Rng) -> Self {
        let sizes = [8_000, 64 * 1024, 1 << 20, 64 << 20];
        Self {
            check: rng.u8(0..3),
            log_bytes: sizes[rng.usize(0..sizes.len())],
            memtable_bytes: sizes[rng.usize(0..sizes.len())],
        }
    }

    /// Tells them to a process before it is started.
    pub(crate) fn tell(&self, command: &mut Command) {
        command.env(CHECK, self.check.to_string());
        command.env(LOG_BYTES, self.log_bytes.to_string());
        command.env(MEMTABLE_BYTES, self.memtable_bytes.to_string());
    }

    /// Opens the store in a process that was told them.
    pub(crate) fn open(file: &Path) -> Result<RedbStore> {
        let checks = [OpenCheck::Background, OpenCheck::First, OpenCheck::Skip];
        let number = |name: &'static str| {
            let text = std::env::var(name).context(name)?;
            text.parse::<u64>().context(name)
        };
        Ok(RedbStore::builder()
            .check(checks[usize::try_from(number(CHECK)?)? % checks.len()])
            .cache_bytes(16 << 20)
            .log_bytes(number(LOG_BYTES)?)
            .memtable_bytes(usize::try_from(number(MEMTABLE_BYTES)?)?)
            .open(file)?)
    }
}

/// Tells the parent a line. One write each, so that a kill cuts at most the last one.
pub(crate) fn tell(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes())?;
    Ok(out.flush()?)
}
