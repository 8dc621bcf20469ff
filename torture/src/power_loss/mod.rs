//! Campaign 1: the power is lost at any moment, also while the file is recovered from the last loss.

mod history;
mod image;
mod workload;

use crate::campaign::{Plan, Tally};
use crate::model;
use crate::verdict::Kind;
use anyhow::{Context, Result, bail};
use durable_session::store::{CommitOutcome, SessionStore};
use durable_session_redb::RedbDurability;
use fastrand::Rng;
use futures_executor::block_on;
use history::{History, Step};
use torture_disk::Disk;
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
                tally.add(
                    "syncs",
                    workload.log.iter().filter(|e| matches!(e, torture_disk::Event::Sync)).count() as u64,
                );
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
    let file = image::image(&workload.base, &workload.log, cut, rng);
    let told = || format!("power lost at {cut} of {} ({:?})", workload.log.len(), workload.level);
    let again = Disk::with(file.clone()).logging();
    let survived =
        survivor(&again, workload.level, &workload.histories, cut, rng, tally).with_context(told)?;
    tally.add("sessions", survived.len() as u64);
    if rng.u8(0..3) == 0 {
        tally.add("second_crashes", 1);
        let log = again.take_log();
        let second = rng.usize(0..=log.len());
        let file = image::image(&file, &log, second, rng);
        survivor(&Disk::with(file), workload.level, &survived, second, rng, tally)
            .with_context(|| format!("and again at {second} of {}", log.len()))
            .with_context(told)?;
    }
    Ok(())
}

/// Opens what is left, checks every session, and appends to one. Returns the sessions' further histories.
fn survivor(
    disk: &Disk,
    level: RedbDurability,
    histories: &[History],
    cut: usize,
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<Vec<History>> {
    let store = workload::open(disk, level, rng.u64(..)).context("opening after the power loss")?;
    let mut survived = Vec::new();
    for history in histories {
        let loaded = model::see(&store, &history.id, tally)?;
        tally.checked(1 + loaded.as_ref().map_or(0, |loaded| loaded.tail.len()));
        let step = history.find(cut, loaded.as_ref())?;
        survived.push(History::new(history.id.clone(), history.steps[step].state.clone()));
    }
    let chosen = rng.usize(0..survived.len());
    let history = &mut survived[chosen];
    let commit = model::any_commit(rng, history.now(), history.id.as_str(), 10_000);
    let Some(session) = model::after(history.now(), &commit) else { bail!("no commit fits") };
    let started = disk.log_len();
    let CommitOutcome::Committed(head) = block_on(store.commit(&history.id, commit))? else {
        bail!("{}: the next change was refused", history.id.as_str())
    };
    let acknowledged = disk.log_len();
    let state = Some(model::known(session, &head)?);
    let loaded = model::see(&store, &history.id, tally)?;
    model::check(&state, loaded.as_ref(), tally).context("after the next change")?;
    history.steps.push(Step { state, started, acknowledged });
    if rng.u8(0..8) == 0 {
        let verification = block_on(store.verify(|_| {}))?;
        if let Some(damage) = verification.damage.first() {
            bail!("verification found damage: {damage}");
        }
    }
    Ok(survived)
}
