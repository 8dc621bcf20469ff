//! The memory of the store alone: 64 callers commit to it without a session registry above.

use super::child::Name;
use super::load::{CALLERS, SESSIONS};
use crate::io::resident;
use crate::peer::{id, message};
use crate::values::Values;
use anyhow::{Result, bail};
use durable_session::SessionId;
use durable_session::store::{Commit, CommitOutcome, Expect, Head, NewMessage, Op, SessionStore};
use durable_session_redb::RedbStore;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// redb's cache. It is small, so that it is full soon and the rest is known well.
const CACHE: usize = 16 << 20;
const MIB: u64 = 1 << 20;

/// The resident memory at its highest, without that before opening and without redb's cache.
pub(super) fn run(runtime: &Runtime, folder: &Path, seconds: f64) -> Result<Values> {
    let mut shares: Vec<Vec<(SessionId, Option<Head>)>> = (0..CALLERS)
        .map(|caller| {
            (caller..SESSIONS).step_by(CALLERS).map(|n| Ok((id(n)?, None))).collect::<Result<_>>()
        })
        .collect::<Result<_>>()?;
    let before = resident()?;
    let store = RedbStore::builder().cache_bytes(CACHE).open(Name::DurableSession.file(folder))?;
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let callers: Vec<_> =
        shares.drain(..).map(|share| runtime.spawn(commits(store.clone(), share, end))).collect();
    let (mut highest, mut sum, mut count) = (0, 0, 0);
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
        let now = resident()?;
        (highest, sum, count) = (now.max(highest), sum + now, count + 1);
    }
    let mut appends = 0;
    for caller in callers {
        appends += runtime.block_on(caller)??;
    }
    runtime.block_on(store.close())?;
    let beside = before + CACHE as u64;
    let mut values = Values::default();
    values.count("appends", appends);
    values.per("highest_mib", highest.saturating_sub(beside), MIB);
    values.per("mean_mib", (sum / count.max(1)).saturating_sub(beside), MIB);
    values.per("subtracted_mib", beside, MIB);
    values.per("file_mb", crate::io::folder_bytes(folder)?, 1_000_000);
    Ok(values)
}

async fn commits(
    store: RedbStore,
    mut share: Vec<(SessionId, Option<Head>)>,
    end: Instant,
) -> Result<u64> {
    let mut appends = 0;
    loop {
        for (id, head) in &mut share {
            if Instant::now() >= end {
                return Ok(appends);
            }
            let at = 1_700_000_000_000 + appends;
            let expect = head.map_or(Expect::absent(at), |head| Expect::Version {
                version: head.version,
                next_seq: head.next_seq,
            });
            let commit = Commit::new(expect, vec![Op::Append(NewMessage::from(&message()))], at);
            match store.commit(id, commit).await? {
                CommitOutcome::Committed(now) => *head = Some(now),
                outcome => bail!("a commit was not applied: {outcome:?}"),
            }
            appends += 1;
        }
    }
}
