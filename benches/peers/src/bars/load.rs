//! 64 callers that append to 20,000 sessions. The sessions only grow, or each is deleted when it
//! has so many messages, and begins anew.

use crate::peer::{Ours, SqliteByHand, message};
use anyhow::{Result, ensure};
use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::runtime::Runtime;

pub(crate) const SESSIONS: usize = 20_000;
pub(crate) const CALLERS: usize = 64;

/// Which sessions get an append, and when they are deleted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// How many messages a session has when it is deleted; none if it never is.
    pub(crate) keep: Option<u64>,
}

impl Load {
    /// The session of the n-th append: all of them in an order without neighbours.
    fn session(n: u64) -> usize {
        usize::try_from(n * 7919 % SESSIONS as u64).unwrap_or_default()
    }

    /// How many messages the session of the n-th append has afterwards, if it is to be deleted
    /// then. In each round as many are.
    fn deletes(&self, n: u64) -> Option<u64> {
        let (keep, round) = (self.keep?, n / SESSIONS as u64);
        (round + Self::session(n) as u64 + 1).is_multiple_of(keep).then(|| (round + 1).min(keep))
    }
}

/// The work that was done.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Work {
    pub(crate) appends: u64,
    pub(crate) deletes: u64,
    /// Messages of the sessions that were deleted.
    deleted: u64,
}

impl Work {
    fn append(&mut self, deleted: Option<u64>) {
        self.appends += 1;
        self.deletes += u64::from(deleted.is_some());
        self.deleted += deleted.unwrap_or_default();
    }

    /// How many messages are left.
    pub(crate) fn messages(self) -> u64 {
        self.appends - self.deleted
    }
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.appends += other.appends;
        self.deletes += other.deletes;
        self.deleted += other.deleted;
    }
}

/// Each caller waits for its append, then makes the next one in a session that is far from the
/// last.
pub(crate) fn many_callers(
    runtime: &Runtime,
    ours: &Ours,
    load: Load,
    next: &Arc<AtomicU64>,
    end: Instant,
) -> Result<Work> {
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (sessions, next) = (ours.sessions(), Arc::clone(next));
            runtime.spawn(async move {
                let mut done = Work::default();
                while Instant::now() < end {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let session = &sessions[Load::session(n)];
                    session.add_message(message()).await?;
                    let deletes = load.deletes(n);
                    if deletes.is_some() {
                        ensure!(session.delete().await?, "a session to be deleted was not there");
                    }
                    done.append(deletes);
                }
                Ok(done)
            })
        })
        .collect();
    let mut done = Work::default();
    for caller in callers {
        done += runtime.block_on(caller)??;
    }
    Ok(done)
}

/// The same in one thread, with 64 appends in each transaction.
pub(crate) fn gathered(
    theirs: &mut SqliteByHand,
    load: Load,
    next: &mut u64,
    end: Instant,
) -> Result<Work> {
    let mut done = Work::default();
    while Instant::now() < end {
        let (mut some, mut old) = (Vec::new(), Vec::new());
        for n in *next..*next + CALLERS as u64 {
            let (session, deletes) = (Load::session(n), load.deletes(n));
            some.push(session);
            old.extend(deletes.map(|_| session));
            done.append(deletes);
        }
        *next += CALLERS as u64;
        theirs.in_one_transaction(&some, &old)?;
    }
    Ok(done)
}
