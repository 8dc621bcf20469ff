//! One call of a session over and over on the memory store, for callgrind.
//!
//! `instructions CALL ROUNDS` makes ROUNDS calls on 64 sessions of 100 messages of 400 bytes.
//! `append` adds a message, `turn` adds one and sets the app state, `snapshot` reads a session that
//! is in memory, `load` one that is not, and `page` reads 20 messages from the store.
//!
//! `valgrind --tool=callgrind --toggle-collect='*measured*'` in front of it counts the instructions
//! of all rounds. The counts do not depend on the load of the machine, so builds can be compared by
//! them.

use anyhow::{Context, Result, bail};
use benches::{id, message};
use durable_session::{ChatSession, ChatSessions, Error, MessageQuery};
use durable_session_memory::MemoryStore;
use futures_executor::block_on;
use std::hint::black_box;

const SESSIONS: usize = 64;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let call = arguments.next().context("name the call")?;
    let rounds: usize = arguments.next().context("say how often")?.parse()?;
    let store = MemoryStore::new();
    let count = if call == "load" { rounds } else { SESSIONS };
    let live = sessions(&store, count)?;
    for session in &live {
        block_on(session.add_messages(vec![message(); 100]))?;
    }
    let messages = vec![message(); rounds];
    match &*call {
        "append" => measured(rounds, |n| {
            block_on(live[n % SESSIONS].add_message(messages[n].clone())).map(drop)
        })?,
        "turn" => measured(rounds, |n| {
            block_on(live[n % SESSIONS].turn(|draft| {
                draft.add_message(messages[n].clone())?;
                draft.app_mut()?.set("step", &n).map_err(Error::rejected)
            }))
        })?,
        "snapshot" => measured(rounds, |n| {
            block_on(live[n % SESSIONS].snapshot()).map(|snapshot| drop(black_box(snapshot)))
        })?,
        "load" => {
            let cold = sessions(&store, count)?;
            measured(rounds, |n| {
                block_on(cold[n].snapshot()).map(|snapshot| drop(black_box(snapshot)))
            })?;
        }
        "page" => measured(rounds, |n| {
            let page = live[n % SESSIONS].messages(MessageQuery::before(30, 20));
            block_on(page).map(|page| drop(black_box(page)))
        })?,
        other => bail!("there is no {other}"),
    }
    Ok(())
}

/// Handles with nothing in memory yet.
fn sessions(store: &MemoryStore, count: usize) -> Result<Vec<ChatSession>> {
    let registry: ChatSessions = ChatSessions::builder(store.clone()).build();
    (0..count).map(|n| Ok(registry.session(id(n)?))).collect()
}

#[inline(never)]
fn measured(rounds: usize, mut call: impl FnMut(usize) -> Result<(), Error>) -> Result<(), Error> {
    (0..rounds).try_for_each(&mut call)
}
