//! What goes on before the power is lost: commits, touches, deletes, compactions and restarts, gathered into transactions
//! in the same way in every run.

use super::history::{History, Step};
use crate::model::{self, State};
use crate::seeded::{Seeded, log_bytes};
use anyhow::{Result, bail};
use durable_session::SessionId;
use durable_session::store::{CommitOutcome, DeleteIf, DeleteOutcome, SessionStore, StoreError};
use durable_session_redb::{RedbDurability, RedbStore};
use fastrand::Rng;
use futures_executor::block_on;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use torture_disk::{Disk, Event};

const SESSIONS: usize = 6;
const ROUNDS: usize = 24;

/// A workload that was run: the log of its disk, and what each session went through.
pub(super) struct Workload {
    pub(super) level: RedbDurability,
    pub(super) base: Vec<u8>,
    pub(super) log: Vec<Event>,
    pub(super) histories: Vec<History>,
    pub(super) acknowledged: u64,
}

pub(super) fn open(disk: &Disk, level: RedbDurability, seed: u64) -> Result<RedbStore> {
    Ok(RedbStore::builder()
        .durability(level)
        .reader_threads(1)
        .cache_bytes(1 << 20)
        .log_bytes(log_bytes(seed))
        .random(Seeded::new(seed))
        .open_backend(disk.backend())?)
}

/// What a change answered.
enum Done {
    Committed(CommitOutcome),
    Touched,
    Deleted(DeleteOutcome),
}

type Pending<'a> = Pin<Box<dyn Future<Output = Result<Done, StoreError>> + 'a>>;

/// A change under way.
struct Change<'a> {
    session: usize,
    state: State,
    started: usize,
    future: Pending<'a>,
    done: Option<(Result<Done, StoreError>, usize)>,
}

impl Change<'_> {
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
        let level = if rng.bool() { RedbDurability::Immediate } else { RedbDurability::QuickRecovery };
        let disk = Disk::default();
        let mut store = open(&disk, level, rng.u64(..))?;
        let base = disk.after_power_loss().bytes();
        let disk = disk.logging();
        let mut histories: Vec<History> = Vec::new();
        for n in 0..SESSIONS {
            histories.push(History::new(SessionId::new(format!("session-{n}"))?, None));
        }
        let mut acknowledged = 0;
        for round in 0..ROUNDS {
            match rng.u8(0..32) {
                0 => {
                    block_on(store.compact())?;
                }
                1 => {
                    block_on(store.close())?;
                    store = open(&disk, level, rng.u64(..))?;
                }
                _ => {}
            }
            acknowledged += play(&store, &disk, &mut histories, round as u64 * 100, rng)?;
        }
        if rng.bool() {
            block_on(store.close())?;
        }
        Ok(Self { level, base, log: disk.take_log(), histories, acknowledged })
    }
}

/// One round: the first change is held in its sync until all others wait behind it, and so form one transaction.
fn play(store: &RedbStore, disk: &Disk, histories: &mut [History], at: u64, rng: &mut Rng) -> Result<u64> {
    let mut sessions: Vec<usize> = (0..histories.len()).collect();
    rng.shuffle(&mut sessions);
    sessions.truncate(rng.usize(1..=4));
    disk.close_gate();
    let mut changes: Vec<Change<'_>> = Vec::new();
    let ids: Vec<SessionId> = histories.iter().map(|history| history.id.clone()).collect();
    for (n, &session) in sessions.iter().enumerate() {
        let (state, future) = change(store, &ids[session], histories[session].now(), at, n == 0, rng);
        let mut change = Change { session, state, started: disk.log_len(), future, done: None };
        change.poll(disk);
        while n == 0 && change.done.is_none() && !disk.sync_waits() {
            std::thread::yield_now();
            change.poll(disk);
        }
        changes.push(change);
    }
    for change in &mut changes {
        change.poll(disk);
    }
    disk.open_gate();
    for change in &mut changes {
        if change.done.is_none() {
            let result = block_on(&mut change.future);
            change.done = Some((result, disk.log_len()));
        }
    }
    let count = changes.len() as u64;
    for Change { session, state, started, done, .. } in changes {
        let Some((result, acknowledged)) = done else { bail!("a change has no answer") };
        let state = answered(state, result?)?;
        histories[session].steps.push(Step { state, started, acknowledged });
    }
    Ok(count)
}

/// Chooses a change that fits; `writes`: one that certainly writes something.
fn change<'a>(
    store: &'a RedbStore,
    id: &SessionId,
    state: &State,
    at: u64,
    writes: bool,
    rng: &mut Rng,
) -> (State, Pending<'a>) {
    let id = id.clone();
    match (rng.u8(0..24), state) {
        (0, _) if !writes => {
            let after = state.clone().map(|session| session.touched(at));
            (after, Box::pin(async move { store.touch(&id, at).await.map(|()| Done::Touched) }))
        }
        (1, Some(_)) => {
            (None, Box::pin(async move { store.delete(&id, DeleteIf::Any).await.map(Done::Deleted) }))
        }
        _ => {
            let commit = model::any_commit(rng, state, id.as_str(), at);
            let after = model::after(state, &commit);
            (after, Box::pin(async move { store.commit(&id, commit).await.map(Done::Committed) }))
        }
    }
}

/// The state that was to be, as the store answered it.
fn answered(state: State, done: Done) -> Result<State> {
    match (state, done) {
        (Some(session), Done::Committed(CommitOutcome::Committed(head))) => {
            model::known(session, &head).map(Some)
        }
        (None, Done::Deleted(DeleteOutcome::Deleted)) => Ok(None),
        (state, Done::Touched) => Ok(state),
        (_, Done::Committed(other)) => bail!("the commit was answered with {other:?}"),
        (_, Done::Deleted(other)) => bail!("the delete was answered with {other:?}"),
    }
}
