//! Comparing what is stored with what the file has.

use crate::faults::Faults;
use crate::input::{Conversation, Conversations, Skipped};
use crate::told::Told;
use anyhow::{Context, Result};
use durable_session::ChatSessions;
use durable_session::store::StoreErrorKind;

/// What was compared, and what was wrong with it.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Verified {
    pub(crate) conversations: u64,
    pub(crate) messages: u64,
    pub(crate) faults: Faults,
    /// How many conversations could be read from the file, taken or not.
    pub(crate) read: u64,
}

/// Reads every conversation that was taken in full and compares every message as a whole JSON
/// object.
pub(crate) async fn all(
    sessions: &ChatSessions,
    conversations: Conversations,
    told: &Told,
) -> Result<Verified> {
    let mut verified = Verified::default();
    // What cannot be read was named in the first pass.
    for conversation in conversations.flatten() {
        verified.read += 1;
        if told.was_skipped(conversation.number) {
            continue;
        }
        let Conversation { number, place, id, messages, earlier, .. } = conversation;
        let stored = match sessions.session(id).get_state().await {
            Ok(state) => state.messages,
            Err(error) if error.store_kind() == Some(StoreErrorKind::Corrupt) => {
                let error = anyhow::Error::new(error);
                told.say(&format!("{place}: stored and cannot be read: {error:#}"));
                Vec::new()
            }
            Err(error) => return Err(error).with_context(|| format!("{place}: could not read the session")),
        };
        if let Some((first, earlier)) = earlier {
            if stored != messages {
                let reason =
                    format!("it has the id of {earlier}, under which another conversation is stored");
                told.skip(Some(number), &Skipped { place, reason });
                continue;
            }
            // The same conversation twice is one.
            if !told.was_skipped(first) {
                continue;
            }
        }
        let found = Faults::between(&messages, &stored);
        if !found.none() {
            let Faults { lost, duplicated, reordered } = found;
            told.say(&format!("{place}: lost={lost} duplicated={duplicated} reordered={reordered}"));
        }
        verified.faults.add(found);
        verified.conversations += 1;
        verified.messages += messages.len() as u64;
    }
    Ok(verified)
}
