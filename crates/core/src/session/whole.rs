//! All messages of a session, for a turn that has to see them.

use super::engine::Engine;
use super::plan::StoredMessage;
use super::view::{self, Change, View};
use crate::error::Error;
use crate::pages;
use crate::store::{Head, Version};
use crate::sync::Arc;

/// All messages of a session at one version.
pub(crate) struct Whole {
    head: Head,
    exists: bool,
    messages: Vec<StoredMessage>,
}

impl Whole {
    /// The version that it shows; `None` if the session does not exist.
    pub(crate) fn version(&self) -> Option<Version> {
        self.exists.then_some(self.head.version)
    }

    /// The messages after these changes.
    pub(crate) fn with(&self, changes: &[Change]) -> Vec<StoredMessage> {
        let mut messages = self.messages.clone();
        let mut next_seq = self.head.next_seq;
        for change in changes {
            match change {
                Change::Append { message, .. } => {
                    messages.push(StoredMessage { seq: next_seq, message: message.clone() });
                    next_seq += 1;
                }
                Change::Replace { seq, message } => {
                    // Where there is none, the commit fails.
                    if let Ok(at) = messages.binary_search_by_key(seq, |stored| stored.seq) {
                        messages[at].message = message.clone();
                    }
                }
                Change::Remove { first, last } => {
                    messages.retain(|stored| !(first..=last).contains(&&stored.seq));
                }
                Change::SetApp(_) => {}
            }
        }
        messages
    }

    /// What it has of the messages before `seq` of the session at `head`: all up to the last one it
    /// has.
    fn before(mut self, seq: u64, head: &Head) -> Vec<StoredMessage> {
        if !self.exists || !pages::continues(&self.head, head) {
            return Vec::new();
        }
        self.messages.truncate(self.messages.partition_point(|stored| stored.seq < seq));
        self.messages
    }
}

impl Engine {
    /// All messages at the newest durable state. What `known` has of them is not read again.
    pub(crate) async fn all_messages(&self, mut known: Option<Whole>) -> Result<Whole, Error> {
        let mut view = self.view().await?;
        for _ in 0..self.hub.config.attempts {
            match self.messages_at(&view, known.take()).await? {
                Some(messages) => return Ok(Whole { head: view.head, exists: view.exists, messages }),
                None => view = self.newer(&view).await?,
            }
        }
        Err(Error::Contended { session: self.slot.id.clone() })
    }

    /// All messages as they are in `view`; `None` if the store no longer has them so.
    async fn messages_at(
        &self,
        view: &Arc<View>,
        known: Option<Whole>,
    ) -> Result<Option<Vec<StoredMessage>>, Error> {
        if !view.exists {
            let greeting = (1..).zip(&self.hub.config.greeting);
            let stored = greeting.map(|(seq, message)| StoredMessage { seq, message: message.clone() });
            return Ok(Some(stored.collect()));
        }
        let begin = view.first_seq().unwrap_or(view.head.next_seq);
        let mut messages = known.map(|whole| whole.before(begin, &view.head)).unwrap_or_default();
        if !view.is_whole() {
            let first = messages.last().map_or(1, |stored| stored.seq + 1);
            let rows = pages::rows(&*self.hub.store, &self.slot.id, &view.head, first, begin - 1).await?;
            let Some(rows) = rows else { return Ok(None) };
            for row in rows {
                let seq = row.seq;
                messages.push(StoredMessage { seq, message: view::message(&self.slot.id, row)? });
            }
        }
        let window = view.messages();
        messages.extend(window.map(|(seq, message)| StoredMessage { seq, message: message.clone() }));
        Ok(Some(messages))
    }
}
