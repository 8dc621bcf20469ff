//! Calls of many callers on a few sessions: what each is told, and what everybody sees afterwards.

use super::{create, heal, recover};
use crate::campaign::Tally;
use crate::model::{self};
use anyhow::{Context, Result, bail, ensure};
use durable_session::store::StoreErrorKind;
use durable_session::{ChatSession, ChatSessions, Error, Message, SessionId};
use durable_session_redb::RedbDurability;
use fastrand::Rng;
use futures_executor::block_on;
use futures_util::future::join_all;
use std::collections::HashMap;
use torture_disk::Disk;

const ROUNDS: usize = 6;
const CALLERS: usize = 4;

/// What a caller was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Done,
    Not,
    Unknown,
}

pub(super) fn play(disk: &Disk, level: RedbDurability, rng: &mut Rng, tally: &mut Tally) -> Result<()> {
    let Some(store) = create(disk, level, tally)? else { return Ok(()) };
    let sessions: ChatSessions = ChatSessions::builder(store.clone()).build();
    let chats = [sessions.session(SessionId::new("a")?), sessions.session(SessionId::new("b")?)];
    let mut told: [Vec<(String, Told)>; 2] = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for (chat, told) in chats.iter().zip(&mut told) {
            let texts: Vec<String> = (0..CALLERS).map(|n| format!("{round}.{n}.{:x}", rng.u32(..))).collect();
            let calls = texts.iter().map(|text| call(chat, text, text.ends_with(['0', '1', '2', '3'])));
            for (text, result) in texts.iter().zip(block_on(join_all(calls))) {
                let pair = text.ends_with(['0', '1', '2', '3']);
                let answer = answer(&result)?;
                tally.add("calls", 1);
                told.push((text.clone(), answer));
                if pair {
                    told.push((format!("{text}+"), answer));
                }
            }
            // What the instance shows is what is stored: no ghost.
            let state = if let Ok(state) = block_on(chat.get_state()) {
                state
            } else {
                recover(&store, disk)?;
                block_on(chat.get_state()).context("reading on a sound disk")?
            };
            let shown: Vec<String> = texts_of(&state.messages);
            check(&shown, told).with_context(|| format!("session {}, round {round}", chat.id()))?;
            let stored = if let Ok(loaded) = model::load(&store, chat.id()) {
                loaded
            } else {
                recover(&store, disk)?;
                model::load(&store, chat.id())?
            };
            let stored: Vec<String> = stored.map_or_else(Vec::new, |loaded| {
                loaded.tail.iter().map(|row| String::from_utf8_lossy(&row.body).into_owned()).collect()
            });
            let shown: Vec<&str> = state.messages.iter().map(Message::as_json).collect();
            ensure!(shown == stored, "GHOST: shown are {shown:?}, stored {stored:?}");
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

/// Compares what is shown with what callers were told.
fn check(shown: &[String], told: &[(String, Told)]) -> Result<()> {
    let mut times: HashMap<&str, usize> = HashMap::new();
    for text in shown {
        *times.entry(text).or_default() += 1;
    }
    for (text, told) in told {
        let times = times.remove(text.as_str()).unwrap_or(0);
        match told {
            Told::Done => {
                ensure!(times == 1, "LOST or doubled: {text} was acknowledged and is there {times} times");
            }
            Told::Not => ensure!(times == 0, "GHOST: {text} was refused and is there"),
            Told::Unknown => ensure!(times <= 1, "{text} is there {times} times"),
        }
    }
    ensure!(times.is_empty(), "GHOSTS: {times:?}");
    for (n, text) in shown.iter().enumerate() {
        if let Some(first) = text.strip_suffix('+') {
            ensure!(n > 0 && shown[n - 1] == first, "half a turn: {text}");
        }
    }
    Ok(())
}
