//! Opening files of several sizes, after a close and after `kill -9`.

use super::runner::{BEFORE, DISK, OURS, Run, Side};
use crate::values::Values;
use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// How long the process appends before it is killed.
const WRITES: Duration = Duration::from_secs(5);

pub(super) fn run(run: &mut Run<'_>) -> Result<()> {
    for &size in &run.options.sizes {
        let figures = [true, false].map(|clean| name(size, clean));
        let sides = run.sides(&[BEFORE, OURS])?;
        let mut filled = Vec::new();
        for round in 1..=run.options.rounds {
            // Each round appends, so that small files would not stay small.
            if round == 1 || size < 1_000 {
                filled = fill(run, &sides, size, &figures)?;
            }
            for (side, folder, sessions) in &filled {
                for (clean, figure) in [(true, &figures[0]), (false, &figures[1])] {
                    if run.results.has(figure, DISK, side.label, round) {
                        continue;
                    }
                    let values = opened(run, side, folder.path(), round, *sessions, clean)?;
                    run.keep(figure, DISK, side, round, values)?;
                }
            }
        }
        let labels: Vec<_> = sides.iter().map(|side| side.label).collect();
        for figure in &figures {
            run.results.print_medians(figure, DISK, &labels);
        }
    }
    Ok(())
}

/// Fills a store for each side that lacks results. Returns it with the number of its sessions.
fn fill<'a>(
    run: &Run<'_>,
    sides: &'a [Side],
    size: u64,
    figures: &[String],
) -> Result<Vec<(&'a Side, TempDir, f64)>> {
    let mut filled = Vec::new();
    for side in sides {
        let has = |round, figure: &String| run.results.has(figure, DISK, side.label, round);
        if (1..=run.options.rounds).all(|round| figures.iter().all(|figure| has(round, figure))) {
            continue;
        }
        let folder = TempDir::new_in(&run.options.disk)?;
        let bytes = (size * 1_000_000).to_string();
        let made = run.child(side, folder.path(), &["fill", "--bytes", &bytes])?;
        println!("opening {size} MB, {}: {made}", side.label);
        let sessions = made.get("sessions").context("a filled store has sessions")?;
        filled.push((side, folder, sessions));
    }
    Ok(filled)
}

/// The figure of a size in MB.
pub(super) fn name(size: u64, clean: bool) -> String {
    format!("opening-{size}MB-{}", if clean { "closed" } else { "killed" })
}

/// A session that is there, and then, in another process, a new one.
fn opened(
    run: &Run<'_>,
    side: &Side,
    folder: &Path,
    round: u32,
    sessions: f64,
    clean: bool,
) -> Result<Values> {
    let sessions = sessions.to_string();
    let old = (round * 61).to_string();
    // A number that no round has used.
    let new = (1_000_000_000 + 2 * round + u32::from(clean)).to_string();
    let prepare = || if clean { Ok(()) } else { killed(side, folder, &sessions) };
    prepare()?;
    let found = run.child(side, folder, &["open", "--session", &old])?;
    prepare()?;
    let made = run.child(side, folder, &["open", "--session", &new, "--create"])?;
    let mut values = found;
    if let Some(created) = made.get("created_ms") {
        values.set("created_ms", created);
    }
    Ok(values)
}

/// Lets a process append, and kills it.
fn killed(side: &Side, folder: &Path, sessions: &str) -> Result<()> {
    let mut writer = Run::command(side, folder, &["write", "--sessions", sessions]).spawn()?;
    let output = writer.stdout.take().context("the output of a child is piped")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    std::thread::sleep(WRITES);
    let ended = writer.try_wait()?;
    writer.kill()?;
    writer.wait()?;
    ensure!(line.trim() == "begun", "the process to be killed wrote nothing");
    ensure!(ended.is_none(), "the process to be killed ended by itself");
    Ok(())
}
