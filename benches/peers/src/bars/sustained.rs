//! Minutes of appends by 64 callers over 20,000 sessions.

use super::child::Name;
use super::load::{Load, SESSIONS, Work, gathered, many_callers};
use crate::io::{Written, folder_bytes};
use crate::peer::{Ours, Peer, SqliteByHand, message};
use crate::values::Values;
use anyhow::{Result, bail};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// For live sessions of ours: room for all, since appends are measured and not loads.
const MEMORY: u64 = 1 << 30;
/// How often there is a line of progress.
const STEP: Duration = Duration::from_mins(1);

/// Works until a time.
type Worker<'a> = Box<dyn FnMut(Instant) -> Result<Work> + 'a>;

pub(super) fn run(
    runtime: &Runtime,
    name: Name,
    folder: &Path,
    seconds: f64,
    keep: Option<u64>,
) -> Result<Values> {
    let (load, file) = (Load { keep }, name.file(folder));
    let before = Written::so_far()?;
    let mut values = Values::default();
    match name {
        Name::DurableSession => {
            let ours = Ours::open(&file, SESSIONS, MEMORY)?;
            let next = Arc::default();
            let worker: Worker<'_> = Box::new(|end| many_callers(runtime, &ours, load, &next, end));
            let work = minutes(folder, seconds, worker, &mut values)?;
            // Each session is loaded once, and again only if memory had no room for it.
            values.count("loads", ours.loads());
            close(runtime, Box::new(ours), folder, work, before, &mut values)?;
        }
        Name::Rusqlite => {
            let (mut theirs, mut next) = (SqliteByHand::open(&file)?, 0);
            let worker: Worker<'_> = Box::new(|end| gathered(&mut theirs, load, &mut next, end));
            let work = minutes(folder, seconds, worker, &mut values)?;
            close(runtime, Box::new(theirs), folder, work, before, &mut values)?;
        }
        Name::BareLog | Name::RusqliteBlocking => bail!("{name:?} has no sustained load"),
    }
    Ok(values)
}

fn minutes(folder: &Path, seconds: f64, mut work: Worker<'_>, values: &mut Values) -> Result<Work> {
    let (began, mut sum) = (Instant::now(), Work::default());
    let until = began + Duration::from_secs_f64(seconds);
    while Instant::now() < until {
        let (step, before) = (Instant::now(), Written::so_far()?);
        let done = work(until.min(step + STEP))?;
        let (took, written) = (step.elapsed(), Written::so_far()?.since(before));
        sum += done;
        let mut minute = Values::default();
        minute.per("minute", began.elapsed().as_secs(), 60);
        minute.per("appends_per_s", done.appends * 1_000, u64::try_from(took.as_millis())?);
        minute.per("bytes", written.pages, done.appends);
        minute.per("file_mb", folder_bytes(folder)?, 1_000_000);
        eprintln!("    {minute}");
    }
    values.per("appends_per_s", sum.appends * 1_000, u64::try_from(began.elapsed().as_millis())?);
    values.count("appends", sum.appends);
    values.count("deletes", sum.deletes);
    Ok(sum)
}

fn close(
    runtime: &Runtime,
    peer: Box<dyn Peer>,
    folder: &Path,
    work: Work,
    before: Written,
    values: &mut Values,
) -> Result<()> {
    let bodies = work.messages() * message().bytes() as u64;
    values.per("file_per_bodies_before_close", folder_bytes(folder)?, bodies);
    let began = Instant::now();
    peer.close(runtime)?;
    values.ms("close_ms", began.elapsed());
    values.per("file_per_bodies", folder_bytes(folder)?, bodies);
    let all = Written::so_far()?.since(before);
    values.per("bytes", all.pages, work.appends);
    values.per("wchar", all.calls, work.appends);
    Ok(())
}
