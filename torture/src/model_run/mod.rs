//! Campaign 7 makes the same random changes, with restarts, on the memory store and on redb, and
//! compares every answer.

mod backups;
mod lists;
mod reads;

use crate::campaign::{Plan, Tally};
use crate::model::{self, Answer, Change, State};
use crate::seeded::{Seeded, options};
use crate::verdict::Kind;
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{
    CommitOutcome, DeleteIf, Expect, SessionList, SessionStore, StoreLimits,
};
use durable_session_memory::MemoryStore;
use durable_session_redb::RedbStore;
use fastrand::Rng;
use futures_executor::block_on;
use std::collections::BTreeMap;
use std::sync::Arc;
use testkit::disk::Disk;

pub(crate) const NAME: &str = "model";

const LIMITS: StoreLimits = MemoryStore::DEFAULT_LIMITS;
const STEPS: u64 = 60;

/// A store as this campaign compares it.
trait Listed: SessionStore + SessionList {}
impl<S: SessionStore + SessionList> Listed for S {}

/// The two stores that are compared.
#[derive(Clone, Copy)]
struct Both<'a> {
    memory: &'a dyn Listed,
    redb: &'a dyn Listed,
}

type States = [(SessionId, State)];

pub(crate) fn run(plan: &Plan) -> Tally {
    plan.cases(NAME, Kind::OF_MESSAGES, 150, |_, rng, tally| {
        let bits = rng.u64(..);
        let memory = MemoryStore::with(Seeded::new(bits), LIMITS);
        let (mut disk, shared) = (Disk::default(), Arc::new(Seeded::new(bits)));
        let mut sizes = rng.fork();
        let mut open = |disk: &Disk| {
            let builder = options(&mut sizes).random(Arc::clone(&shared));
            builder.open_backend(disk.backend(), disk.log())
        };
        let mut redb = open(&disk)?;
        let mut states: Vec<(SessionId, State)> = Vec::new();
        for n in 0..4 {
            states.push((SessionId::new(format!("s{n}"))?, None));
        }
        for step in 0..STEPS {
            match rng.u8(0..40) {
                0 | 1 => {
                    block_on(redb.close())?;
                    redb = open(&disk)?;
                    tally.add("restarts", 1);
                }
                2 | 3 => {
                    // The process ends here, perhaps in the middle of a flush.
                    disk = Disk::holding(disk.files());
                    redb = open(&disk)?;
                    tally.add("kills", 1);
                }
                4 => {
                    block_on(redb.compact())?;
                    tally.add("compactions", 1);
                }
                5 => only_read(&disk, &states, tally).context("a copy that is only read")?,
                _ => {}
            }
            let chosen = rng.usize(0..states.len());
            one(Both { memory: &memory, redb: &redb }, &mut states, chosen, step, rng, tally)
                .with_context(|| format!("step {step}, session {}", states[chosen].0.as_str()))?;
            tally.add("steps", 1);
        }
        if rng.u8(0..4) == 0 {
            backups::check(&redb, &states, rng, tally)?;
        }
        tally.add("flushes", redb.stats().flushes);
        tally.note(&states.iter().map(|(_, state)| outline(state)).collect::<Vec<_>>());
        Ok(())
    })
}

/// The part of a state that is the same whenever the case is played: the store draws more random
/// bytes than those of incarnations, and when it does is a matter of time.
fn outline(state: &State) -> Option<(u64, u64, &BTreeMap<u64, Bytes>)> {
    state.as_ref().map(|session| (session.counter, session.next_seq, &session.rows))
}

/// A copy of the files as they are now, opened so that nothing is written.
fn only_read(disk: &Disk, states: &States, tally: &mut Tally) -> Result<()> {
    let copy = Disk::holding(disk.files());
    let store = RedbStore::builder().open_backend_read_only(copy.backend(), copy.log())?;
    for (id, state) in states {
        let seen = model::altered(&store, id, tally)?;
        model::check(state, seen.as_ref(), tally)?;
    }
    block_on(store.close())?;
    ensure!(copy.counts().operations == 0, "a store that is only read was written");
    tally.add("only_read", 1);
    Ok(())
}

/// One change and reads of all kinds, of both; their answers are equal, and as the model says.
fn one(
    both: Both<'_>,
    states: &mut States,
    chosen: usize,
    step: u64,
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<()> {
    // Several changes at one time, and clocks that go back.
    let at = (1_000 + step * 10) / 40 * 40 - if rng.u8(0..8) == 0 { 300 } else { 0 };
    let (id, state) = &mut states[chosen];
    let change = match rng.u8(0..16) {
        0 => Change::Touch(at),
        1 => Change::Delete(DeleteIf::IdleSince(at.saturating_sub(100))),
        2..5 => model::refused_change(rng, state, id.as_str(), at),
        _ => model::any_change(rng, state, id.as_str(), at),
    };
    let b = block_on(change.clone().make(both.redb, id))?;
    let a = block_on(twin(&change, b).make(both.memory, id))?;
    ensure!(a == b, "{change:?} is answered with {a:?} and {b:?}");
    tally.add(change.kind(), 1);
    *state = change.answered(state, b)?;

    let seen = model::altered(both.redb, id, tally)?;
    model::check(state, seen.as_ref(), tally)?;
    ensure!(seen == model::look(both.memory, id)?, "the stores have different sessions");
    tally.add("open_replies", state.as_ref().map_or(0, |session| session.replies.len()) as u64);
    reads::check(both, id, state, rng, tally)?;
    lists::check(both, states, at, rng, tally)
}

/// The change for the memory store: a session has the same life in both, so that all versions are
/// equal.
fn twin(change: &Change, answer: Answer) -> Change {
    let mut change = change.clone();
    if let Change::Commit(commit) = &mut change
        && let Expect::Absent { incarnation, .. } = &mut commit.expect
        && let Answer::Committed(CommitOutcome::Committed(head)) = answer
    {
        *incarnation = Some(head.version.incarnation());
    }
    change
}
