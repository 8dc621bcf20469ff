//! The changes before the power is lost: commits, extensions, touches, deletes, compactions and
//! restarts, gathered into transactions in the same way in every run.

use super::history::{History, Step};
use crate::model::{self, Answer, Change, State};
use crate::seeded::{Seeded, options};
use anyhow::{Result, bail};
use durable_session::SessionId;
use durable_session::store::StoreError;
use durable_session_redb::RedbStore;
use fastrand::Rng;
use futures_executor::block_on;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use testkit::disk::{Disk, Event, Files, Part};

const SESSIONS: usize = 6;
const ROUNDS: usize = 24;
const SOON: Duration = Duration::from_millis(20);

/// A workload that was run: the log of its disk, and the history of each session.
pub(super) struct Workload {
    pub(super) base: Files,
    pub(super) log: Vec<Event>,
    pub(super) histories: Vec<History>,
    pub(super) acknowledged: u64,
    /// The kind of each change.
    pub(super) kinds: Vec<&'static str>,
}

pub(super) fn open(disk: &Disk, rng: &mut Rng) -> Result<RedbStore> {
    let random = Seeded::new(rng.u64(..));
    Ok(options(rng).random(random).open_backend(disk.backend(), disk.log())?)
}

type Pending<'a> = Pin<Box<dyn Future<Output = Result<Answer, StoreError>> + 'a>>;

/// A change under way.
struct Underway<'a> {
    session: usize,
    change: Change,
    started: usize,
    future: Pending<'a>,
    done: Option<(Result<Answer, StoreError>, usize)>,
}

impl Underway<'_> {
    fn poll(&mut self, disk: &Disk) {
        if self.done.is_none() {
            let mut context = Context::from_waker(Waker::noop());
            if let Poll::Ready(result) = self.future.as_mut().poll(&mut context) {
                self.done = Some((result, disk.log_len()));
            }
        }
    }
}

impl Workload {
    pub(super) fn run(rng: &mut Rng) -> Result<Self> {
        let (disk, base, mut store) = begin(rng)?;
        let mut histories: Vec<History> = Vec::new();
        for n in 0..SESSIONS {
            histories.push(History::new(SessionId::new(format!("session-{n}"))?, None));
        }
        let mut kinds = Vec::new();
        for round in 0..ROUNDS {
            match rng.u8(0..32) {
                0 => {
                    disk.open_gate();
                    block_on(store.compact())?;
                }
                1 => {
                    disk.open_gate();
                    block_on(store.close())?;
                    store = verified(open(&disk, rng)?);
                }
                // For some rounds no flush gets on.
                2..8 => disk.close_gate_of(Part::Main),
                8..14 => disk.open_gate(),
                _ => {}
            }
            kinds.extend(play(&store, &disk, &mut histories, round as u64 * 100, rng)?);
        }
        disk.open_gate();
        if rng.bool() {
            block_on(store.close())?;
        }
        let acknowledged = kinds.len() as u64;
        Ok(Self { base, log: disk.take_log(), histories, acknowledged, kinds })
    }
}

/// A new store on a disk that logs, and the files as they were before the log. Half of the stores
/// begin with a file that has no log yet: a backup.
fn begin(rng: &mut Rng) -> Result<(Disk, Files, RedbStore)> {
    let disk = Disk::default();
    let store = open(&disk, rng)?;
    if rng.bool() {
        let base = disk.after_power_loss().files();
        return Ok((disk.logging(), base, store));
    }
    let folder = tempfile::tempdir()?;
    let copy = folder.path().join("copy");
    block_on(store.backup(&copy, |_| {}))?;
    let disk = Disk::with(std::fs::read(copy)?).logging();
    let base = disk.files();
    let store = verified(open(&disk, rng)?);
    Ok((disk, base, store))
}

/// Waits until the file is verified. Before that, a change that is refused is tried again later,
/// and so behind those that follow it here.
fn verified(store: RedbStore) -> RedbStore {
    while store.stats().verifying {
        std::thread::sleep(Duration::from_micros(100));
    }
    store
}

/// One round: the first change is held in its sync until all others wait behind it, and so form one
/// transaction. Of one session there can be several, each as if those before it had been answered.
fn play(
    store: &RedbStore,
    disk: &Disk,
    histories: &mut [History],
    at: u64,
    rng: &mut Rng,
) -> Result<Vec<&'static str>> {
    let mut sessions: Vec<usize> = (0..histories.len()).collect();
    rng.shuffle(&mut sessions);
    sessions.truncate(rng.usize(1..=4));
    let mut states: Vec<State> = histories.iter().map(|history| history.now().clone()).collect();
    let ids: Vec<SessionId> = histories.iter().map(|history| history.id.clone()).collect();
    disk.close_gate_of(Part::Log);
    let mut changes: Vec<Underway<'_>> = Vec::new();
    for turn in 0..3 {
        for &session in &sessions {
            let (id, state) = (&ids[session], &mut states[session]);
            let unknown = state.as_ref().is_some_and(|state| state.incarnation.is_none());
            // A change after a creation has to wait for its answer.
            if turn > 0 && (unknown || rng.bool()) {
                continue;
            }
            let first = changes.is_empty();
            let change = any_change(state, id, at + turn, first, rng);
            *state = change.after(state);
            let future = Box::pin(change.clone().make(store, id));
            let mut change =
                Underway { session, change, started: disk.log_len(), future, done: None };
            change.poll(disk);
            while first && change.done.is_none() && !disk.sync_waits() {
                std::thread::yield_now();
                change.poll(disk);
            }
            changes.push(change);
        }
    }
    for change in &mut changes {
        change.poll(disk);
    }
    disk.open_gate_of(Part::Log);
    let began = Instant::now();
    while changes.iter().any(|change| change.done.is_none()) && began.elapsed() < SOON {
        std::thread::yield_now();
        for change in &mut changes {
            change.poll(disk);
        }
    }
    // What is not done by now may wait for a flush.
    if changes.iter().any(|change| change.done.is_none()) {
        disk.open_gate();
    }
    for change in &mut changes {
        if change.done.is_none() {
            let result = block_on(&mut change.future);
            change.done = Some((result, disk.log_len()));
        }
    }
    let mut kinds = Vec::new();
    for Underway { session, change, started, done, .. } in changes {
        let Some((result, acknowledged)) = done else { bail!("a change has no answer") };
        let history = &mut histories[session];
        let state = change.answered(history.now(), result?)?;
        kinds.push(change.kind());
        history.steps.push(Step { state, started, acknowledged });
    }
    Ok(kinds)
}

/// Chooses a change; `writes`: one that certainly writes something.
fn any_change(state: &State, id: &SessionId, at: u64, writes: bool, rng: &mut Rng) -> Change {
    match rng.u8(0..16) {
        0 if !writes => Change::Touch(at),
        1 if !writes => model::refused_change(rng, state, id.as_str(), at),
        _ => model::any_change(rng, state, id.as_str(), at),
    }
}
