//! Writers that play the script through two stores, and check each error that they get.

use crate::script::{self, Conversation, Journal};
use crate::verdict::hold;
use anyhow::{Context, Result, bail};
use durable_session::store::StoreErrorKind;
use durable_session::{ChatSession, ChatSessions};
use durable_session_postgres::PostgresStore;
use futures_executor::block_on;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub(super) const SESSIONS: usize = 16;

/// The steps that every session makes before and after an attack.
const STEPS: u64 = 8;

/// After so many steps, one is read through the other store.
const READ: u64 = 4;

/// Nothing takes longer, unless it never ends.
const LONG: Duration = Duration::from_mins(2);

/// What the writers count, and when they end.
#[derive(Debug, Default)]
pub(super) struct Writers {
    /// Steps that were begun and have not ended.
    in_flight: AtomicU64,
    /// The acknowledged steps of each session.
    steps: [AtomicU64; SESSIONS],
    unknown: AtomicU64,
    unavailable: AtomicU64,
    read_elsewhere: AtomicU64,
    /// The attack is over, or a writer failed.
    end: AtomicBool,
}

impl Writers {
    /// Plays the script of all sessions during an attack. Returns what the attack returns, and how
    /// many steps of each session were made.
    pub(super) fn during<T>(
        &self,
        stores: &[PostgresStore; 2],
        attack: impl FnOnce() -> Result<T>,
    ) -> Result<(T, Vec<u64>)> {
        let registries = stores.each_ref().map(|store| {
            let registry: ChatSessions = ChatSessions::builder(store.clone()).build();
            registry
        });
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..SESSIONS)
                .map(|session| {
                    let registries = &registries;
                    scope.spawn(move || {
                        let written = self.write(session, registries);
                        // The others need not wait for it.
                        self.end.fetch_or(written.is_err(), Ordering::SeqCst);
                        written
                    })
                })
                .collect();
            let attacked = attack();
            self.end.store(true, Ordering::SeqCst);
            let steps: Result<Vec<_>> = writers
                .into_iter()
                .map(|writer| writer.join().unwrap_or_else(|_| bail!("a writer panicked")))
                .collect();
            // What a writer found says more than an attack that waited for it in vain.
            let steps = steps?;
            Ok((attacked?, steps))
        })
    }

    /// Waits until every session has made some more steps.
    pub(super) fn wait_for_steps(&self) -> Result<()> {
        let before: Vec<_> = self.steps.iter().map(|steps| steps.load(Ordering::SeqCst)).collect();
        wait_until("every session has made some steps", || {
            let mut now = self.steps.iter().map(|steps| steps.load(Ordering::SeqCst));
            self.end.load(Ordering::SeqCst)
                || before.iter().all(|before| now.next().is_some_and(|now| now >= before + STEPS))
        })
    }

    /// Steps that are under way now.
    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// The calls that failed so far.
    pub(super) fn failed(&self) -> u64 {
        self.unknown() + self.unavailable()
    }

    pub(super) fn unknown(&self) -> u64 {
        self.unknown.load(Ordering::SeqCst)
    }

    pub(super) fn unavailable(&self) -> u64 {
        self.unavailable.load(Ordering::SeqCst)
    }

    /// Steps that were made through one store and read through the other.
    pub(super) fn read_elsewhere(&self) -> u64 {
        self.read_elsewhere.load(Ordering::SeqCst)
    }

    /// Plays the script of a session until the end. Returns how many steps were made.
    fn write(&self, session: usize, registries: &[ChatSessions; 2]) -> Result<u64> {
        let id = script::id(session)?;
        let chats = registries.each_ref().map(|registry| registry.session(id.clone()));
        let mut step = 0;
        while !self.end.load(Ordering::SeqCst) {
            // The stores take turns.
            let turn = usize::from(step % 2 == 1);
            let (chat, other) = (&chats[turn], &chats[1 - turn]);
            self.in_flight.fetch_add(1, Ordering::SeqCst);
            let played = block_on(script::play(chat, session, step));
            self.in_flight.fetch_sub(1, Ordering::SeqCst);
            let Err(error) = played else {
                step += 1;
                self.steps[session].fetch_add(1, Ordering::SeqCst);
                if step % READ == 0 {
                    self.read_elsewhere.fetch_add(1, Ordering::SeqCst);
                    found(other, session, step, step).context("read through the other store")?;
                }
                continue;
            };
            // The error is true: what is stored now is as it says.
            let (count, begun) = match error.store_kind() {
                Some(StoreErrorKind::Unavailable) => (&self.unavailable, step),
                Some(StoreErrorKind::OutcomeUnknown) => (&self.unknown, step + 1),
                _ => return Err(error).context(format!("session {session}, step {step}")),
            };
            count.fetch_add(1, Ordering::SeqCst);
            step = found(chat, session, step, begun).with_context(|| format!("after {error}"))?;
        }
        Ok(step)
    }
}

/// After how many steps the session is as it is stored.
fn found(chat: &ChatSession, session: usize, acknowledged: u64, begun: u64) -> Result<u64> {
    let journal = Journal { begun, acknowledged };
    let started = Instant::now();
    loop {
        match block_on(chat.get_state()) {
            Ok(state) => return Ok(script::find(session, journal, &Conversation::of(&state))?),
            Err(error) if error.store_kind() == Some(StoreErrorKind::Unavailable) => {}
            Err(error) => hold!(false, Wrong, "session {session}: a read ended with {error}"),
        }
        hold!(started.elapsed() < LONG, Wrong, "session {session} cannot be read");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until something is so.
pub(super) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let started = Instant::now();
    while !is_so() {
        hold!(started.elapsed() < LONG, Wrong, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
