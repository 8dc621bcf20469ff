//! The process that is killed.

use super::script;
use anyhow::{Context, Result};
use durable_session::ChatSessions;
use durable_session_redb::{RedbDurability, RedbStore};
use futures_executor::block_on;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

const THREADS: usize = 8;

/// Plays the script of all sessions from where the parent says, telling each step before and after, until killed.
pub(crate) fn run(file: &Path) -> Result<()> {
    let starts: Vec<u64> = std::env::var("TORTURE_STARTS")
        .context("TORTURE_STARTS")?
        .split(',')
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let quick = std::env::var("TORTURE_QUICK_RECOVERY").is_ok_and(|quick| quick == "true");
    let level = if quick { RedbDurability::QuickRecovery } else { RedbDurability::Immediate };
    let store =
        RedbStore::builder().durability(level).cache_bytes(16 << 20).log_bytes(32 * 1024).open(file)?;
    let sessions: ChatSessions = ChatSessions::builder(store.clone()).build();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (sessions, starts) = (&sessions, &starts);
            scope.spawn(move || {
                let mut steps = starts.clone();
                loop {
                    for session in (thread..steps.len()).step_by(THREADS) {
                        if let Err(error) = one(sessions, session, &mut steps[session]) {
                            eprintln!("killed child: {error:#}");
                            std::process::exit(1);
                        }
                    }
                }
            });
        }
        // Compaction moves everything about while the others wait.
        loop {
            std::thread::sleep(Duration::from_millis(40));
            if block_on(store.compact()).is_err() {
                std::process::exit(1);
            }
        }
    });
    Ok(())
}

fn one(sessions: &ChatSessions, session: usize, step: &mut u64) -> Result<()> {
    let chat = sessions.session(script::id(session)?);
    tell(&format!("begun {session} {step}\n"))?;
    block_on(script::play(&chat, session, *step))
        .with_context(|| format!("session {session}, step {step}"))?;
    tell(&format!("done {session} {step}\n"))?;
    *step += 1;
    Ok(())
}

/// One write each, so that no line is cut.
fn tell(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes())?;
    Ok(out.flush()?)
}
