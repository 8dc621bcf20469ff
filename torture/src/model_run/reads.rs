//! Loads and pages of one session, bounded by chance.

use super::Both;
use crate::campaign::Tally;
use crate::model::{Session, State};
use anyhow::{Result, ensure};
use durable_session::SessionId;
use durable_session::store::{
    ChunkPage, ChunkQuery, Damage, Incarnation, LoadOutcome, LoadQuery, ReadQuery, TailBounds,
    Version,
};
use fastrand::Rng;
use futures_executor::block_on;

pub(super) fn check(
    both: Both<'_>,
    id: &SessionId,
    state: &State,
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<()> {
    let Both { memory, redb } = both;
    let tail = LoadQuery::new(TailBounds::new(rng.usize(0..9), rng.u64(0..2_000)));
    ensure!(
        block_on(memory.load(id, tail))? == block_on(redb.load(id, tail))?,
        "the tails {tail:?} differ"
    );

    let current = state.as_ref().and_then(Session::version);
    if let Some(current) = current {
        ensure!(
            block_on(redb.load(id, tail.unless(current)))? == LoadOutcome::Unchanged,
            "a load of the known version is not answered with `Unchanged`"
        );
    }
    let other = match current {
        Some(current) if rng.bool() => current.next(),
        _ => Version::new(Incarnation::from_bytes([7; 16]), 1),
    };
    let (a, b) = (
        block_on(memory.load(id, tail.unless(other)))?,
        block_on(redb.load(id, tail.unless(other)))?,
    );
    ensure!(a == b && b != LoadOutcome::Unchanged, "the loads unless {other} differ");

    let (first, last) = (rng.u64(0..20), rng.u64(0..60));
    let query =
        if rng.bool() { ReadQuery::forward(first, last) } else { ReadQuery::backward(first, last) };
    let query = query.max_messages(rng.usize(0..9)).max_bytes(rng.u64(0..2_000));
    ensure!(
        block_on(memory.read(id, query))? == block_on(redb.read(id, query))?,
        "the pages of {query:?} differ"
    );
    let (a, b) = (block_on(memory.salvage(id, query))?, block_on(redb.salvage(id, query))?);
    ensure!(a.is_some() == b.is_some(), "only one store has something to salvage");
    if let (Some(a), Some(b)) = (a, b) {
        let damage = |damage: &[Damage]| damage.len();
        ensure!(
            damage(&a.damage) + damage(&b.damage) == 0,
            "a sound session has damage: {:?}",
            b.damage
        );
        let same = (a.head, a.labels, a.app, a.more) == (b.head, b.labels, b.app, b.more)
            && a.rows == b.rows
            && a.replies == b.replies;
        ensure!(same, "the salvaged pages of {query:?} differ");
    }
    chunks(both, id, state, rng, tally)
}

/// Chunks from any offset, also of messages on which no reply is open; and then all that follow.
fn chunks(
    both: Both<'_>,
    id: &SessionId,
    state: &State,
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<()> {
    let open = state.as_ref().and_then(|session| rng.choice(session.replies.iter()));
    let (seq, has) = match open {
        Some((&seq, reply)) if rng.u8(0..8) > 0 => (seq, reply.chunks.len() as u64),
        _ => (rng.u64(0..30), 3),
    };
    let should = state.as_ref().and_then(|session| session.replies.get(&seq));
    let mut query =
        ChunkQuery::from(seq, if rng.u8(0..16) == 0 { u64::MAX } else { rng.u64(0..=has + 1) })
            .max_chunks(rng.usize(0..6))
            .max_bytes(rng.u64(0..150));
    loop {
        let a: Option<ChunkPage> = block_on(both.memory.read_chunks(id, query))?;
        let b = block_on(both.redb.read_chunks(id, query))?;
        ensure!(a == b, "the chunks of {query:?} differ: {a:?}, {b:?}");
        ensure!(
            b.is_some() == should.is_some(),
            "the chunks of {query:?} are of a reply that is not open"
        );
        let (Some(page), Some(should)) = (b, should) else { return Ok(()) };
        tally.checked(page.chunks.len());
        let offset = usize::try_from(query.offset).unwrap_or(usize::MAX);
        let rest = should.chunks.get(offset..).unwrap_or_default();
        ensure!(rest.starts_with(&page.chunks), "the chunks of {query:?} are others");
        ensure!(!page.chunks.is_empty() || rest.is_empty(), "the page of {query:?} is empty");
        ensure!(
            page.more == (page.chunks.len() < rest.len()),
            "the page of {query:?} is wrong about more"
        );
        if !page.more {
            return Ok(());
        }
        query.offset += page.chunks.len() as u64;
    }
}
