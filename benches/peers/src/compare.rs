//! Appends and loads, by turns.
//!
//! The output has the medians of all rounds, and the time of the fastest tenth, since a shared disk
//! syncs now fast, now slow. It has every peer's own statement of its durability.

use crate::io;
use crate::peer::{
    Adk, Bare, LONG, Ours, Peer, RedbByHand, SESSIONS, SqliteBlocking, SqliteByHand, Tower,
};
use crate::rows::Rows;
use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How many append at once.
const CALLERS: u32 = 64;
/// How long the rounds in one folder may take: a slow disk gets fewer of them.
const BUDGET: Duration = Duration::from_mins(1);
/// Every so many rounds the slow operations are measured once, too.
const SELDOM: usize = 8;

const LONE: &str = "lone";
/// In rounds: the next begins when the last of a round has its answer.
const TOGETHER: &str = "64-at-once";
/// As 64 users do: each sends its next message when it has the answer to its last.
const IN_TASKS: &str = "64-tasks";
/// How many each of them sends.
const EACH: u32 = 16;
const AT_LENGTH: &str = "lone-at-2000-messages";
const BYTES: &str = "lone-bytes-written";
const LOAD: &str = "load-2000-messages";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Fewer rounds: a first impression rather than a figure.
    #[arg(long)]
    quick: bool,
    /// Write the figures to this file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The files are made in each of them by turns.
    #[arg(required = true, value_name = "FOLDER")]
    folders: Vec<PathBuf>,
}

pub(crate) fn all(runtime: &Runtime, options: &Options) -> Result<()> {
    let mut rows = Rows::default();
    for folder in &options.folders {
        run(runtime, folder, if options.quick { 200 } else { 2_000 }, &mut rows)?;
    }
    match &options.json {
        Some(path) => std::fs::write(path, rows.json()?)
            .with_context(|| format!("could not write {}", path.display())),
        None => Ok(()),
    }
}

fn run(runtime: &Runtime, place: &Path, rounds: usize, rows: &mut Rows) -> Result<()> {
    let folder = TempDir::new_in(place)?;
    let at = |name: &str| folder.path().join(name);
    let mut peers: Vec<Box<dyn Peer>> = vec![
        Box::new(Ours::create(runtime, &at("ours.redb"))?),
        Box::new(Bare::create(&at("bare.log"))?),
        Box::new(RedbByHand::create(&at("redb.redb"))?),
        Box::new(SqliteByHand::create(&at("sqlite.db"))?),
        Box::new(SqliteBlocking::create(&at("blocking.db"))?),
        Box::new(runtime.block_on(Tower::create(&at("tower.db")))?),
        Box::new(runtime.block_on(Adk::create(&at("adk.db")))?),
    ];
    rows.begin(place);
    let all = Instant::now();
    for round in 0..rounds {
        if all.elapsed() > BUDGET {
            println!("{}: {round} rounds, for want of time", place.display());
            break;
        }
        let n = 1 + round * 7919 % (SESSIONS - 1);
        let some: Vec<usize> =
            (0..CALLERS as usize).map(|caller| 1 + (n + caller) % (SESSIONS - 1)).collect();
        // A sync may leave work behind for the next one: each takes its turn at being first, and
        // the order is turned round when all have been.
        peers.rotate_left(1);
        if round % peers.len() == 0 {
            peers.reverse();
        }
        for peer in &mut peers {
            rows.time(peer.as_ref().name(), LONE, 1, || peer.append(runtime, n))?;
        }
        for peer in &mut peers {
            rows.time(peer.as_ref().name(), AT_LENGTH, 1, || peer.append(runtime, 0))?;
        }
        if round % SELDOM != 0 {
            continue;
        }
        for peer in &mut peers {
            rows.time(peer.as_ref().name(), TOGETHER, CALLERS, || peer.together(runtime, &some))?;
        }
        for peer in &mut peers {
            let appends = CALLERS * EACH;
            rows.time(peer.as_ref().name(), IN_TASKS, appends, || {
                peer.in_tasks(runtime, &some, EACH)
            })?;
        }
        for peer in peers.iter_mut().filter(|peer| peer.loads()) {
            let loaded = rows.time(peer.as_ref().name(), LOAD, 1, || peer.load(runtime))?;
            ensure!(loaded >= LONG, "{} has lost messages: {loaded}", peer.name());
        }
    }
    for peer in &peers {
        rows.says(peer.name(), peer.durability());
    }
    rows.print(place);
    for peer in &mut peers {
        let bytes = written_alone(runtime, peer.as_mut())?;
        let peer = peer.name();
        println!("{:<46} {bytes:>9} bytes", format!("peers.{BYTES}.{peer}"));
        rows.add(
            json!({ "place": place, "what": BYTES, "peer": peer, "value": bytes, "unit": "bytes" }),
        );
    }
    Ok(())
}

/// How many bytes one append alone writes. The other peers of this process have nothing left to do
/// by now.
fn written_alone(runtime: &Runtime, peer: &mut dyn Peer) -> Result<u64> {
    let written = || io::counted("/proc/self/io", "wchar");
    let appends = 1_000;
    let before = written()?;
    for n in 0..appends {
        peer.append(runtime, 1 + n * 7919 % (SESSIONS - 1))?;
    }
    Ok((written()? - before) / appends as u64)
}
