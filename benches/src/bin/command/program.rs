//! Runs of the program.

use crate::Common;
use anyhow::{Context, Result};
use std::fs::File;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What a run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Took {
    pub(crate) time: Duration,
    /// As of the last look, a few milliseconds before the end.
    pub(crate) peak_kib: u64,
    pub(crate) code: Option<i32>,
}

/// Starts it; what it prints goes into two files.
pub(crate) fn start(common: &Common, store: &str, arguments: &[&str]) -> Result<Child> {
    let file = |name| File::create(common.folder.join(name));
    let mut command = Command::new(&common.program);
    command.args(["--store", store]).args(arguments).stdout(file("out")?).stderr(file("err")?);
    command.spawn().with_context(|| format!("could not start {}", common.program.display()))
}

pub(crate) fn run(common: &Common, store: &str, arguments: &[&str]) -> Result<Took> {
    let began = Instant::now();
    let mut child = start(common, store, arguments)?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0;
    let ended = loop {
        // Linux keeps the highest number itself.
        if let Ok(status) = std::fs::read_to_string(&status)
            && let Some(line) = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))
            && let Some(Ok(kib)) = line.split_whitespace().next().map(str::parse)
        {
            peak_kib = kib;
        }
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        sleep(Duration::from_millis(2));
    };
    Ok(Took { time: began.elapsed(), peak_kib, code: ended.code() })
}

/// The end of what the last run printed.
pub(crate) fn printed(common: &Common) -> Result<String> {
    let text = std::fs::read_to_string(common.folder.join("out"))?;
    Ok(text.lines().last().unwrap_or_default().to_owned())
}
