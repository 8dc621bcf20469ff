//! One append after the other, and 64 tasks.

use super::child::Name;
use super::load::CALLERS;
use crate::io::Written;
use crate::peer::SESSIONS;
use crate::values::Values;
use anyhow::Result;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

pub(super) fn lone(runtime: &Runtime, name: Name, folder: &Path, appends: usize) -> Result<Values> {
    name.create(runtime, folder)?;
    let closed = Written::so_far()?;
    let mut peer = name.open(folder)?;
    peer.warm(runtime, SESSIONS)?;
    let opened = Written::so_far()?;
    let mut times = Vec::with_capacity(appends);
    for n in 0..appends {
        let session = 1 + n * 7919 % (SESSIONS - 1);
        let began = Instant::now();
        peer.append(runtime, session)?;
        times.push(began.elapsed());
    }
    let appended = Written::so_far()?.since(opened);
    peer.close(runtime)?;
    let all = Written::so_far()?.since(closed);
    let (mut values, appends) = (Values::default(), appends as u64);
    values.times("", times);
    values.per("bytes", all.pages, appends);
    values.per("bytes_before_close", appended.pages, appends);
    values.per("wchar", all.calls, appends);
    Ok(values)
}

pub(super) fn tasks(runtime: &Runtime, name: Name, folder: &Path, seconds: f64) -> Result<Values> {
    name.create(runtime, folder)?;
    let mut peer = name.open(folder)?;
    peer.warm(runtime, SESSIONS)?;
    let sessions: Vec<usize> = (1..=CALLERS).collect();
    let (began, before) = (Instant::now(), Written::so_far()?);
    let end = began + Duration::from_secs_f64(seconds);
    let appends = peer.in_tasks_until(runtime, &sessions, end)?;
    let took = began.elapsed();
    peer.close(runtime)?;
    let all = Written::so_far()?.since(before);
    let mut values = Values::default();
    values.count("appends", appends);
    values.per("us_each", u64::try_from(took.as_micros())?, appends);
    values.per("bytes", all.pages, appends);
    values.per("wchar", all.calls, appends);
    Ok(values)
}
