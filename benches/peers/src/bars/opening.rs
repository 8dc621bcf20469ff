//! Opening a store whose files are not in the page cache.

use super::child::STORE;
use super::load::CALLERS;
use crate::io::{bytes_beside, evict, folder_bytes};
use crate::peer::{Ours, Peer, message};
use crate::values::Values;
use anyhow::{Context, Result, ensure};
use durable_session::{Memory, MessageQuery};
use futures_util::future::try_join_all;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::runtime::Runtime;

/// The messages of each session.
const LENGTH: usize = 100;

fn store(folder: &Path) -> Result<Ours> {
    Ours::open(&folder.join(STORE), 0, Memory::default().bytes)
}

/// Makes sessions until the files have so many bytes.
pub(super) fn fill(runtime: &Runtime, folder: &Path, bytes: u64) -> Result<Values> {
    let mut ours = store(folder)?;
    let mut sessions = 0;
    loop {
        let some = (sessions..sessions + CALLERS).map(|n| ours.session(n));
        let some = some.collect::<Result<Vec<_>>>()?;
        runtime.block_on(try_join_all(
            some.iter()
                .map(|session| session.add_messages((0..LENGTH).map(|_| message()).collect())),
        ))?;
        sessions += CALLERS;
        // A part of the bytes is in the log until it is flushed, which a close makes sure of.
        if sessions.is_multiple_of(CALLERS * 16) && folder_bytes(folder)? >= bytes {
            Box::new(ours).close(runtime)?;
            if std::fs::metadata(folder.join(STORE))?.len() >= bytes {
                break;
            }
            ours = store(folder)?;
        }
    }
    let mut values = Values::default();
    values.count("sessions", sessions as u64);
    values.per("file_mb", folder_bytes(folder)?, 1_000_000);
    values.per("bodies_mb", (sessions * LENGTH * message().bytes()) as u64, 1_000_000);
    Ok(values)
}

/// The first page and the first append of a session that is there, or the first new session. All
/// times are from the beginning of opening.
pub(super) fn open(
    runtime: &Runtime,
    folder: &Path,
    number: usize,
    create: bool,
) -> Result<Values> {
    let mut values = Values::default();
    values.per("file_mb", std::fs::metadata(folder.join(STORE))?.len(), 1_000_000);
    values.per("log_mb", bytes_beside(folder, STORE)?, 1_000_000);
    evict(folder)?;
    let began = Instant::now();
    let ours = store(folder)?;
    values.ms("opened_ms", began.elapsed());
    let session = ours.session(number)?;
    if !create {
        let page = runtime.block_on(session.messages(MessageQuery::last(50)))?;
        ensure!(page.messages.len() == 50, "session {number} has lost messages");
        values.ms("read_ms", began.elapsed());
    }
    runtime.block_on(session.add_message(message()))?;
    values.ms(if create { "created_ms" } else { "appended_ms" }, began.elapsed());
    Box::new(ours).close(runtime)?;
    Ok(values)
}

/// Appends to all sessions until it is killed. It says so when it has begun.
pub(super) fn write(runtime: &Runtime, folder: &Path, sessions: usize) -> Result<Values> {
    let ours = store(folder)?;
    let next = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (ours, next) = (ours.clone(), Arc::clone(&next));
            runtime.spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    ours.session(n * 7919 % sessions)?.add_message(message()).await?;
                    if n == CALLERS {
                        println!("begun");
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        let ended: Result<()> = runtime.block_on(caller)?;
        ended.context("a caller of the child that is to be killed")?;
    }
    Ok(Values::default())
}
