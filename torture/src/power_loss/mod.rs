//! Campaign 1: the power is lost at any moment, also while the store recovers from the last loss.

mod history;
mod image;
mod workload;

use crate::campaign::{Plan, Tally};
use crate::model::{self, Seen};
use crate::verdict::Kind;
use anyhow::{Context, Result, bail};
use fastrand::Rng;
use futures_executor::block_on;
use history::{History, Step};
use testkit::disk::{Disk, Event, File};
use workload::Workload;

pub(crate) const NAME: &str = "power-loss";

/// So many crashes of each workload.
const CRASHES: u64 = 200;

pub(crate) fn run(plan: &Plan) -> Tally {
    let mut current: Option<(u64, Workload)> = None;
    plan.cases(NAME, Kind::OF_MESSAGES, 3_000, |case, rng, tally| {
        let number = case / CRASHES;
        let workload = match current.take() {
            Some((n, workload)) if n == number => workload,
            _ => {
                let workload = Workload::run(&mut plan.rng("power-loss workload", number))
                    .context("while the disk was sound")?;
                tally.add("workloads", 1);
                tally.add("acknowledged", workload.acknowledged);
                workload.kinds.iter().for_each(|kind| tally.add(kind, 1));
                for event in &workload.log {
                    match event {
                        Event::Sync(File::Main) => tally.add("syncs", 1),
                        Event::Sync(File::Segment(_)) => tally.add("log_syncs", 1),
                        Event::Change(..) => {}
                    }
                }
                tally.note(&workload.kinds);
                workload
            }
        };
        let (_, workload) = current.insert((number, workload));
        crash(workload, rng, tally)
    })
}

/// Loses the power once, looks at every session, goes on, and loses the power again.
fn crash(workload: &Workload, rng: &mut Rng, tally: &mut Tally) -> Result<()> {
    let cut = image::moment(&workload.log, rng);
    let files = image::image(&workload.base, &workload.log, cut, rng);
    let told = || format!("power lost at {cut} of {}", workload.log.len());
    let again = Disk::holding(files.clone()).logging();
    let survived = survivor(&again, &workload.histories, cut, rng, tally).with_context(told)?;
    tally.add("sessions", survived.len() as u64);
    if rng.u8(0..3) == 0 {
        tally.add("second_crashes", 1);
        let log = again.take_log();
        let second = rng.usize(0..=log.len());
        let files = image::image(&files, &log, second, rng);
        survivor(&Disk::holding(files), &survived, second, rng, tally)
            .with_context(|| format!("and again at {second} of {}", log.len()))
            .with_context(told)?;
    }
    Ok(())
}

/// Opens the files that are left, checks every session, and appends to one. Returns the sessions'
/// further histories.
fn survivor(
    disk: &Disk,
    histories: &[History],
    cut: usize,
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<Vec<History>> {
    let store = workload::open(disk, rng).context("opening after the power loss")?;
    tally.add("torn", store.stats().torn_batches);
    let mut survived = Vec::new();
    for history in histories {
        let seen = model::altered(&store, &history.id, tally)?;
        tally.checked(1 + seen.as_ref().map_or(0, Seen::count));
        tally.add("chunks", seen.as_ref().map_or(0, |seen| seen.chunks.len()) as u64);
        let step = history.find(cut, seen.as_ref())?;
        survived.push(History::new(history.id.clone(), history.steps[step].state.clone()));
    }
    let chosen = rng.usize(0..survived.len());
    let history = &mut survived[chosen];
    let change = model::any_change(rng, history.now(), history.id.as_str(), 10_000);
    let started = disk.log_len();
    let answer = block_on(change.clone().make(&store, &history.id))?;
    let acknowledged = disk.log_len();
    let state = change.answered(history.now(), answer).context("the next change")?;
    let seen = model::altered(&store, &history.id, tally)?;
    model::check(&state, seen.as_ref(), tally).context("after the next change")?;
    history.steps.push(Step { state, started, acknowledged });
    if rng.u8(0..8) == 0 {
        let verification = block_on(store.verify(|_| {}))?;
        if let Some(damage) = verification.damage.first() {
            bail!("verification found damage: {damage}");
        }
    }
    Ok(survived)
}
