//! Campaign 9: mixed load for a long time, with expiry, compaction and restarts: nothing grows without bound.

mod load;
mod process;

use crate::campaign::{Budget, Plan, Tally};
use crate::verdict::Kind;
use anyhow::{Context, Result, anyhow, ensure};
use durable_session::env::{Clock, SystemRandom};
use durable_session::store::{ListQuery, SessionList};
use durable_session::{ChatSessions, Expiry, Memory};
use durable_session_redb::RedbStore;
use futures_executor::block_on;
use load::Load;
use process::Process;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub(crate) const NAME: &str = "long";

/// It knows how many messages there are, not which.
const KINDS: &[Kind] = &[Kind::Lost, Kind::Ghosts, Kind::Wrong];

const MIB: u64 = 1 << 20;
const MINUTE: u64 = 60_000;
/// A round takes so long on the clock of the sessions, which live three rounds after their last use.
const ROUND: u64 = 10 * MINUTE;
const ROUNDS_TO_LIVE: u64 = 3;
/// After so many rounds as much lives as ever will.
const WARM: u64 = 10;

#[derive(Debug, Default)]
struct Hands(AtomicU64);

impl Clock for Hands {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A case is a round: open, load, sweep, compact, close, measure. All rounds are on one file.
pub(crate) fn run(plan: &Plan) -> Tally {
    let folder = tempfile::tempdir();
    let hands = Arc::new(Hands(AtomicU64::new(1_700_000_000_000)));
    let mut load = Load::default();
    let mut rss_warm = 0;
    let (began, mut told) = (Instant::now(), Duration::ZERO);
    let mut before = None;
    plan.cases(NAME, KINDS, 25, |round, rng, tally| {
        let folder = folder.as_ref().map_err(|error| anyhow!("no temporary folder: {error}"))?;
        let file = folder.path().join("long.redb");
        let (live, stored) = play(&file, &hands, &mut load, round, rng, tally)?;
        let mut now = Process::settled(before.as_ref())?;
        // The first round is what the others are compared with.
        now.descriptors += usize::from(tally.doctors(Kind::Wrong) && round > 0);
        tally.checked(4);
        let size = std::fs::metadata(&file)?.len();
        // The first round also makes what lasts as long as the process.
        let first = before.get_or_insert_with(|| now.clone());
        ensure!(now.descriptors <= first.descriptors, "descriptors leak: {first:?}, now {now:?}");
        ensure!(now.threads <= first.threads, "threads leak: {first:?}, now {now:?}");
        ensure!(size <= 6 * stored + 6 * MIB, "the file has {size} bytes for {stored} of content");
        if round < WARM {
            rss_warm = rss_warm.max(now.rss);
        } else {
            ensure!(now.rss <= rss_warm * 3 / 2 + 32 * MIB, "memory grows: {rss_warm} after {WARM} rounds, now {}", now.rss);
        }
        if matches!(plan.budget, Budget::Time(_)) && (round == 0 || began.elapsed().saturating_sub(told) >= Duration::from_secs(30)) {
            told = began.elapsed();
            println!(
                "  long t={}s rounds={} sessions={live} content={}KiB file={}KiB rss={}KiB descriptors={} threads={}",
                told.as_secs(), round + 1, stored / 1024, size / 1024, now.rss / 1024, now.descriptors, now.threads
            );
        }
        Ok(())
    })
}

/// One round; returns how many sessions live and how many bytes they have.
fn play(
    file: &Path,
    hands: &Arc<Hands>,
    load: &mut Load,
    round: u64,
    rng: &mut fastrand::Rng,
    tally: &mut Tally,
) -> Result<(usize, u64)> {
    hands.0.fetch_add(ROUND, Ordering::Relaxed);
    let store =
        RedbStore::builder().cache_bytes(16 << 20).log_bytes(MIB).open(file).context("opening again")?;
    let expiry = Expiry::after(
        Duration::from_millis(ROUNDS_TO_LIVE * ROUND - MINUTE),
        Duration::from_millis(5 * MINUTE),
    )?;
    let sessions: ChatSessions = ChatSessions::builder_with(store.clone(), Arc::clone(hands), SystemRandom)
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
