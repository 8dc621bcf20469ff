//! The process that is killed.

use super::{SESSIONS, replies};
use crate::processes::{StoreOptions, tell};
use crate::script;
use anyhow::{Context, Result};
use durable_session::ChatSessions;
use durable_session_redb::RedbStore;
use futures_executor::block_on;
use std::path::Path;
use std::time::Duration;

const THREADS: usize = 8;

/// Plays the script of all sessions from where the parent says, telling each step before and after,
/// until killed.
pub(crate) fn run(file: &Path) -> Result<()> {
    let starts: Vec<u64> = std::env::var("TORTURE_STARTS")
        .context("TORTURE_STARTS")?
        .split(',')
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let store = StoreOptions::open(file)?;
    let sessions: ChatSessions = ChatSessions::builder(store.clone()).build();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (sessions, store, starts) = (&sessions, &store, &starts);
            scope.spawn(move || {
                let mut steps = starts.clone();
                loop {
                    for session in (thread..steps.len()).step_by(THREADS) {
                        if let Err(error) = one(sessions, store, session, &mut steps[session]) {
                            eprintln!("killed child: session {session}: {error:#}");
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

fn one(sessions: &ChatSessions, store: &RedbStore, session: usize, step: &mut u64) -> Result<()> {
    tell(&format!("begun {session} {step}\n"))?;
    match session.checked_sub(SESSIONS) {
        None => block_on(script::play(&sessions.session(script::id(session)?), session, *step))?,
        Some(n) => block_on(replies::play(store, n, *step))?,
    }
    tell(&format!("done {session} {step}\n"))?;
    *step += 1;
    Ok(())
}
