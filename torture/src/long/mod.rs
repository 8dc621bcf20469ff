//! Campaign 9: mixed load for a long time, with expiry, compaction and restarts: nothing grows
//! without bound.

mod load;
mod pages;
mod process;

use crate::campaign::{Budget, Plan, Tally};
use crate::verdict::Kind;
use anyhow::{Context, Result, anyhow, ensure};
use durable_session::env::SystemRandom;
use durable_session::store::{ListQuery, SessionList};
use durable_session::{ChatSessions, Expiry, Memory};
use durable_session_redb::RedbStore;
use futures_executor::block_on;
use load::Load;
use process::Process;
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::ManualClock;

pub(crate) const NAME: &str = "long";

/// It knows how many messages there are, not which.
const KINDS: &[Kind] = &[Kind::Lost, Kind::Ghosts, Kind::Wrong];

const MIB: u64 = 1 << 20;
const LOG_BYTES: u64 = MIB;
const MINUTE: u64 = 60_000;
/// A round takes so long on the clock of the sessions, which live three rounds after their last
/// use.
const ROUND: u64 = 10 * MINUTE;
const ROUNDS_TO_LIVE: u64 = 3;
/// How many times the bytes of the messages the pages in use can have: the messages are short,
/// leaves are 0.6 full, and there are heads, ids and app states.
const CONTENT: u64 = 3;
/// How many times the pages in use a file can have. A flush writes most pages anew. Until it is
/// committed, redb keeps the old ones, and those that the flush before it left. It doubles a file
/// that is full.
const COPIES: u64 = 2 * 3;
/// After so many rounds as much lives as ever will.
const WARM: u64 = 10;

/// A case is a round: open, load, sweep, compact, close, measure. All rounds are on one file.
pub(crate) fn run(plan: &Plan) -> Tally {
    let folder = tempfile::tempdir();
    let clock = ManualClock::at(1_700_000_000_000);
    let mut load = Load::default();
    // The most bytes of the pages that redb used after a round.
    let mut used = 0;
    let mut rss_warm = 0;
    let (began, mut told) = (Instant::now(), Duration::ZERO);
    let mut before = None;
    plan.cases(NAME, KINDS, 25, |round, rng, tally| {
        let folder = folder.as_ref().map_err(|error| anyhow!("no temporary folder: {error}"))?;
        let file = folder.path().join("long.redb");
        let (live, stored) = play(&file, &clock, &mut load, round, rng, tally)?;
        let mut now = Process::settled(before.as_ref())?;
        // The others are compared with the first round.
        now.descriptors += usize::from(tally.alters(Kind::Wrong) && round > 0);
        tally.checked(4);
        let (size, log) = sizes(folder.path())?;
        let used_now = pages::used_bytes(&file)?;
        used = used.max(used_now);
        // The first round also makes threads and files that last as long as the process.
        let first = before.get_or_insert_with(|| now.clone());
        ensure!(now.descriptors <= first.descriptors, "descriptors leak: {first:?}, now {now:?}");
        ensure!(now.threads <= first.threads, "threads leak: {first:?}, now {now:?}");
        ensure!(
            used_now <= CONTENT * stored + MIB,
            "redb uses {used_now} bytes for {stored} of content"
        );
        ensure!(
            size <= COPIES * used + MIB,
            "the file has {size} bytes; the pages in use had {used} at most"
        );
        ensure!(log <= LOG_BYTES, "the log has {log} bytes, and should have {LOG_BYTES} at most");
        tally.most("file_kib", size / 1024);
        tally.most("used_kib", used / 1024);
        tally.most("log_kib", log / 1024);
        if round < plan.first + WARM {
            rss_warm = rss_warm.max(now.rss);
        } else {
            ensure!(
                now.rss <= rss_warm * 3 / 2 + 32 * MIB,
                "memory grows: {rss_warm} bytes after {WARM} rounds, now {}",
                now.rss
            );
        }
        let due = began.elapsed().saturating_sub(told) >= Duration::from_secs(30);
        if matches!(plan.budget, Budget::Time(_)) && (round == plan.first || due) {
            told = began.elapsed();
            println!(
                "  long t={}s rounds={} sessions={live} content={}KiB used={}KiB file={}KiB \
                 log={}KiB rss={}KiB descriptors={} threads={}",
                told.as_secs(),
                round + 1,
                stored / 1024,
                used / 1024,
                size / 1024,
                log / 1024,
                now.rss / 1024,
                now.descriptors,
                now.threads
            );
        }
        Ok(())
    })
}

/// The bytes of redb's file, and those of the log.
fn sizes(folder: &Path) -> Result<(u64, u64)> {
    let (mut file, mut log) = (0, 0);
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let segment = entry.file_name().to_string_lossy().contains("-wal.");
        *(if segment { &mut log } else { &mut file }) += entry.metadata()?.len();
    }
    Ok((file, log))
}

/// One round; returns how many sessions live and how many bytes they have.
fn play(
    file: &Path,
    clock: &ManualClock,
    load: &mut Load,
    round: u64,
    rng: &mut fastrand::Rng,
    tally: &mut Tally,
) -> Result<(usize, u64)> {
    clock.advance(ROUND);
    let store = RedbStore::builder()
        .cache_bytes(16 << 20)
        .log_bytes(LOG_BYTES)
        .memtable_bytes(1 << 19)
        .open(file)
        .context("opening again")?;
    let expiry = Expiry::after(
        Duration::from_millis(ROUNDS_TO_LIVE * ROUND - MINUTE),
        Duration::from_millis(5 * MINUTE),
    )?;
    let sessions: ChatSessions =
        ChatSessions::builder_with(store.clone(), clock.clone(), SystemRandom)
            .expiry(expiry)
            .memory(Memory { bytes: 4 * MIB, idle: Duration::from_mins(30) })
            .build();
    load.round(&sessions, round, rng, tally)?;
    let swept = block_on(sessions.sweep(&store))?;
    ensure!(swept.failed.is_empty(), "the sweep failed: {:?}", swept.failed);
    load.check(&sessions, round, rng, tally)?;
    block_on(sessions.close())?;
    if rng.u8(0..4) == 0 {
        block_on(store.compact())?;
        tally.add("compactions", 1);
    }
    let listed = block_on(store.list(&ListQuery::all(usize::MAX)))?;
    let mut stored = 0;
    for session in &listed.sessions {
        stored += session.head.as_ref().map_err(Clone::clone)?.bytes;
    }
    load.only_the_living(&listed, round, tally)?;
    block_on(store.close())?;
    Ok((listed.sessions.len(), stored))
}
