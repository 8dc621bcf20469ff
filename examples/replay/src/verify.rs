//! Comparing what is stored with what the file has.

use crate::faults::Faults;
use crate::input::Conversation;
use anyhow::{Context, Result};
use durable_session::ChatSessions;
use indicatif::ProgressBar;

/// Reads every conversation in full and compares every message as a whole JSON object.
pub(crate) async fn all(
    sessions: &ChatSessions,
    conversations: &[Conversation],
    progress: &ProgressBar,
) -> Result<Faults> {
    let mut faults = Faults::default();
    for Conversation { id, messages } in conversations {
        let state =
            sessions.session(id.clone()).get_state().await.with_context(|| format!("could not read {id}"))?;
        let found = Faults::between(messages, &state.messages);
        if !found.none() {
            progress.suspend(|| {
                let Faults { lost, duplicated, reordered } = found;
                eprintln!("{id}: lost={lost} duplicated={duplicated} reordered={reordered}");
            });
        }
        faults.add(found);
        progress.inc(messages.len() as u64);
    }
    Ok(faults)
}
