//! Exploring the schedules of a scenario, and checking the stored messages at its end.

use crate::store::{Slow, Trace};
use durable_session::{ChatSession, ChatSessions, Message, SessionId};
use shuttle::future::block_on;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};
use std::cell::Cell;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};

pub(super) fn id() -> SessionId {
    "s".parse().unwrap()
}

/// Runs a scenario under many random and many adversarial schedules, and prints how many of them
/// were different.
pub(super) fn explore(name: &str, scenario: impl Fn(&Trace) + Send + Sync + 'static) {
    let count: usize =
        std::env::var("INTERLEAVINGS").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000);
    let seen = Arc::new(Mutex::new(HashSet::new()));
    let scenario = Arc::new(scenario);
    for adversarial in [false, true] {
        let mut config = Config::new();
        config.stack_size = 0x40_000;
        let (seen, scenario) = (Arc::clone(&seen), Arc::clone(&scenario));
        let run = move || {
            let trace = Trace::default();
            scenario(&trace);
            seen.lock().unwrap().insert(trace.hash());
        };
        if adversarial {
            Runner::new(PctScheduler::new(3, count), config).run(run);
        } else {
            Runner::new(RandomScheduler::new(count), config).run(run);
        }
    }
    let (distinct, checked) = (seen.lock().unwrap().len(), CHECKED.with(Cell::get));
    println!("interleavings {name}: schedules={} distinct={distinct} checked={checked}", 2 * count);
    assert!(distinct > 10, "the checker sees the driver's own steps");
    assert!(checked > 0, "there is something to check at the end");
}

pub(super) fn add(chat: &ChatSession, trace: &Trace, text: &str) -> Option<u64> {
    let added = block_on(chat.add_message(Message::user(text).with_id(text)));
    let seq = added.ok().map(|added| added.seq);
    trace.note(text, seq.unwrap_or(0));
    seq
}

pub(super) fn stored(store: &Slow) -> Vec<String> {
    let sessions =
        ChatSessions::<durable_session::JsonObject>::builder(store.inner.clone()).build();
    let state = block_on(sessions.session(id()).get_state()).unwrap();
    altered(state.messages.iter().map(|m| m.text().unwrap().into_owned()).collect())
}

/// The stored texts, altered if `INTERLEAVINGS_ALTER` asks for it: shows that the checks see it.
fn altered(mut texts: Vec<String>) -> Vec<String> {
    let at = texts.len().saturating_sub(2);
    match std::env::var("INTERLEAVINGS_ALTER").as_deref() {
        Ok("lost") => drop(texts.pop()),
        Ok("doubled") => texts.extend(texts.last().cloned()),
        Ok("reordered") => texts[at..].reverse(),
        Ok("ghosts") => texts.push("altered".to_owned()),
        _ => {}
    }
    texts
}

std::thread_local! {
    /// How many messages the checks of this test have compared.
    static CHECKED: Cell<u64> = const { Cell::new(0) };
}

/// So many more messages were compared.
pub(super) fn compared(messages: u64) {
    CHECKED.with(|checked| checked.set(checked.get() + messages));
}

/// Each text of `acknowledged` is stored once, at its seq, and nothing is stored twice.
/// `cargo xtask torture` reads the counts behind `BROKEN` and `checked=`.
pub(super) fn check(store: &Slow, acknowledged: &[(String, u64)]) {
    let texts = stored(store);
    let (mut lost, mut reordered) = (0, 0);
    for (text, seq) in acknowledged {
        let at = texts.iter().position(|t| t == text);
        lost += u64::from(at.is_none());
        reordered += u64::from(at.is_some_and(|at| at as u64 + 1 != *seq));
    }
    let doubled = texts.len() - texts.iter().collect::<HashSet<_>>().len();
    let told = format!(
        "lost={lost} doubled={doubled} reordered={reordered}: {texts:?}, not {acknowledged:?}"
    );
    assert!(lost == 0 && doubled == 0 && reordered == 0, "BROKEN {told}");
    CHECKED.with(|checked| checked.set(checked.get() + texts.len() as u64));
}
