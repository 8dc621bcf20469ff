//! The calls of a round.

use super::ROUNDS_TO_LIVE;
use crate::campaign::Tally;
use crate::verdict::{Broken, Kind, hold};
use anyhow::Result;
use durable_session::store::ListPage;
use durable_session::{ChatSession, ChatSessions, Message, MessageQuery, SessionId};
use fastrand::Rng;
use futures_executor::block_on;
use std::collections::HashSet;

const THREADS: u64 = 4;
const NEW_SESSIONS: u64 = 20;
const CALLS: u64 = 500;

/// A session, the round of its last use, and how many messages it has.
#[derive(Debug, Clone)]
struct Known {
    id: SessionId,
    used: u64,
    messages: u64,
}

/// All sessions that may live.
#[derive(Debug, Default)]
pub(super) struct Load {
    known: Vec<Known>,
}

impl Load {
    /// Each thread has its own sessions: some new ones, and those of earlier rounds.
    pub(super) fn round(
        &mut self,
        sessions: &ChatSessions,
        round: u64,
        rng: &mut Rng,
        tally: &mut Tally,
    ) -> Result<()> {
        self.known.retain(|known| known.used + ROUNDS_TO_LIVE > round);
        for n in 0..NEW_SESSIONS * THREADS {
            self.known.push(Known {
                id: SessionId::new(format!("long-{round}-{n}"))?,
                used: round,
                messages: 0,
            });
        }
        rng.shuffle(&mut self.known);
        let share = self.known.len().div_ceil(usize::try_from(THREADS)?);
        let mut results = Vec::new();
        std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .known
                .chunks_mut(share)
                .map(|mine| {
                    let mut rng = rng.fork();
                    scope.spawn(move || {
                        (0..CALLS).try_for_each(|_| call(sessions, mine, round, &mut rng))
                    })
                })
                .collect();
            results.extend(threads.into_iter().map(std::thread::ScopedJoinHandle::join));
        });
        for result in results {
            result.map_err(|_| anyhow::anyhow!("a caller panicked"))??;
        }
        tally.add("calls", CALLS * THREADS);
        Ok(())
    }

    /// Looks at some of the sessions that were used in this round.
    pub(super) fn check(
        &self,
        sessions: &ChatSessions,
        round: u64,
        rng: &mut Rng,
        tally: &mut Tally,
    ) -> Result<()> {
        for known in self.known.iter().filter(|known| known.used == round) {
            if rng.u8(0..4) == 0 {
                let snapshot = block_on(sessions.session(known.id.clone()).snapshot())?;
                let mut is = snapshot.message_count();
                is += u64::from(tally.alters(Kind::Ghosts));
                is -= u64::from(tally.alters(Kind::Lost) && is > 0);
                tally.checked(1);
                known.has(is)?;
            }
        }
        Ok(())
    }

    /// Expired sessions are gone; the others are there.
    pub(super) fn only_the_living(
        &self,
        listed: &ListPage,
        round: u64,
        tally: &mut Tally,
    ) -> Result<()> {
        for session in &listed.sessions {
            let known = self.known.iter().find(|known| known.id == session.id);
            let lives = known.is_some_and(|known| known.used + ROUNDS_TO_LIVE >= round);
            hold!(
                lives,
                Ghosts,
                "{} should have expired in round {round}: {known:?}",
                session.id.as_str()
            );
        }
        let listed: HashSet<&SessionId> =
            listed.sessions.iter().map(|session| &session.id).collect();
        for known in self.known.iter().filter(|known| known.messages > 0) {
            tally.checked(1);
            hold!(listed.contains(&known.id), Lost, "{known:?} is not listed in round {round}");
        }
        Ok(())
    }
}

impl Known {
    /// Whether these are as many messages as it should have.
    fn has(&self, messages: u64) -> Result<(), Broken> {
        let kind = if messages < self.messages { Kind::Lost } else { Kind::Ghosts };
        Broken::new(
            kind,
            messages.abs_diff(self.messages),
            format!("{self:?} has {messages} messages"),
        )
        .into_result()
    }
}

fn call(sessions: &ChatSessions, mine: &mut [Known], round: u64, rng: &mut Rng) -> Result<()> {
    let chosen = rng.usize(0..mine.len());
    let known = &mut mine[chosen];
    let chat: ChatSession = sessions.session(known.id.clone());
    if known.used != round && known.messages > 0 {
        // Not gone: its time to live is not over.
        known.has(block_on(chat.snapshot())?.message_count())?;
    }
    known.used = round;
    let text = "m".repeat(rng.usize(0..400));
    match rng.u8(0..32) {
        0 => {
            block_on(chat.delete())?;
            known.messages = 0;
        }
        1 => {
            let after = block_on(chat.snapshot())?.next_seq();
            block_on(chat.forget_before(after))?;
            known.messages = 0;
        }
        2 => known.messages -= u64::from(block_on(chat.pop())?.is_some()),
        3..6 => block_on(chat.update(|app| app.set("note", text.as_str())))??,
        6..14 => drop(block_on(chat.messages(MessageQuery::last(20)))?),
        14..16 => drop(block_on(chat.get_state())?),
        _ => {
            block_on(chat.add_message(Message::user(&text)))?;
            known.messages += 1;
        }
    }
    Ok(())
}
