//! Campaign 2: the k-th operation on the file and its log fails, for every k.

mod calls;
mod changes;

use crate::campaign::{Budget, Plan, Tally};
use crate::verdict::Kind;
use anyhow::{Context, Result, bail};
use durable_session_redb::{OpenCheck, OpenError, RedbStore};
use fastrand::Rng;
use futures_executor::block_on;
use testkit::disk::{Disk, Failure, How, Part};

pub(crate) const NAME: &str = "io-faults";

const SIZES: [Sizes; 3] = [
    // The log is full at once, and a flush follows each change.
    Sizes { log_bytes: 1, memtable_bytes: 1, check: OpenCheck::First },
    Sizes { log_bytes: 8_000, memtable_bytes: 1_500, check: OpenCheck::Background },
    // No flush before the store is closed.
    Sizes { log_bytes: 64 << 20, memtable_bytes: 64 << 20, check: OpenCheck::Skip },
];
const FAULTS: [Fault; 7] = [
    Fault::operation(Part::All, How::Error, false),
    Fault::operation(Part::All, How::NoSpace, false),
    Fault::operation(Part::All, How::ShortWrite, false),
    Fault::operation(Part::All, How::NoSpace, true),
    Fault::operation(Part::Main, How::Error, true),
    Fault::operation(Part::Log, How::NoSpace, true),
    Fault::Read,
];

/// Options of the store on the failing disk.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    log_bytes: u64,
    memtable_bytes: usize,
    check: OpenCheck,
}

/// Which kind of operation fails, and how.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Operation { part: Part, how: How, forever: bool },
    Read,
}

impl Fault {
    const fn operation(part: Part, how: How, forever: bool) -> Self {
        Self::Operation { part, how, forever }
    }

    /// The operations that can fail in this way.
    fn among(self, disk: &Disk) -> u64 {
        match self {
            Self::Operation { part, .. } => disk.counts_of(part).operations,
            Self::Read => disk.counts().reads,
        }
    }
}

/// A workload on the failing disk.
type Play = fn(&Disk, Sizes, &mut Rng, &mut Tally) -> Result<()>;

/// A workload in one of the sizes, every operation of which fails once in every way.
struct Round {
    number: u64,
    sizes: Sizes,
    /// The disk on which it was played without a failure.
    sound: Disk,
    /// Which of the operations is next: fault, number.
    next: (usize, u64),
}

impl Round {
    /// Plays the workload on a sound disk, to count. Two workloads have their turn in each size.
    fn begin(plan: &Plan, case: u64, tally: &mut Tally) -> Result<Self> {
        let sizes = SIZES[usize::try_from(case / 2)? % SIZES.len()];
        let number = case % 2 + case / (2 * SIZES.len() as u64) * 2;
        let sound = Disk::default();
        play(number)(&sound, sizes, &mut plan.rng("io-faults workload", number), tally)
            .context("while the disk was sound")?;
        tally.add("workloads", 1);
        Ok(Self { number, sizes, sound, next: (0, 1) })
    }

    /// The next fault and operation; `None` when all had their turn.
    fn next(&mut self) -> Option<(Fault, u64)> {
        loop {
            let (fault, k) = self.next;
            let how = *FAULTS.get(fault)?;
            if k <= how.among(&self.sound) {
                self.next.1 += 1;
                return Some((how, k));
            }
            self.next = (fault + 1, 1);
        }
    }
}

/// Half of the workloads are changes of a store, half are calls of many callers on sessions.
fn play(number: u64) -> Play {
    if number.is_multiple_of(2) { changes::play } else { calls::play }
}

/// A case is a workload with each of its operations failing once in every way.
pub(crate) fn run(plan: &Plan) -> Tally {
    plan.cases(NAME, Kind::OF_MESSAGES, 6, |case, rng, tally| {
        let mut round = Round::begin(plan, case, tally)?;
        let sizes = round.sizes;
        while let Some((fault, k)) = round.next() {
            // A first impression takes some of them; a case that is played again takes all.
            if matches!(plan.budget, Budget::Quick) && plan.case.is_none() && rng.u8(..) >= 20 {
                tally.add("left_out", 1);
                continue;
            }
            let disk = Disk::default();
            disk.lose_on_failed_sync(plan.rng("io-faults lost", k).u64(..));
            match fault {
                Fault::Read => disk.fail_read_at(Some(k)),
                Fault::Operation { part, how, forever } => {
                    disk.fail_in(part, Some(Failure { at: k, forever, how }));
                }
            }
            play(round.number)(
                &disk,
                sizes,
                &mut plan.rng("io-faults workload", round.number),
                tally,
            )
            .with_context(|| format!("{fault:?} at operation {k} ({sizes:?})"))?;
            // How often a flush and a verification come is a matter of time.
            tally.add(if fault.among(&disk) >= k { "faults" } else { "without_fault" }, 1);
        }
        Ok(())
    })
}

fn attempt(disk: &Disk, sizes: Sizes) -> Result<RedbStore, OpenError> {
    let storage = disk.clone();
    RedbStore::builder()
        .log_bytes(sizes.log_bytes)
        .memtable_bytes(sizes.memtable_bytes)
        .check(sizes.check)
        .reader_threads(1)
        .cache_bytes(0)
        .open_storage(move || Ok(storage.backend_without_cache()), disk.log())
}

/// Creates a store; `None` if the disk failed. A file that is not complete would never have got its
/// name.
fn create(disk: &Disk, sizes: Sizes, tally: &mut Tally) -> Result<Option<RedbStore>> {
    match attempt(disk, sizes) {
        Ok(store) => Ok(Some(store)),
        Err(OpenError::Io { .. }) => {
            tally.add("opens_failed", 1);
            Ok(None)
        }
        Err(other) => bail!("creating on a failing disk is {other:?}"),
    }
}

/// Opens a store; when the disk fails, heals it and opens again.
fn open(disk: &Disk, sizes: Sizes, tally: &mut Tally) -> Result<RedbStore> {
    match attempt(disk, sizes) {
        Ok(store) => Ok(store),
        Err(error @ OpenError::Io { .. }) => {
            tally.add("opens_failed", 1);
            heal(disk);
            attempt(disk, sizes).with_context(|| format!("opening again after {error}"))
        }
        Err(other) => bail!("opening on a failing disk is {other:?}"),
    }
}

fn heal(disk: &Disk) {
    for part in [Part::All, Part::Main, Part::Log] {
        disk.fail_in(part, None);
    }
    disk.fail_read_at(None);
}

/// Makes the store work again after the disk did not: by itself, or by the operator.
fn recover(store: &RedbStore, disk: &Disk) -> Result<()> {
    heal(disk);
    block_on(store.reopen()).context("reopening on a sound disk")
}
