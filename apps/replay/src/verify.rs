//! Compares the stored conversations with the file.

use crate::faults::Faults;
use crate::input::{Conversation, Conversations, Skipped};
use crate::told::Told;
use anyhow::{Context, Result};
use durable_session::ChatSessions;
use durable_session::store::StoreErrorKind;

/// Counts of the comparison.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Verified {
    pub(crate) conversations: u64,
    pub(crate) messages: u64,
    pub(crate) faults: Faults,
    /// Readable conversations of the file, stored or not.
    pub(crate) read: u64,
}

/// Reads every conversation that was not skipped, and compares each message as a whole JSON object.
pub(crate) async fn all(
    sessions: &ChatSessions,
    conversations: Conversations,
    told: &Told,
) -> Result<Verified> {
    let mut verified = Verified::default();
    // The first pass has reported the unreadable ones.
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
                told.say(&format!("{place}: the stored conversation cannot be read: {error:#}"));
                Vec::new()
            }
            Err(error) => {
                return Err(error).with_context(|| format!("{place}: could not read the session"));
            }
        };
        if let Some((first, earlier)) = earlier {
            if stored != messages {
                let reason = format!("its id is that of {earlier}, which is another conversation");
                told.skip(Some(number), &Skipped { place, reason });
                continue;
            }
            // The same conversation twice counts once.
            if !told.was_skipped(first) {
                continue;
            }
        }
        let found = Faults::between(&messages, &stored);
        if !found.none() {
            let Faults { lost, duplicated, reordered } = found;
            told.say(&format!(
                "{place}: lost={lost} duplicated={duplicated} reordered={reordered}"
            ));
        }
        verified.faults.add(found);
        verified.conversations += 1;
        verified.messages += messages.len() as u64;
    }
    Ok(verified)
}
