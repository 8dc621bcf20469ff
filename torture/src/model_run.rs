//! Campaign 7: random changes with restarts, the same for the memory store and redb: always equal answers.

use crate::campaign::{Plan, Tally};
use crate::model::{self, Session, State};
use crate::seeded::{Seeded, log_bytes};
use crate::verdict::Kind;
use anyhow::{Context, Result, bail, ensure};
use durable_session::SessionId;
use durable_session::store::{
    Commit, CommitOutcome, DeleteIf, Expect, Incarnation, Order, ReadQuery, SessionStore, StoreLimits,
    TailBounds, Version,
};
use durable_session_memory::MemoryStore;
use durable_session_redb::RedbStore;
use fastrand::Rng;
use futures_executor::block_on;
use torture_disk::Disk;

pub(crate) const NAME: &str = "model";

const LIMITS: StoreLimits = MemoryStore::DEFAULT_LIMITS;
const STEPS: u64 = 60;

pub(crate) fn run(plan: &Plan) -> Tally {
    plan.cases(NAME, Kind::OF_MESSAGES, 150, |_, rng, tally| {
        // The same random bits for both: the versions are equal, too.
        let bits = rng.u64(..);
        let memory = MemoryStore::with(Seeded::new(bits), LIMITS);
        let (disk, shared) = (Disk::default(), std::sync::Arc::new(Seeded::new(bits)));
        let mut sizes = rng.fork();
        let mut open = || {
            let logs = log_bytes(sizes.u64(..));
            let builder = RedbStore::builder().reader_threads(1).cache_bytes(1 << 20).log_bytes(logs);
            builder.random(std::sync::Arc::clone(&shared)).open_backend(disk.backend())
        };
        let mut redb = open()?;
        let mut states: Vec<(SessionId, State)> = Vec::new();
        for n in 0..4 {
            states.push((SessionId::new(format!("s{n}"))?, None));
        }
        for step in 0..STEPS {
            if rng.u8(0..20) == 0 {
                block_on(redb.close())?;
                redb = open()?;
                tally.add("restarts", 1);
            }
            let chosen = rng.usize(0..states.len());
            let (id, state) = &mut states[chosen];
            one((&memory, &redb), id, state, step * 10, rng, tally)
                .with_context(|| format!("step {step}, session {}", id.as_str()))?;
            tally.add("steps", 1);
        }
        Ok(())
    })
}

/// One change and one read, of both; their answers are equal, and as the model says.
fn one(
    (memory, redb): (&MemoryStore, &RedbStore),
    id: &SessionId,
    state: &mut State,
    at: u64,
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<()> {
    match rng.u8(0..12) {
        0 => {
            block_on(memory.touch(id, at))?;
            block_on(redb.touch(id, at))?;
            *state = state.take().map(|session| session.touched(at));
        }
        1 => {
            let condition =
                if rng.bool() { DeleteIf::Any } else { DeleteIf::IdleSince(at.saturating_sub(100)) };
            let (a, b) = (block_on(memory.delete(id, condition))?, block_on(redb.delete(id, condition))?);
            ensure!(a == b, "the delete is answered with {a:?} and {b:?}");
            if block_on(memory.load(id, model::ALL))?.is_none() {
                *state = None;
            }
        }
        _ => {
            let mut commit = model::any_commit(rng, state, id.as_str(), at);
            let fits = rng.u8(0..8) != 0;
            if !fits {
                let wrong = Version::new(Incarnation::from_bytes([9; 16]), 3);
                commit = Commit { expect: Expect::Version(wrong), ..commit };
            }
            let (a, b) =
                (block_on(memory.commit(id, commit.clone()))?, block_on(redb.commit(id, commit.clone()))?);
            ensure!(a == b, "the commit is answered with {a:?} and {b:?}");
            match a {
                CommitOutcome::Committed(head) if fits => {
                    let Some(session) = model::after(state, &commit) else { bail!("no commit fits") };
                    *state = Some(model::known(session, &head)?);
                }
                CommitOutcome::Conflict { current } if !fits => {
                    ensure!(
                        current == state.as_ref().and_then(Session::version),
                        "another version: {current:?}"
                    );
                }
                other => bail!("the commit is answered with {other:?}"),
            }
        }
    }
    let loaded = model::see(redb, id, tally)?;
    model::check(state, loaded.as_ref(), tally)?;
    ensure!(loaded == model::load(memory, id)?, "the loads differ");
    let tail = TailBounds { max_messages: rng.usize(0..9), max_bytes: rng.u64(0..2_000) };
    ensure!(block_on(memory.load(id, tail))? == block_on(redb.load(id, tail))?, "the tails {tail:?} differ");
    let query = ReadQuery {
        first: rng.u64(0..20),
        last: rng.u64(0..60),
        order: if rng.bool() { Order::Forward } else { Order::Backward },
        max_messages: rng.usize(0..9),
        max_bytes: rng.u64(0..2_000),
    };
    ensure!(
        block_on(memory.read(id, query))? == block_on(redb.read(id, query))?,
        "the pages of {query:?} differ"
    );
    Ok(())
}
