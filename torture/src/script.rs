//! The script of every session, step by step: the same wherever it is played and checked.

use crate::campaign::Tally;
use crate::verdict::{Broken, Kind};
use anyhow::Result;
use durable_session::{ChatSession, ChatSessionState, Error, Message, SessionId};

/// How many steps of a session were begun, and how many acknowledged.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Journal {
    pub(crate) begun: u64,
    pub(crate) acknowledged: u64,
}

/// The content of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Conversation {
    pub(crate) texts: Vec<String>,
    pub(crate) app: String,
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

pub(crate) fn id(session: usize) -> Result<SessionId> {
    Ok(SessionId::new(format!("killed-{session}"))?)
}

fn text(session: usize, number: u64, part: u8) -> String {
    format!("{session}.{number}.{part} {}", "x".repeat(session * 17 % 400))
}

/// Makes the step.
pub(crate) async fn play(chat: &ChatSession, session: usize, number: u64) -> Result<(), Error> {
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
pub(crate) fn after(session: usize, steps: u64) -> Conversation {
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
    pub(crate) fn of(state: &ChatSessionState) -> Self {
        let texts = state
            .messages
            .iter()
            .filter_map(|m| m.text().map(std::borrow::Cow::into_owned))
            .collect();
        Self { texts, app: state.app.to_string() }
    }

    /// Alters it, if that is asked for, before it is checked.
    pub(crate) fn alter(&mut self, tally: &Tally) {
        tally.sees(&mut self.texts, |_| "altered".to_owned());
        if tally.alters(Kind::Wrong) {
            "altered".clone_into(&mut self.app);
        }
    }
}

/// After how many of its steps a session is as it is stored: not before the last acknowledged one,
/// not after the last one that was begun.
pub(crate) fn find(session: usize, journal: Journal, stored: &Conversation) -> Result<u64, Broken> {
    let Journal { begun, acknowledged } = journal;
    let step = (acknowledged..=begun.max(acknowledged))
        .rev()
        .find(|&step| after(session, step) == *stored);
    step.ok_or_else(|| explain(session, journal, stored))
}

fn explain(session: usize, journal: Journal, stored: &Conversation) -> Broken {
    let Journal { begun, acknowledged } = journal;
    // The step that was under way may be stored: the nearest of the states that may be.
    let (should, broken) = (acknowledged..=begun.max(acknowledged))
        .map(|step| {
            let should = after(session, step);
            let broken = Broken::between(&should.texts, &stored.texts);
            (should, broken)
        })
        .min_by_key(|(_, broken)| broken.findings())
        .unwrap_or_default();
    let step = (0..acknowledged).rev().find(|&step| after(session, step) == *stored);
    let broken = match step {
        Some(step) => {
            broken.at_least_one(Kind::Lost).within(format_args!("is as after {step} steps"))
        }
        None if broken.is_nothing() => Broken::new(
            Kind::Wrong,
            1,
            format!("the app state is {}, not {}", stored.app, should.app),
        ),
        None => broken,
    };
    broken
        .within(format_args!("session {session}, {acknowledged} steps acknowledged, {begun} begun"))
}
