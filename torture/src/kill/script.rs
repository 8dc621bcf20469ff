//! The script of every session, step by step: the same in parent and child.

use crate::campaign::Tally;
use crate::verdict::Kind;
use anyhow::Result;
use durable_session::{ChatSession, ChatSessionState, Error, Message, SessionId};

/// The content of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Conversation {
    pub(super) texts: Vec<String>,
    pub(super) app: String,
}

/// One step.
#[derive(Debug, Clone, Copy)]
enum Step {
    Add,
    AddTwo,
    /// Two messages and the app state, in one commit.
    Turn,
    ReplaceLast,
    Pop,
    Reset,
    Delete,
}

fn step(session: usize, number: u64) -> Step {
    let mixed =
        fastrand::Rng::with_seed(number.wrapping_mul(0x9e37_79b9) ^ session as u64).u8(0..64);
    match mixed {
        0..36 => Step::Add,
        36..42 => Step::AddTwo,
        42..54 => Step::Turn,
        54..58 => Step::ReplaceLast,
        58..61 => Step::Pop,
        61 | 62 => Step::Reset,
        _ => Step::Delete,
    }
}

pub(super) fn id(session: usize) -> Result<SessionId> {
    Ok(SessionId::new(format!("killed-{session}"))?)
}

fn text(session: usize, number: u64, part: u8) -> String {
    format!("{session}.{number}.{part} {}", "x".repeat(session * 17 % 400))
}

/// Makes the step.
pub(super) async fn play(chat: &ChatSession, session: usize, number: u64) -> Result<(), Error> {
    let say = |part| Message::user(text(session, number, part));
    match step(session, number) {
        Step::Add => chat.add_message(say(0)).await.map(drop),
        Step::AddTwo => chat.add_messages(vec![say(0), say(1)]).await.map(drop),
        Step::Turn => {
            chat.turn(|draft| {
                draft.add_message(say(0))?;
                draft.app_mut()?.set("step", &number).map_err(Error::rejected)?;
                draft.add_message(say(1)).map(drop)
            })
            .await
        }
        Step::ReplaceLast => {
            chat.turn(|draft| {
                let last = draft.tail().next_back().map(|(seq, _)| seq);
                last.map_or(Ok(()), |seq| draft.replace(seq, &say(0)))
            })
            .await
        }
        Step::Pop => chat.pop().await.map(drop),
        Step::Reset => chat.reset().await,
        Step::Delete => chat.delete().await.map(drop),
    }
}

/// The expected content after so many steps.
pub(super) fn after(session: usize, steps: u64) -> Conversation {
    let mut seen = Conversation { app: "{}".to_owned(), ..Conversation::default() };
    for number in 0..steps {
        let say = |part| text(session, number, part);
        match step(session, number) {
            Step::Add => seen.texts.push(say(0)),
            Step::AddTwo => seen.texts.extend([say(0), say(1)]),
            Step::Turn => {
                seen.texts.extend([say(0), say(1)]);
                seen.app = format!("{{\"step\":{number}}}");
            }
            Step::ReplaceLast => seen.texts.last_mut().into_iter().for_each(|last| *last = say(0)),
            Step::Pop => drop(seen.texts.pop()),
            Step::Reset | Step::Delete => {
                seen = Conversation { app: "{}".to_owned(), ..Conversation::default() }
            }
        }
    }
    seen
}

impl Conversation {
    pub(super) fn of(state: &ChatSessionState) -> Self {
        let texts = state
            .messages
            .iter()
            .filter_map(|m| m.text().map(std::borrow::Cow::into_owned))
            .collect();
        Self { texts, app: state.app.to_string() }
    }

    /// Alters it, if that is asked for, before it is checked.
    pub(super) fn alter(&mut self, tally: &Tally) {
        tally.sees(&mut self.texts, |_| "altered".to_owned());
        if tally.alters(Kind::Wrong) {
            "altered".clone_into(&mut self.app);
        }
    }
}
