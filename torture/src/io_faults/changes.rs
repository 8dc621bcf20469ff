//! Changes of a store, one after the other, each checked against its answer.

use super::{Sizes, create, open, recover};
use crate::campaign::Tally;
use crate::model::{self, Change, Seen, State};
use anyhow::{Context, Result, ensure};
use durable_session::SessionId;
use durable_session::store::{StoreError, StoreErrorKind};
use durable_session_redb::RedbStore;
use fastrand::Rng;
use futures_executor::block_on;
use testkit::disk::Disk;

const CHANGES: u64 = 14;

pub(super) fn play(disk: &Disk, sizes: Sizes, rng: &mut Rng, tally: &mut Tally) -> Result<()> {
    let Some(mut store) = create(disk, sizes, tally)? else {
        tally.skipped();
        return Ok(());
    };
    let ids = [SessionId::new("a")?, SessionId::new("b")?, SessionId::new("c")?];
    let mut states: [State; 3] = [None, None, None];
    for n in 0..CHANGES {
        let chosen = rng.usize(0..ids.len());
        let (id, state) = (&ids[chosen], &mut states[chosen]);
        *state = change(&store, disk, id, state, n * 100, rng, tally)
            .with_context(|| format!("change {n}"))?;
        if n == CHANGES / 2 {
            // An orderly restart; closing may fail, and loses nothing.
            if block_on(store.close()).is_err() {
                tally.add("closes_failed", 1);
            }
            store = open(disk, sizes, tally)?;
        }
    }
    super::heal(disk);
    for (id, state) in ids.iter().zip(&states) {
        let seen = if let Ok(seen) = model::altered(&store, id, tally) {
            seen
        } else {
            recover(&store, disk)?;
            model::altered(&store, id, tally)?
        };
        model::check(state, seen.as_ref(), tally)
            .with_context(|| format!("session {} at the end", id.as_str()))?;
    }
    let lost = disk.after_power_loss();
    let after = RedbStore::builder().reader_threads(1).open_backend(lost.backend(), lost.log())?;
    for (id, state) in ids.iter().zip(&states) {
        let seen = model::altered(&after, id, tally)?;
        model::check(state, seen.as_ref(), tally)
            .with_context(|| format!("session {} after a power loss", id.as_str()))?;
    }
    Ok(())
}

/// Makes one change; returns the state that follows from the answer and is stored.
fn change(
    store: &RedbStore,
    disk: &Disk,
    id: &SessionId,
    state: &State,
    at: u64,
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<State> {
    let change = match rng.u8(0..16) {
        0 => Change::Touch(at),
        1 => model::refused_change(rng, state, id.as_str(), at),
        _ => model::any_change(rng, state, id.as_str(), at),
    };
    match block_on(change.clone().make(store, id)) {
        Ok(answer) => {
            tally.add(change.kind(), 1);
            change.answered(state, answer)
        }
        Err(error) => resolve(store, disk, id, state, change.after(state), &error, tally),
    }
}

/// After an error: reads the stored session, and checks whether the error told the truth.
fn resolve(
    store: &RedbStore,
    disk: &Disk,
    id: &SessionId,
    before: &State,
    mut after: State,
    error: &StoreError,
    tally: &mut Tally,
) -> Result<State> {
    ensure!(
        matches!(error.kind(), StoreErrorKind::Unavailable | StoreErrorKind::OutcomeUnknown),
        "a failing disk is answered with {error:?}"
    );
    let seen = if let Ok(seen) = model::altered(store, id, tally) {
        seen
    } else {
        recover(store, disk)?;
        tally.add("reopened", 1);
        model::altered(store, id, tally).context("reading on a sound disk")?
    };
    tally.checked(1 + seen.as_ref().map_or(0, Seen::count));
    let changed = model::compare(before, seen.as_ref());
    if error.kind() == StoreErrorKind::Unavailable {
        tally.add("refused", 1);
        changed.into_result().context("changed, though told otherwise")?;
        return Ok(before.clone());
    }
    tally.add("unknown", 1);
    if changed.is_nothing() {
        return Ok(before.clone());
    }
    if let (Some(session), Some(seen)) = (&mut after, &seen) {
        session.incarnation.get_or_insert(seen.loaded.head.version.incarnation());
    }
    model::check(&after, seen.as_ref(), tally).context("neither whole nor absent")?;
    Ok(after)
}
