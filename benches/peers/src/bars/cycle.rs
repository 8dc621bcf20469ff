//! 20,000 sessions that are created, appended to and deleted.

use super::child::Name;
use super::load::SESSIONS;
use crate::io::{Written, folder_bytes};
use crate::peer::{Ours, Service, message};
use crate::values::Values;
use anyhow::{Result, ensure};
use durable_session::ChatSession;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::runtime::Runtime;

/// Room for all sessions.
const MEMORY: u64 = 1 << 30;

#[derive(Debug, Clone, Copy)]
enum Step {
    Create,
    Append,
    Delete,
}

/// With `flush`, the store is closed after each step, which flushes the log.
pub(super) fn run(runtime: &Runtime, folder: &Path, callers: usize, flush: bool) -> Result<Values> {
    let file = Name::DurableSession.file(folder);
    let (began, before) = (Instant::now(), Written::so_far()?);
    let mut ours = Ours::open(&file, SESSIONS, MEMORY)?;
    let (mut in_steps, sessions) = (0, SESSIONS as u64);
    for step in [Step::Create, Step::Append, Step::Delete] {
        let before = Written::so_far()?;
        by_callers(runtime, &ours, callers, step)?;
        in_steps += Written::so_far()?.since(before).calls;
        if flush {
            runtime.block_on(ours.end())?;
            ours = Ours::open(&file, SESSIONS, MEMORY)?;
        }
    }
    runtime.block_on(ours.end())?;
    let all = Written::so_far()?.since(before);
    let mut values = Values::default();
    values.per("bytes", all.pages, sessions);
    values.per("wchar", all.calls, sessions);
    values.per("wchar_of_steps", in_steps, sessions);
    values.per("file_mb", folder_bytes(folder)?, 1_000_000);
    values.ms("ms", began.elapsed());
    Ok(values)
}

fn by_callers(runtime: &Runtime, ours: &Ours, callers: usize, step: Step) -> Result<()> {
    let next = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..callers)
        .map(|_| {
            let (sessions, next) = (ours.sessions(), Arc::clone(&next));
            runtime.spawn(async move {
                while let Some(session) = sessions.get(next.fetch_add(1, Ordering::Relaxed)) {
                    one(session, step).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    callers.into_iter().try_for_each(|caller| runtime.block_on(caller)?)
}

async fn one(session: &ChatSession, step: Step) -> Result<()> {
    match step {
        Step::Create | Step::Append => {
            session.add_message(message()).await?;
        }
        Step::Delete => {
            ensure!(session.delete().await?, "a session to be deleted was not there");
        }
    }
    Ok(())
}
