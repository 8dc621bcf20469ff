//! Calls of many callers on a few sessions: the answer to each, and the content that everybody sees
//! afterwards.

use super::{Sizes, create, heal, recover};
use crate::campaign::Tally;
use crate::model::{self};
use crate::verdict::{Broken, Kind};
use anyhow::{Context, Result, bail};
use durable_session::store::StoreErrorKind;
use durable_session::{ChatSession, ChatSessions, Error, Message, SessionId};
use fastrand::Rng;
use futures_executor::block_on;
use futures_util::future::join_all;
use std::collections::HashMap;
use testkit::disk::Disk;

const ROUNDS: usize = 6;
const CALLERS: usize = 4;

/// The answer to a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Done,
    Not,
    Unknown,
}

pub(super) fn play(disk: &Disk, sizes: Sizes, rng: &mut Rng, tally: &mut Tally) -> Result<()> {
    let Some(store) = create(disk, sizes, tally)? else {
        tally.skipped();
        return Ok(());
    };
    let sessions: ChatSessions = ChatSessions::builder(store.clone()).build();
    let chats = [sessions.session(SessionId::new("a")?), sessions.session(SessionId::new("b")?)];
    let mut told: [Vec<(String, Told)>; 2] = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for (chat, told) in chats.iter().zip(&mut told) {
            let texts: Vec<String> =
                (0..CALLERS).map(|n| format!("{round}.{n}.{:x}", rng.u32(..))).collect();
            let calls =
                texts.iter().map(|text| call(chat, text, text.ends_with(['0', '1', '2', '3'])));
            for (text, result) in texts.iter().zip(block_on(join_all(calls))) {
                let pair = text.ends_with(['0', '1', '2', '3']);
                let answer = answer(&result)?;
                tally.add("calls", 1);
                told.push((text.clone(), answer));
                if pair {
                    told.push((format!("{text}+"), answer));
                }
            }
            // The instance shows the stored messages, and no ghost.
            let mut state = if let Ok(state) = block_on(chat.get_state()) {
                state
            } else {
                recover(&store, disk)?;
                block_on(chat.get_state()).context("reading on a sound disk")?
            };
            tally.sees(&mut state.messages, |_| Message::user("altered"));
            tally.checked(1 + state.messages.len());
            let shown: Vec<String> = texts_of(&state.messages);
            check(&shown, told)
                .with_context(|| format!("session {}, round {round}", chat.id().as_str()))?;
            let stored = if let Ok(loaded) = model::load(&store, chat.id()) {
                loaded
            } else {
                recover(&store, disk)?;
                model::load(&store, chat.id())?
            };
            let stored: Vec<String> = stored.map_or_else(Vec::new, |loaded| {
                loaded
                    .tail
                    .iter()
                    .map(|row| String::from_utf8_lossy(&row.body).into_owned())
                    .collect()
            });
            let shown: Vec<String> =
                state.messages.iter().map(|m| m.as_json().to_owned()).collect();
            Broken::between(&stored, &shown).into_result().with_context(|| {
                format!(
                    "session {} shows messages that are not stored, round {round}",
                    chat.id().as_str()
                )
            })?;
            // The unknown is known now.
            for (text, told) in &mut *told {
                if *told == Told::Unknown {
                    let there = state.messages.iter().any(|m| m.text().as_deref() == Some(text));
                    *told = if there { Told::Done } else { Told::Not };
                }
            }
        }
    }
    heal(disk);
    Ok(())
}

/// Adds a message, or a pair of them in one turn.
async fn call(chat: &ChatSession, text: &str, pair: bool) -> Result<(), Error> {
    if pair {
        let second = format!("{text}+");
        chat.turn(|draft| {
            draft.add_message(Message::user(text))?;
            draft.add_message(Message::assistant(&second)).map(drop)
        })
        .await
    } else {
        chat.add_message(Message::user(text)).await.map(drop)
    }
}

fn answer(result: &Result<(), Error>) -> Result<Told> {
    match result {
        Ok(()) => Ok(Told::Done),
        Err(error) => match error.store_kind() {
            Some(StoreErrorKind::OutcomeUnknown) => Ok(Told::Unknown),
            Some(StoreErrorKind::Unavailable) => Ok(Told::Not),
            _ => bail!("a failing disk is answered with {error:?}"),
        },
    }
}

fn texts_of(messages: &[Message]) -> Vec<String> {
    messages.iter().filter_map(|message| message.text().map(std::borrow::Cow::into_owned)).collect()
}

/// Compares the messages that are shown with the answers to callers. Calls of one round may be in
/// any order.
fn check(shown: &[String], told: &[(String, Told)]) -> Result<(), Broken> {
    let shown_at: HashMap<&str, usize> =
        shown.iter().enumerate().map(|(n, text)| (&**text, n)).collect();
    // Messages of an unknown outcome may be there.
    let stands = |(text, told): &&(String, Told)| match told {
        Told::Done => true,
        Told::Not => false,
        Told::Unknown => shown_at.contains_key(text.as_str()),
    };
    let mut should: Vec<&String> = told.iter().filter(stands).map(|(text, _)| text).collect();
    // Rounds are in order; within one, the order that is shown is as good as any other that keeps
    // turns whole.
    let round = |text: &str| text.split('.').next().and_then(|n| n.parse::<usize>().ok());
    should.sort_by_key(|text| (round(text), shown_at.get(text.as_str()).copied()));
    let mut broken = Broken::between(&should, &shown.iter().collect::<Vec<_>>());
    for (n, text) in shown.iter().enumerate() {
        if let Some(first) = text.strip_suffix('+')
            && (n == 0 || shown[n - 1] != first)
        {
            broken.join(Broken::new(Kind::Wrong, 1, format!("half a turn: {text}")));
        }
    }
    broken.into_result()
}
