//! Adding the messages as a live service would: many conversations at once, each in its order.

use crate::input::Conversation;
use anyhow::{Context, Result, bail};
use durable_session::ChatSessions;
use indicatif::ProgressBar;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinSet;

/// What all workers share.
pub(crate) struct Work {
    sessions: ChatSessions,
    conversations: Arc<[Conversation]>,
    /// Conversations that still want something added, by index, each in the hands of at most one worker.
    waiting: Mutex<VecDeque<Turn>>,
    progress: ProgressBar,
    acks: bool,
}

/// A conversation, and how many of its messages are stored; not known before its first turn.
struct Turn {
    conversation: usize,
    stored: Option<usize>,
}

impl Work {
    pub(crate) fn new(
        sessions: ChatSessions,
        conversations: Arc<[Conversation]>,
        progress: ProgressBar,
        acks: bool,
    ) -> Self {
        let waiting =
            (0..conversations.len()).map(|conversation| Turn { conversation, stored: None }).collect();
        Self { sessions, conversations, waiting: Mutex::new(waiting), progress, acks }
    }

    /// Adds what is not stored yet, with up to `in_flight` calls under way; answers how many messages that were.
    pub(crate) async fn run(self, in_flight: usize) -> Result<u64> {
        let work = Arc::new(self);
        let mut workers = JoinSet::new();
        for _ in 0..in_flight {
            let work = Arc::clone(&work);
            workers.spawn(async move { work.worker().await });
        }
        let mut added = 0;
        // The first failure ends the run: dropping the set stops the other workers.
        while let Some(worker) = workers.join_next().await {
            added += worker.context("a worker panicked")??;
        }
        Ok(added)
    }

    async fn worker(&self) -> Result<u64> {
        let mut added = 0;
        while let Some(turn) = self.next() {
            let conversation = &self.conversations[turn.conversation];
            let stored = match turn.stored {
                Some(stored) => stored,
                None => self.stored(conversation).await?,
            };
            if stored < conversation.messages.len() {
                self.add(turn.conversation, stored).await?;
                added += 1;
                self.put_back(Turn { stored: Some(stored + 1), ..turn });
            }
        }
        Ok(added)
    }

    async fn add(&self, index: usize, place: usize) -> Result<()> {
        let conversation = &self.conversations[index];
        if self.acks {
            println!("sent {index} {place}");
        }
        let message = conversation.messages[place].clone();
        self.sessions
            .session(conversation.id.clone())
            .add_message(message)
            .await
            .with_context(|| format!("could not add message {} of {}", place + 1, conversation.id))?;
        if self.acks {
            println!("acknowledged {index} {place}");
        }
        self.progress.inc(1);
        Ok(())
    }

    /// How many messages an earlier run has stored. Counting, and not message ids, finds the place to go on from: so it
    /// works at any length and for messages that say the same.
    async fn stored(&self, conversation: &Conversation) -> Result<usize> {
        let snapshot = self
            .sessions
            .session(conversation.id.clone())
            .snapshot()
            .await
            .with_context(|| format!("could not load {}", conversation.id))?;
        let stored = usize::try_from(snapshot.message_count()).context("too many messages")?;
        let last = snapshot.tail().next_back();
        if let (Some((_, last)), Some(expected)) =
            (last, stored.checked_sub(1).and_then(|i| conversation.messages.get(i)))
            && last != expected
        {
            bail!("the store has another conversation under {}: start with an empty one", conversation.id);
        }
        self.progress.inc(stored.min(conversation.messages.len()) as u64);
        Ok(stored)
    }

    fn next(&self) -> Option<Turn> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn put_back(&self, turn: Turn) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(turn);
    }
}
