//! All messages of a session, for a turn that has to see them.

use super::machine::{self, Change, StoredMessage, View};
use super::registry::Session;
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
            if let Some(message) = change.message() {
                let seq = change.replaced().unwrap_or(next_seq);
                next_seq += u64::from(change.appends());
                match messages.binary_search_by_key(&seq, |stored| stored.seq) {
                    Ok(at) => messages[at].message = message.clone(),
                    Err(_) if change.appends() => {
                        messages.push(StoredMessage { seq, message: message.clone() });
                    }
                    // Where there is none to replace, the commit fails.
                    Err(_) => {}
                }
                continue;
            }
            if let Change::Remove { first, last } = change {
                messages.retain(|stored| !(first..=last).contains(&&stored.seq));
            }
        }
        messages
    }

    /// Its messages before `seq`, if they are those of the session at `head`: all up to its last
    /// one.
    fn before(mut self, seq: u64, head: &Head) -> Vec<StoredMessage> {
        if !self.exists || !pages::continues(&self.head, head) {
            return Vec::new();
        }
        self.messages.truncate(self.messages.partition_point(|stored| stored.seq < seq));
        self.messages
    }
}

impl Session {
    /// All messages at the newest durable state. Those in `known` are not read again.
    pub(crate) async fn all_messages(&self, mut known: Option<Whole>) -> Result<Whole, Error> {
        let mut view = self.view().await?;
        for _ in 0..self.registry.config.attempts {
            match self.messages_at(&view, known.take()).await? {
                Some(messages) => {
                    return Ok(Whole { head: view.head, exists: view.exists, messages });
                }
                None => view = self.newer(&view).await?,
            }
        }
        Err(Error::Contended { session: self.actor.id.clone() })
    }

    /// All messages as they are in `view`; `None` if the store no longer has them so.
    async fn messages_at(
        &self,
        view: &Arc<View>,
        known: Option<Whole>,
    ) -> Result<Option<Vec<StoredMessage>>, Error> {
        if !view.exists {
            let greeting = (1..).zip(&self.registry.config.greeting);
            let stored =
                greeting.map(|(seq, message)| StoredMessage { seq, message: message.clone() });
            return Ok(Some(stored.collect()));
        }
        let begin = view.first_seq().unwrap_or(view.head.next_seq);
        let mut messages = known.map(|whole| whole.before(begin, &view.head)).unwrap_or_default();
        if !view.is_whole() {
            let first = messages.last().map_or(1, |stored| stored.seq + 1);
            let rows =
                pages::rows(&*self.registry.store, &self.actor.id, &view.head, first, begin - 1)
                    .await?;
            let Some(rows) = rows else { return Ok(None) };
            for row in rows {
                let seq = row.seq;
                messages
                    .push(StoredMessage { seq, message: machine::message(&self.actor.id, row)? });
            }
        }
        let window = view.messages();
        messages
            .extend(window.map(|(seq, message)| StoredMessage { seq, message: message.clone() }));
        Ok(Some(messages))
    }
}
