//! Lone appends without a flush, and while one runs. A flush is seen by the bytes that the process
//! writes beyond those of the appends.

use super::child::Name;
use super::load::{Load, SESSIONS, many_callers};
use crate::io::Written;
use crate::peer::{Ours, Service, message};
use crate::values::Values;
use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// The bytes are counted for each of these.
const WINDOW: Duration = Duration::from_millis(20);
/// A flush runs in a window with so many bytes beyond the appends' own.
const BUSY: u64 = 256 << 10;
/// A flush has ended when so many windows in succession are not busy.
const QUIET: usize = 25;
/// How long the 64 callers append at a time, to fill the log.
const BURST: Duration = Duration::from_millis(500);
/// The run ends when so many appends were timed during flushes.
const ENOUGH: usize = 10_000;

pub(super) fn run(
    runtime: &Runtime,
    folder: &Path,
    appends: usize,
    seconds: f64,
) -> Result<Values> {
    let file = Name::DurableSession.file(folder);
    let memory = 1 << 30;
    let ours = Ours::open(&file, SESSIONS, memory)?;
    let sessions = ours.sessions();
    for some in sessions.chunks(256) {
        runtime.block_on(try_join_all(some.iter().map(|s| s.add_message(message()))))?;
    }
    runtime.block_on(ours.end())?;

    let mut lone = Lone { ours: Ours::open(&file, SESSIONS, memory)?, next: 0 };
    for n in 0..SESSIONS {
        runtime.block_on(lone.ours.warm(n))?;
    }
    let (before, mut without) = (Written::so_far()?, Vec::new());
    while without.len() < appends {
        without.push(lone.append(runtime)?);
    }
    let each = Written::so_far()?.since(before).pages / appends as u64;

    let (load, next) = (Load { keep: None }, Arc::default());
    let (began, mut during, mut flushes) = (Instant::now(), Vec::new(), 0);
    let mut flush_windows = 0;
    while during.len() < ENOUGH && began.elapsed().as_secs_f64() < seconds {
        many_callers(runtime, &lone.ours, load, &next, Instant::now() + BURST)?;
        let mut windows = Vec::new();
        while windows.iter().rev().take_while(|window: &&Window| !window.busy).count() < QUIET {
            windows.push(lone.window(runtime, each)?);
        }
        let last = windows.iter().rposition(|window| window.busy);
        let first = windows.iter().position(|window| window.busy);
        if let (Some(first), Some(last)) = (first, last) {
            flushes += 1;
            flush_windows += last + 1 - first;
            during.extend(windows.drain(first..=last).flat_map(|window| window.times));
        }
    }
    ensure!(!during.is_empty(), "no flush was seen in {seconds} s");
    runtime.block_on(lone.ours.end())?;
    let mut values = Values::default();
    values.times("without_", without);
    values.times("during_", during);
    values.count("flushes", flushes);
    values.ms("flush_ms", WINDOW * u32::try_from(flush_windows)? / u32::try_from(flushes)?);
    Ok(values)
}

struct Window {
    times: Vec<Duration>,
    busy: bool,
}

struct Lone {
    ours: Ours,
    next: usize,
}

impl Lone {
    fn append(&mut self, runtime: &Runtime) -> Result<Duration> {
        self.next += 1;
        let began = Instant::now();
        runtime.block_on(self.ours.add(self.next * 7919 % SESSIONS))?;
        Ok(began.elapsed())
    }

    fn window(&mut self, runtime: &Runtime, each: u64) -> Result<Window> {
        let (began, before) = (Instant::now(), Written::so_far()?);
        let mut times = Vec::new();
        while began.elapsed() < WINDOW {
            times.push(self.append(runtime)?);
        }
        let written = Written::so_far()?.since(before).pages;
        Ok(Window { busy: written > each * times.len() as u64 + BUSY, times })
    }
}
