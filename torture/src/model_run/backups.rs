//! A backup while the sessions change: the copy has all of them as they were when it began,
//! although the log that it reads is flushed meanwhile.

use crate::campaign::Tally;
use crate::model::{self, State};
use anyhow::{Context, Result, bail, ensure};
use durable_session::SessionId;
use durable_session_redb::RedbStore;
use fastrand::Rng;
use futures_executor::block_on;
use std::sync::{Arc, Mutex, PoisonError};
use testkit::disk::Disk;

type Sessions = Vec<(SessionId, State)>;

/// So many changes each time that the backup reports its progress.
const CHANGES: u64 = 12;

/// The sessions that change, and whether all changes were answered as they should be.
struct Meanwhile {
    sessions: Sessions,
    rng: Rng,
    at: u64,
    answered: Result<()>,
}

pub(super) fn check(
    store: &RedbStore,
    sessions: &Sessions,
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<()> {
    let answered = Ok(());
    let meanwhile = Meanwhile { sessions: sessions.clone(), rng: rng.fork(), at: 10_000, answered };
    let meanwhile = Arc::new(Mutex::new(meanwhile));
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("copy");
    let (changing, changes) = (store.clone(), Arc::clone(&meanwhile));
    let progress = move |_| {
        let mut changes = changes.lock().unwrap_or_else(PoisonError::into_inner);
        if changes.answered.is_ok() {
            changes.answered = changes.make(&changing);
        }
    };
    block_on(store.backup(&path, progress))?;
    let copy = Disk::with(std::fs::read(path)?);
    let copy = RedbStore::builder().open_backend(copy.backend(), copy.log())?;
    is(&copy, sessions.clone(), true, tally).context("the copy")?;
    let Ok(meanwhile) = Arc::try_unwrap(meanwhile) else { bail!("the backup goes on") };
    let meanwhile = meanwhile.into_inner().unwrap_or_else(PoisonError::into_inner);
    meanwhile.answered.context("during a backup")?;
    ensure!(meanwhile.at > 10_000, "the backup reported no progress");
    tally.add("backups", 1);
    is(store, meanwhile.sessions, false, tally).context("after a backup")
}

impl Meanwhile {
    fn make(&mut self, store: &RedbStore) -> Result<()> {
        for _ in 0..CHANGES {
            self.at += 1;
            let chosen = self.rng.usize(0..self.sessions.len());
            let (id, state) = &mut self.sessions[chosen];
            let change = model::any_change(&mut self.rng, state, id.as_str(), self.at);
            let answer = block_on(change.clone().make(store, id))?;
            *state = change.answered(state, answer)?;
        }
        Ok(())
    }
}

/// Whether the store has these sessions. In a copy, the versions have another salt.
fn is(store: &RedbStore, sessions: Sessions, copied: bool, tally: &mut Tally) -> Result<()> {
    for (id, mut state) in sessions {
        let seen = model::altered(store, &id, tally)?;
        if let (true, Some(state), Some(seen)) = (copied, &mut state, &seen) {
            state.incarnation = Some(seen.loaded.head.version.incarnation());
        }
        model::check(&state, seen.as_ref(), tally).with_context(|| id.as_str().to_owned())?;
    }
    Ok(())
}
