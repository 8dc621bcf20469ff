//! Campaign 6: concurrent clients note when they asked, and the answers; a checker looks for an
//! order of all calls that explains them.

mod checker;
mod client;
mod process;
pub(crate) mod replicas;

use crate::campaign::{Plan, Tally};
use crate::seeded::options;
use crate::verdict::{Broken, Kind, hold};
use anyhow::{Result, anyhow};
use checker::{Answer, Call, Event, linearizable};
use client::Client;
use durable_session::store::SessionStore;
use durable_session::{ChatSessions, Memory, SessionId};
use durable_session_http::Api;
use durable_session_memory::MemoryStore;
use fastrand::Rng;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use testkit::Database;
use testkit::disk::Disk;

pub(crate) use process::serve;

pub(crate) const NAME: &str = "histories";

const CLIENTS: usize = 4;
const CALLS: u32 = 6;
/// A client's values begin at its number times this.
const CLIENT: u32 = 100;

pub(crate) fn run(plan: &Plan) -> Tally {
    plan.cases(NAME, Kind::OF_MESSAGES, 400, |case, rng, tally| {
        if case % 5 == 4 {
            return shared(rng, tally);
        }
        let (what, store): (_, Arc<dyn SessionStore>) = if case % 2 == 0 {
            ("memory", Arc::new(MemoryStore::new()))
        } else {
            let disk = Disk::default();
            ("redb", Arc::new(options(rng).open_backend(disk.backend(), disk.log())?))
        };
        tally.add(what, 1);
        match case / 2 % 4 {
            0 | 1 => one_registry(&store, false, rng, tally),
            2 => one_registry(&store, true, rng, tally),
            _ => two_registries(&store, rng, tally),
        }
    })
}

fn registry(store: &Arc<dyn SessionStore>, rng: &mut Rng) -> ChatSessions {
    // Sometimes hardly anything stays in memory, so that sessions are dropped and loaded between
    // calls.
    let bytes = if rng.bool() { 0 } else { 1 << 20 };
    let memory = Memory { bytes, idle: Duration::from_mins(10) };
    ChatSessions::builder(Arc::clone(store)).memory(memory).attempts(1000).build()
}

/// Under one session registry, directly or through HTTP, every history is linearizable.
fn one_registry(
    store: &Arc<dyn SessionStore>,
    http: bool,
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<()> {
    let sessions = registry(store, rng);
    let client = if http {
        tally.add("http", 1);
        Client::Http(Api::builder(sessions).build()?)
    } else {
        Client::Direct(sessions)
    };
    one_order(&shared_id()?, &vec![client; CLIENTS], !http, rng, tally)
}

/// Under two session registries that share a store, as two processes do, every history is
/// linearizable, too: each read asks the store.
fn shared(rng: &mut Rng, tally: &mut Tally) -> Result<()> {
    tally.add("shared", 1);
    let database = Database::new();
    let registries = [(); 2].map(|()| {
        let replica = database.replica();
        replica.answer_late(rng.bool());
        let store: Arc<dyn SessionStore> = Arc::new(replica);
        Client::Direct(registry(&store, rng))
    });
    let clients: Vec<Client> = (0..CLIENTS).map(|n| registries[n % 2].clone()).collect();
    one_order(&shared_id()?, &clients, true, rng, tally)
}

fn shared_id() -> Result<SessionId> {
    Ok(SessionId::new("shared")?)
}

/// There is an order of all calls that explains all answers.
fn one_order(
    id: &SessionId,
    clients: &[Client],
    pops: bool,
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<()> {
    let histories = play(id, clients, pops, rng)?;
    let mut history: Vec<Event> = histories.into_iter().flatten().collect();
    let content = at_the_end(id, &clients[0], tally)?;
    let after = history.iter().map(|event| event.answered).max().unwrap_or(0) + 1;
    history.push(Event {
        call: Call::Read,
        answer: Answer::Content(content.clone()),
        invoked: after,
        answered: after + 1,
    });
    if tally.alters(Kind::Wrong)
        && let Some(Answer::Content(shown)) =
            history.iter_mut().map(|event| &mut event.answer).find(is_content)
    {
        shown.push(1_000_000);
    }
    tally.add("calls", history.len() as u64);
    tally.checked(history.len());
    explained(&content, &history.iter().collect::<Vec<_>>())?;
    if linearizable(&history) {
        return Ok(());
    }
    // If the calls make sense without it, it is the end that has another order.
    let end = history.pop();
    let kind = if linearizable(&history) { Kind::Reordered } else { Kind::Wrong };
    Err(Broken::new(kind, 1, format!("not linearizable: {history:#?}, in the end {end:?}")).into())
}

fn is_content(answer: &&mut Answer) -> bool {
    matches!(answer, Answer::Content(_))
}

/// The content that everybody sees once all calls are done.
fn at_the_end(id: &SessionId, client: &Client, tally: &Tally) -> Result<Vec<u32>> {
    match client.call(id, &Call::Read)? {
        Answer::Content(mut content) => {
            tally.sees(&mut content, |last| last + 1_000_000);
            Ok(content)
        }
        other => Err(anyhow!("a read was answered with {other:?}")),
    }
}

/// Whether the content at the end follows from the calls: the messages that were added and not
/// popped, each client's in its order.
fn explained(content: &[u32], events: &[&Event]) -> Result<(), Broken> {
    let popped: HashSet<u32> = events
        .iter()
        .filter_map(|event| if let Answer::Popped(popped) = event.answer { popped } else { None })
        .collect();
    let mut should: Vec<u32> = events
        .iter()
        .filter_map(|event| if let Call::Add(value) = event.call { Some(value) } else { None })
        .filter(|value| !popped.contains(value))
        .collect();
    // Calls of several clients may be in any order: each client's are compared by themselves.
    should.sort_unstable();
    let mut is = content.to_vec();
    is.sort_by_key(|value| value / CLIENT);
    Broken::between(&should, &is).into_result()
}

/// Under two session registries nothing is lost, and no registry goes back to an earlier state.
fn two_registries(store: &Arc<dyn SessionStore>, rng: &mut Rng, tally: &mut Tally) -> Result<()> {
    tally.add("two_registries", 1);
    let registries = [Client::Direct(registry(store, rng)), Client::Direct(registry(store, rng))];
    let clients: Vec<Client> = (0..CLIENTS).map(|n| registries[n % 2].clone()).collect();
    let id = shared_id()?;
    let histories = play(&id, &clients, false, rng)?;
    for registry in 0..2 {
        let mut events: Vec<&Event> =
            histories.iter().skip(registry).step_by(2).flatten().collect();
        events.sort_by_key(|event| event.invoked);
        tally.add("calls", events.len() as u64);
        tally.checked(events.len());
        for (n, later) in events.iter().enumerate() {
            for earlier in events[..n].iter().filter(|earlier| earlier.answered < later.invoked) {
                goes_on(earlier, later)?;
            }
        }
    }
    let content = at_the_end(&id, &Client::Direct(registry(store, rng)), tally)?;
    tally.checked(1 + content.len());
    explained(&content, &histories.iter().flatten().collect::<Vec<_>>())?;
    for event in histories.iter().flatten() {
        if let Answer::Content(shown) = &event.answer {
            hold!(
                content.starts_with(shown),
                Reordered,
                "shown was {shown:?}, in the end {content:?}"
            );
        }
    }
    Ok(())
}

/// The `later` answer of a session registry has all that its `earlier` answer had.
fn goes_on(earlier: &Event, later: &Event) -> Result<()> {
    let Answer::Content(shown) = &later.answer else { return Ok(()) };
    match (&earlier.call, &earlier.answer) {
        (Call::Add(value), _) => {
            hold!(
                shown.contains(value),
                Lost,
                "a registry does not show its own message: {value} in {shown:?}"
            );
        }
        (_, Answer::Content(before)) => {
            hold!(
                shown.starts_with(before),
                Wrong,
                "a registry goes back from {before:?} to {shown:?}"
            );
        }
        _ => {}
    }
    Ok(())
}

/// All clients at once; returns the events of each.
fn play(id: &SessionId, clients: &[Client], pops: bool, rng: &mut Rng) -> Result<Vec<Vec<Event>>> {
    let clock = AtomicU64::new(0);
    let mut seen = Vec::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0u32..)
            .zip(clients)
            .map(|(n, client)| {
                let (clock, mut rng) = (&clock, rng.fork());
                scope.spawn(move || -> Result<Vec<Event>> {
                    let mut events = Vec::new();
                    for turn in 0..CALLS {
                        let call = match rng.u8(0..8) {
                            0 if pops => Call::Pop,
                            0..4 => Call::Read,
                            _ => Call::Add(n * CLIENT + turn),
                        };
                        let invoked = clock.fetch_add(1, Ordering::SeqCst);
                        let answer = client.call(id, &call)?;
                        let answered = clock.fetch_add(1, Ordering::SeqCst);
                        events.push(Event { call, answer, invoked, answered });
                    }
                    Ok(events)
                })
            })
            .collect();
        seen.extend(threads.into_iter().map(std::thread::ScopedJoinHandle::join));
    });
    seen.into_iter().map(|events| events.map_err(|_| anyhow!("a client panicked"))?).collect()
}
