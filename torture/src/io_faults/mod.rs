//! Campaign 2: the k-th operation of the disk fails, for every k.

mod calls;
mod changes;

use crate::campaign::{Budget, Plan, Tally};
use crate::verdict::Kind;
use anyhow::{Context, Result, bail};
use durable_session_redb::{OpenError, RedbDurability, RedbStore};
use fastrand::Rng;
use futures_executor::block_on;
use torture_disk::{Disk, Failure, How};

pub(crate) const NAME: &str = "io-faults";

const LEVELS: [RedbDurability; 2] = [RedbDurability::Immediate, RedbDurability::QuickRecovery];
const FAULTS: [Fault; 5] = [
    Fault::Operation { how: How::Error, forever: false },
    Fault::Operation { how: How::NoSpace, forever: false },
    Fault::Operation { how: How::ShortWrite, forever: false },
    Fault::Operation { how: How::NoSpace, forever: true },
    Fault::Read,
];

/// Which kind of operation fails, and how.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Operation { how: How, forever: bool },
    Read,
}

/// What is done on the failing disk.
type Play = fn(&Disk, RedbDurability, &mut Rng, &mut Tally) -> Result<()>;

/// A workload, every operation of which fails once in every way.
struct Round {
    number: u64,
    /// For each of the levels: how many operations and reads there are.
    operations: Vec<(u64, u64)>,
    /// Which of the operations is next: level, fault, number.
    next: (usize, usize, u64),
}

impl Round {
    /// Plays the workload on a sound disk, to count.
    fn begin(plan: &Plan, number: u64, tally: &mut Tally) -> Result<Self> {
        let mut operations = Vec::new();
        for level in LEVELS {
            let disk = Disk::default();
            play(number)(&disk, level, &mut plan.rng("io-faults workload", number), tally)
                .context("while the disk was sound")?;
            operations.push((disk.counts().operations, disk.counts().reads));
        }
        tally.add("workloads", 1);
        Ok(Self { number, operations, next: (0, 0, 1) })
    }

    /// The next level, fault and operation; `None` when all had their turn.
    fn next(&mut self) -> Option<(RedbDurability, Fault, u64)> {
        loop {
            let (level, fault, k) = self.next;
            let &(operations, reads) = self.operations.get(level)?;
            let last = if matches!(FAULTS[fault], Fault::Read) { reads } else { operations };
            if k <= last {
                self.next.2 += 1;
                return Some((LEVELS[level], FAULTS[fault], k));
            }
            self.next = if fault + 1 < FAULTS.len() { (level, fault + 1, 1) } else { (level + 1, 0, 1) };
        }
    }
}

/// Half of the workloads are changes of a store, half are calls of many callers on sessions.
fn play(number: u64) -> Play {
    if number.is_multiple_of(2) { changes::play } else { calls::play }
}

/// A case is a workload with each of its operations failing once in every way.
pub(crate) fn run(plan: &Plan) -> Tally {
    plan.cases(NAME, Kind::OF_MESSAGES, 2, |case, rng, tally| {
        let mut round = Round::begin(plan, case, tally)?;
        while let Some((level, fault, k)) = round.next() {
            // A first impression takes some of them; a case that is played again takes all.
            if matches!(plan.budget, Budget::Quick) && plan.case.is_none() && rng.u8(..) >= 20 {
                tally.add("left_out", 1);
                continue;
            }
            let disk = Disk::default();
            disk.lose_on_failed_sync(plan.rng("io-faults lost", k).u64(..));
            match fault {
                Fault::Read => disk.fail_read_at(Some(k)),
                Fault::Operation { how, forever } => disk.fail(Some(Failure { at: k, forever, how })),
            }
            play(round.number)(&disk, level, &mut plan.rng("io-faults workload", round.number), tally)
                .with_context(|| format!("{fault:?} at operation {k} ({level:?})"))?;
            tally.add("faults", 1);
        }
        Ok(())
    })
}

fn attempt(disk: &Disk, level: RedbDurability) -> Result<RedbStore, OpenError> {
    let storage = disk.clone();
    RedbStore::builder()
        .durability(level)
        .reader_threads(1)
        .cache_bytes(0)
        // Appends to logs that are folded all the time, or to the rows.
        .log_bytes(if level == RedbDurability::Immediate { 1_000 } else { 0 })
        .open_storage(move || Ok(storage.backend_without_cache()))
}

/// Creates a store; `None` if the disk failed. A file that is not complete would never have got its name.
fn create(disk: &Disk, level: RedbDurability, tally: &mut Tally) -> Result<Option<RedbStore>> {
    match attempt(disk, level) {
        Ok(store) => Ok(Some(store)),
        Err(OpenError::Io { .. }) => {
            tally.add("opens_failed", 1);
            Ok(None)
        }
        Err(other) => bail!("creating on a failing disk is {other:?}"),
    }
}

/// Opens a store; when the disk fails, heals it and opens again.
fn open(disk: &Disk, level: RedbDurability, tally: &mut Tally) -> Result<RedbStore> {
    match attempt(disk, level) {
        Ok(store) => Ok(store),
        Err(error @ OpenError::Io { .. }) => {
            tally.add("opens_failed", 1);
            heal(disk);
            attempt(disk, level).with_context(|| format!("opening again after {error}"))
        }
        Err(other) => bail!("opening on a failing disk is {other:?}"),
    }
}

fn heal(disk: &Disk) {
    disk.fail(None);
    disk.fail_read_at(None);
}

/// Makes the store work again after the disk did not: by itself, or by the operator.
fn recover(store: &RedbStore, disk: &Disk) -> Result<()> {
    heal(disk);
    block_on(store.reopen()).context("reopening on a sound disk")
}
