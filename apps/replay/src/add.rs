//! Adds the messages like a live service: many conversations at once, each in its order.

use crate::faults::Faults;
use crate::input::{Conversation, Conversations, Skipped};
use crate::told::Told;
use anyhow::{Context, Error, Result};
use durable_session::store::StoreErrorKind;
use durable_session::{ChatSession, ChatSessions};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

/// Shared by all workers.
pub(crate) struct Work {
    sessions: ChatSessions,
    told: Told,
    acks: bool,
    /// Progress; the caller reads it after the work has ended, early or not.
    pub(crate) done: Arc<Done>,
}

/// Counts of the work so far.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// Conversations that are stored whole.
    pub(crate) conversations: AtomicU64,
    /// Stored messages, added in this run or before.
    pub(crate) messages: AtomicU64,
    /// Readable conversations of the file.
    pub(crate) read: AtomicU64,
    /// Messages added in this run.
    pub(crate) added: AtomicU64,
}

/// Why the rest of a conversation is not added.
enum Stop {
    /// This conversation is skipped.
    Skip(String),
    /// The store failed, and the run ends.
    General(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::General(error)
    }
}

impl Work {
    pub(crate) fn new(sessions: ChatSessions, told: Told, acks: bool) -> Self {
        Self { sessions, told, acks, done: Arc::default() }
    }

    /// Adds the messages that are not stored yet, with up to `in_flight` conversations at a time.
    /// Memory holds one conversation per worker, and one more that waits.
    pub(crate) async fn run(self, conversations: Conversations, in_flight: usize) -> Result<()> {
        let (give, take) = mpsc::channel(1);
        let (told, done) = (self.told.clone(), Arc::clone(&self.done));
        let reader = tokio::task::spawn_blocking(move || {
            for conversation in conversations {
                match conversation {
                    Ok(conversation) => {
                        done.read.fetch_add(1, Ordering::Relaxed);
                        // An error: the work has failed, and no worker receives.
                        if give.blocking_send(conversation).is_err() {
                            break;
                        }
                    }
                    Err(skipped) => told.skip(None, &skipped),
                }
            }
        });
        let (work, take) = (Arc::new(self), Arc::new(Mutex::new(take)));
        let mut workers = JoinSet::new();
        for _ in 0..in_flight {
            let (work, take) = (Arc::clone(&work), Arc::clone(&take));
            workers.spawn(async move { work.worker(&take).await });
        }
        drop(take);
        // The first failure ends the run: dropping the set stops the other workers.
        while let Some(worker) = workers.join_next().await {
            worker.context("a worker panicked")??;
        }
        reader.await.context("the reader panicked")
    }

    async fn worker(&self, conversations: &Mutex<mpsc::Receiver<Conversation>>) -> Result<()> {
        loop {
            let Some(conversation) = conversations.lock().await.recv().await else { return Ok(()) };
            // `verify` compares it with the first one.
            if conversation.earlier.is_some() {
                continue;
            }
            match self.take(&conversation).await {
                Ok(()) => _ = self.done.conversations.fetch_add(1, Ordering::Relaxed),
                Err(Stop::Skip(reason)) => {
                    let skipped = Skipped { place: conversation.place, reason };
                    self.told.skip(Some(conversation.number), &skipped);
                }
                Err(Stop::General(error)) => {
                    return Err(error.context(conversation.place.to_string()));
                }
            }
        }
    }

    async fn take(&self, conversation: &Conversation) -> Result<(), Stop> {
        let Conversation { place, repeated, .. } = conversation;
        for repeated in repeated {
            let said = format!(
                "{place}: message {repeated} repeats an earlier message and is stored once"
            );
            self.told.say(&said);
        }
        let session = self.sessions.session(conversation.id.clone());
        let stored = stored(&session, conversation).await?;
        self.done.messages.fetch_add(stored as u64, Ordering::Relaxed);
        for place in stored..conversation.messages.len() {
            self.add(&session, conversation, place).await?;
        }
        Ok(())
    }

    async fn add(
        &self,
        session: &ChatSession,
        conversation: &Conversation,
        place: usize,
    ) -> Result<(), Stop> {
        let number = conversation.number;
        if self.acks {
            println!("sent {number} {place}");
        }
        session.add_message(conversation.messages[place].clone()).await.map_err(|error| {
            of_one(
                error,
                &format!("could not add message {}; {place} messages of it are stored", place + 1),
            )
        })?;
        if self.acks {
            println!("acknowledged {number} {place}");
        }
        self.done.added.fetch_add(1, Ordering::Relaxed);
        self.done.messages.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Counts the messages that an earlier run has stored. The run goes on from this count: unlike
/// message ids, it works for any length and for equal messages.
async fn stored(session: &ChatSession, conversation: &Conversation) -> Result<usize, Stop> {
    let file = &conversation.messages;
    let snapshot =
        session.snapshot().await.map_err(|error| of_one(error, "could not load the session"))?;
    if snapshot.message_count() == 0 {
        return Ok(0);
    }
    let stored = session
        .get_state()
        .await
        .map_err(|error| of_one(error, "could not read the session"))?
        .messages;
    if stored.len() <= file.len() && stored[..] == file[..stored.len()] {
        return Ok(stored.len());
    }
    let all = file.len() as u64;
    match Faults::between(file, &stored) {
        Faults { lost, .. } if lost == all && all > 0 => Err(Stop::Skip(
            "the store has another conversation under its id; the stored one was not changed"
                .to_owned(),
        )),
        // Nothing is added to a damaged conversation; `verify` reports the damage.
        _ => Ok(file.len()),
    }
}

/// Skips the conversation for an error of its own, and ends the run for an error of the store.
fn of_one(error: durable_session::Error, doing: &str) -> Stop {
    let of_one = match error.store_kind() {
        Some(kind) => matches!(kind, StoreErrorKind::TooLarge | StoreErrorKind::Corrupt),
        None => !matches!(error, durable_session::Error::Closed { .. }),
    };
    let error = Error::new(error).context(doing.to_owned());
    if of_one { Stop::Skip(format!("{error:#}")) } else { Stop::General(error) }
}
