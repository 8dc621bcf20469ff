//! A store of some age, closed or killed, and its content.

use super::tail::Tail;
use crate::campaign::Tally;
use crate::model::{self, State};
use crate::seeded::{Seeded, options};
use anyhow::{Context, Result};
use durable_session::SessionId;
use durable_session_redb::RedbStore;
use fastrand::Rng;
use futures_executor::block_on;
use std::time::Duration;
use testkit::disk::{Disk, File, Files};

const SESSIONS: usize = 30;
const CHANGES: usize = 320;
/// So many of the last changes may have been lost with the end of the log.
const LATE: usize = 40;
/// An idle log is sealed after a shorter time.
const SEALED: Duration = Duration::from_millis(80);

pub(super) type Sessions = Vec<(SessionId, State)>;

/// The files of a store, and the sessions that they hold.
pub(super) struct Sample {
    pub(super) files: Files,
    /// The same store at an earlier time.
    pub(super) earlier: Files,
    pub(super) earlier_sessions: Sessions,
    /// Another store.
    pub(super) other: Files,
    /// The blocks of 512 bytes that hold anything.
    pub(super) used: Vec<(File, usize)>,
    pub(super) sessions: Sessions,
    /// The end of the log.
    pub(super) tail: Tail,
}

impl Sample {
    pub(super) fn make(rng: &mut Rng, tally: &mut Tally) -> Result<Self> {
        let disk = Disk::default();
        let mut sessions = Vec::new();
        for n in 0..SESSIONS {
            sessions.push((SessionId::new(format!("session-{n}"))?, None));
        }
        let store = open(&disk, rng)?;
        change(&store, &mut sessions, CHANGES, rng)?;
        if rng.bool() {
            block_on(store.close())?;
        }
        let (earlier, earlier_sessions) = (disk.files(), sessions.clone());

        let disk = Disk::holding(earlier.clone()).logging();
        let store = open(&disk, rng)?;
        change(&store, &mut sessions, CHANGES - LATE, rng)?;
        let mut tail = Tail::default();
        tail.written(&disk.take_log());
        for _ in 0..LATE {
            let before = sessions.clone();
            change(&store, &mut sessions, 1, rng)?;
            tail.changed(&disk.take_log(), before);
        }
        for (id, state) in &sessions {
            let seen = model::look(&store, id)?;
            model::check(state, seen.as_ref(), tally).context("while the files were sound")?;
        }
        match rng.u8(0..3) {
            0 => {
                block_on(store.close())?;
                tally.add("closed", 1);
            }
            1 => {
                std::thread::sleep(SEALED);
                tally.add("killed_idle", 1);
            }
            _ => tally.add("killed", 1),
        }
        let files = disk.files();
        tail.written(&disk.take_log());

        let other = Disk::default();
        let mut others = sessions.iter().map(|(id, _)| (id.clone(), None)).collect();
        change(&open(&other, rng)?, &mut others, 20, rng)?;
        let used = files.iter().flat_map(|(&file, content)| {
            let used = |block: &[u8]| block.iter().any(|&byte| byte != 0);
            let bytes = content.to_vec();
            let blocks = bytes.chunks(512).enumerate().filter(|(_, block)| used(block));
            blocks.map(|(n, _)| (file, n * 512)).collect::<Vec<_>>()
        });
        let used = used.collect();
        let other = other.files();
        Ok(Self { files, earlier, earlier_sessions, other, used, sessions, tail })
    }
}

fn open(disk: &Disk, rng: &mut Rng) -> Result<RedbStore> {
    let random = Seeded::new(rng.u64(..));
    Ok(options(rng).random(random).open_backend(disk.backend(), disk.log())?)
}

fn change(store: &RedbStore, sessions: &mut Sessions, changes: usize, rng: &mut Rng) -> Result<()> {
    for n in 0..changes {
        let (id, state) = &mut sessions[rng.usize(0..SESSIONS)];
        let change = model::any_change(rng, state, id.as_str(), n as u64);
        let answer = block_on(change.clone().make(store, id))?;
        *state = change.answered(state, answer)?;
    }
    Ok(())
}
