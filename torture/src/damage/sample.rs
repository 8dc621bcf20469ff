//! A store that is closed, of some age, and what is in it.

use crate::campaign::Tally;
use crate::model::{self, State};
use crate::seeded::{Seeded, log_bytes};
use anyhow::{Context, Result, bail};
use durable_session::SessionId;
use durable_session::store::{CommitOutcome, SessionStore};
use durable_session_redb::RedbStore;
use fastrand::Rng;
use futures_executor::block_on;
use torture_disk::Disk;

const SESSIONS: usize = 30;
const COMMITS: usize = 260;

/// A file, and the sessions that it holds.
pub(super) struct Sample {
    pub(super) file: Vec<u8>,
    /// The same file at an earlier time.
    pub(super) earlier: Vec<u8>,
    /// Offsets of the blocks of 512 bytes that hold anything.
    pub(super) used: Vec<usize>,
    pub(super) sessions: Vec<(SessionId, State)>,
}

impl Sample {
    pub(super) fn make(rng: &mut Rng, tally: &mut Tally) -> Result<Self> {
        let disk = Disk::default();
        let mut sessions = Vec::new();
        for n in 0..SESSIONS {
            sessions.push((SessionId::new(format!("session-{n}"))?, None));
        }
        let store = open(&disk, rng)?;
        change(&store, &mut sessions, rng)?;
        block_on(store.close())?;
        let earlier = disk.bytes();
        let store = open(&disk, rng)?;
        change(&store, &mut sessions, rng)?;
        for (id, state) in &sessions {
            let loaded = model::load(&store, id)?;
            model::check(state, loaded.as_ref(), tally).context("while the file was sound")?;
        }
        block_on(store.close())?;
        let file = disk.bytes();
        let used = file
            .chunks(512)
            .enumerate()
            .filter(|(_, block)| block.iter().any(|&byte| byte != 0))
            .map(|(n, _)| n * 512)
            .collect();
        Ok(Self { file, earlier, used, sessions })
    }
}

fn open(disk: &Disk, rng: &mut Rng) -> Result<RedbStore> {
    let random = Seeded::new(rng.u64(..));
    let logs = log_bytes(rng.u64(..));
    Ok(RedbStore::builder().random(random).reader_threads(1).log_bytes(logs).open_backend(disk.backend())?)
}

fn change(store: &RedbStore, sessions: &mut [(SessionId, State)], rng: &mut Rng) -> Result<()> {
    for n in 0..COMMITS {
        let (id, state) = &mut sessions[rng.usize(0..SESSIONS)];
        let commit = model::any_commit(rng, state, id.as_str(), n as u64);
        let Some(session) = model::after(state, &commit) else { bail!("no commit fits") };
        match block_on(store.commit(id, commit))? {
            CommitOutcome::Committed(head) => *state = Some(model::known(session, &head)?),
            other => bail!("{other:?}"),
        }
    }
    Ok(())
}
