//! Changes of a store, one after the other, each checked against what it was answered.

use super::{create, open, recover};
use crate::campaign::Tally;
use crate::model::{self, State};
use anyhow::{Context, Result, bail, ensure};
use durable_session::SessionId;
use durable_session::store::{CommitOutcome, DeleteIf, SessionStore, StoreError, StoreErrorKind};
use durable_session_redb::{RedbDurability, RedbStore};
use fastrand::Rng;
use futures_executor::block_on;
use torture_disk::Disk;

const CHANGES: u64 = 14;

pub(super) fn play(disk: &Disk, level: RedbDurability, rng: &mut Rng, tally: &mut Tally) -> Result<()> {
    let Some(mut store) = create(disk, level, tally)? else {
        tally.skipped();
        return Ok(());
    };
    let ids = [SessionId::new("a")?, SessionId::new("b")?, SessionId::new("c")?];
    let mut states: [State; 3] = [None, None, None];
    for n in 0..CHANGES {
        let chosen = rng.usize(0..ids.len());
        let (id, state) = (&ids[chosen], &mut states[chosen]);
        *state =
            change(&store, disk, id, state, n * 100, rng, tally).with_context(|| format!("change {n}"))?;
        if n == CHANGES / 2 {
            // An orderly restart; closing may fail, and loses nothing.
            if block_on(store.close()).is_err() {
                tally.add("closes_failed", 1);
            }
            store = open(disk, level, tally)?;
        }
    }
    super::heal(disk);
    for (id, state) in ids.iter().zip(&states) {
        let loaded = if let Ok(loaded) = model::see(&store, id, tally) {
            loaded
        } else {
            recover(&store, disk)?;
            model::see(&store, id, tally)?
        };
        model::check(state, loaded.as_ref(), tally)
            .with_context(|| format!("session {} at the end", id.as_str()))?;
    }
    let after = RedbStore::builder().reader_threads(1).open_backend(disk.after_power_loss().backend())?;
    for (id, state) in ids.iter().zip(&states) {
        let loaded = model::see(&after, id, tally)?;
        model::check(state, loaded.as_ref(), tally)
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
    let (after, error) = match (rng.u8(0..16), state) {
        (0, Some(session)) => (Some(session.clone().touched(at)), block_on(store.touch(id, at)).err()),
        (1, Some(_)) => (None, block_on(store.delete(id, DeleteIf::Any)).err()),
        _ => {
            let commit = model::any_commit(rng, state, id.as_str(), at);
            let Some(session) = model::after(state, &commit) else { bail!("no commit fits") };
            match block_on(store.commit(id, commit)) {
                Ok(CommitOutcome::Committed(head)) => (Some(model::known(session, &head)?), None),
                Ok(other) => bail!("the commit was answered with {other:?}"),
                Err(error) => (Some(session), Some(error)),
            }
        }
    };
    match error {
        None => Ok(after),
        Some(error) => settle(store, disk, id, state, after, &error, tally),
    }
}

/// After an error: finds out what is stored, and whether the error told the truth.
fn settle(
    store: &RedbStore,
    disk: &Disk,
    id: &SessionId,
    before: &State,
    after: State,
    error: &StoreError,
    tally: &mut Tally,
) -> Result<State> {
    ensure!(
        matches!(error.kind(), StoreErrorKind::Unavailable | StoreErrorKind::OutcomeUnknown),
        "a failing disk is answered with {error:?}"
    );
    let loaded = if let Ok(loaded) = model::see(store, id, tally) {
        loaded
    } else {
        recover(store, disk)?;
        tally.add("reopened", 1);
        model::see(store, id, tally).context("reading on a sound disk")?
    };
    tally.checked(1 + loaded.as_ref().map_or(0, |loaded| loaded.tail.len()));
    let changed = model::compare(before, loaded.as_ref());
    if error.kind() == StoreErrorKind::Unavailable {
        tally.add("refused", 1);
        changed.into_result().context("changed, though told otherwise")?;
        return Ok(before.clone());
    }
    tally.add("unknown", 1);
    if changed.is_nothing() {
        return Ok(before.clone());
    }
    let Some(mut session) = after else {
        model::check(&None, loaded.as_ref(), tally).context("half deleted")?;
        return Ok(None);
    };
    if let Some(loaded) = &loaded {
        session.incarnation = Some(loaded.head.version.incarnation());
    }
    let after = Some(session);
    model::check(&after, loaded.as_ref(), tally).context("neither whole nor absent")?;
    Ok(after)
}
