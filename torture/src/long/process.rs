//! The resources that the process holds.

use anyhow::{Context, Result};
use std::time::{Duration, Instant};

#[derive(Debug, Clone)]
pub(super) struct Process {
    /// Bytes of memory in use.
    pub(super) rss: u64,
    pub(super) descriptors: usize,
    pub(super) threads: usize,
}

impl Process {
    fn now() -> Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
        let kib: u64 = line.split_whitespace().nth(1).context("no VmRSS")?.parse()?;
        Ok(Self {
            rss: kib * 1024,
            descriptors: std::fs::read_dir("/proc/self/fd")?.count(),
            threads: std::fs::read_dir("/proc/self/task")?.count(),
        })
    }

    /// The resources once the threads that were told to end have ended, or after some patience.
    pub(super) fn settled(before: Option<&Self>) -> Result<Self> {
        let began = Instant::now();
        loop {
            let now = Self::now()?;
            let settled = before.map_or(1, |before| before.threads);
            if now.threads <= settled || began.elapsed() > Duration::from_secs(10) {
                return Ok(now);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
