//! Adding the messages as a live service would: many conversations at once, each in its order.

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

/// What all workers share.
pub(crate) struct Work {
    sessions: ChatSessions,
    told: Told,
    acks: bool,
    /// What is done so far, also when the work ends early.
    pub(crate) done: Arc<Done>,
}

/// What was done so far.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// Conversations of which every message is stored.
    pub(crate) conversations: AtomicU64,
    /// Messages that are stored: added in this run, or found to be stored already.
    pub(crate) messages: AtomicU64,
    /// Conversations that could be read from the file.
    pub(crate) read: AtomicU64,
    /// Messages added in this run.
    pub(crate) added: AtomicU64,
}

/// Why nothing is added to a conversation, or no more.
enum Stop {
    /// It cannot be taken. The others can.
    Skip(String),
    /// The store does not work.
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

    /// Adds what is not stored yet, with up to `in_flight` conversations under way. Each worker has
    /// one of them, and one more waits: that is all of the file that is in memory.
    pub(crate) async fn run(self, conversations: Conversations, in_flight: usize) -> Result<()> {
        let (give, take) = mpsc::channel(1);
        let (told, done) = (self.told.clone(), Arc::clone(&self.done));
        let reader = tokio::task::spawn_blocking(move || {
            for conversation in conversations {
                match conversation {
                    Ok(conversation) => {
                        done.read.fetch_add(1, Ordering::Relaxed);
                        // Nobody takes it any more once the work has failed.
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
            // Whether it is the same conversation again is seen when it is compared with what is
            // stored.
            if conversation.earlier.is_some() {
                continue;
            }
            match self.take(&conversation).await {
                Ok(()) => _ = self.done.conversations.fetch_add(1, Ordering::Relaxed),
                Err(Stop::Skip(reason)) => {
                    let skipped = Skipped { place: conversation.place, reason };
                    self.told.skip(Some(conversation.number), &skipped);
                }
                Err(Stop::General(error)) => return Err(error.context(conversation.place.to_string())),
            }
        }
    }

    async fn take(&self, conversation: &Conversation) -> Result<(), Stop> {
        let Conversation { place, repeated, .. } = conversation;
        for repeated in repeated {
            let said = format!("{place}: stored once, since it repeats an earlier one: message {repeated}");
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
            of_one(error, &format!("could not add message {}; {place} messages of it are stored", place + 1))
        })?;
        if self.acks {
            println!("acknowledged {number} {place}");
        }
        self.done.added.fetch_add(1, Ordering::Relaxed);
        self.done.messages.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// How many messages an earlier run has stored. Counting, and not message ids, finds the place to
/// go on from: so it works at any length and for messages that say the same.
async fn stored(session: &ChatSession, conversation: &Conversation) -> Result<usize, Stop> {
    let file = &conversation.messages;
    let snapshot = session.snapshot().await.map_err(|error| of_one(error, "could not load the session"))?;
    if snapshot.message_count() == 0 {
        return Ok(0);
    }
    let stored =
        session.get_state().await.map_err(|error| of_one(error, "could not read the session"))?.messages;
    if stored.len() <= file.len() && stored[..] == file[..stored.len()] {
        return Ok(stored.len());
    }
    let all = file.len() as u64;
    match Faults::between(file, &stored) {
        Faults { lost, .. } if lost == all && all > 0 => Err(Stop::Skip(
            "the store has another conversation under its id; that was left as it is".to_owned(),
        )),
        // Nothing is added to what is damaged; the comparison tells how.
        _ => Ok(file.len()),
    }
}

/// Whether an error is about this conversation or about all.
fn of_one(error: durable_session::Error, doing: &str) -> Stop {
    let of_one = match error.store_kind() {
        Some(kind) => matches!(kind, StoreErrorKind::TooLarge | StoreErrorKind::Corrupt),
        None => !matches!(error, durable_session::Error::Closed { .. }),
    };
    let error = Error::new(error).context(doing.to_owned());
    if of_one { Stop::Skip(format!("{error:#}")) } else { Stop::General(error) }
}
