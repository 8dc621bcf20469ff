//! One hot path over and over, for a profiler: callgrind, perf or strace.
//!
//! `profile PATH ROUNDS [SESSIONS] [FOLDER]` prints the median time of one call and the counters of
//! the store. `lone` and `together` add messages of 400 bytes, alone or in 64 calls at
//! once from one thread; `tasks` has 64 tasks of tokio's do so each on its own; `by-hand` and
//! `by-hand-64` are the same in redb by hand; `tail` loads the last 50 messages of a session that
//! is not in memory, `scan` reads them by hand; `window` and `whole` make the JSON of 1,000
//! messages, from memory and from the store; `hand-off` gives another thread nothing to do and
//! waits for it, and `json-by-hand` has it make the JSON of the same messages from a table of redb.
//!
//! `valgrind --tool=callgrind --toggle-collect='*measured*' target/release/profile lone 2000`
//! counts instructions.

use anyhow::{Context, Result, bail};
use benches::{id, median, message};
use durable_session::{ChatSession, ChatSessions, Window};
use durable_session_redb::RedbStore;
use futures_executor::block_on;
use futures_util::future::try_join_all;
use std::hint::black_box;
use std::sync::{Arc, mpsc};
use std::time::Instant;
use tempfile::TempDir;
use testkit::ByHand;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().context("name the path to run")?;
    let rounds: usize = arguments.next().context("say how often")?.parse()?;
    let sessions = arguments.next().map_or(Ok(20_000), |sessions| sessions.parse())?;
    let folder = TempDir::new_in(arguments.next().unwrap_or_else(|| "/dev/shm".into()))?;
    let store = RedbStore::open(folder.path().join("store.redb"))?;
    let mut by_hand = ByHand::create(&folder.path().join("by-hand.redb"), sessions)?;
    let body = message().as_json().as_bytes().to_vec();
    let sessions = match &*what {
        "lone" | "together" | "together-256" | "tasks" | "by-hand" | "by-hand-64" => sessions,
        _ => 1,
    };
    let filling = sessions_of(&store, sessions, 64)?;
    let all: Vec<usize> = (0..sessions).collect();
    for some in all.chunks(500) {
        by_hand.append(some, &body)?;
        block_on(try_join_all(some.iter().map(|&n| filling[n].add_message(message()))))?;
    }
    if sessions == 1 {
        by_hand.append(&vec![0; 999], &body)?;
        block_on(filling[0].add_messages(vec![message(); 999]))?;
    }
    let place = |n: usize| n * 7919 % sessions;
    let before = store.stats();
    let (each, calls) = match &*what {
        "lone" => {
            (measured(rounds, |n| Ok(block_on(filling[place(n)].add_message(message()))?)), 1)
        }
        "together" => (
            measured(rounds, |n| {
                let calls = (0..64).map(|m| filling[place(n * 64 + m)].add_message(message()));
                Ok(block_on(try_join_all(calls))?)
            }),
            64,
        ),
        "together-256" => (
            measured(rounds, |n| {
                let calls = (0..256).map(|m| filling[place(n * 256 + m)].add_message(message()));
                Ok(block_on(try_join_all(calls))?)
            }),
            256,
        ),
        "tasks" => (tasks(&filling, rounds), 64),
        "by-hand" => (measured(rounds, |n| by_hand.append(&[place(n)], &body)), 1),
        "by-hand-64" => (
            measured(rounds, |n| {
                by_hand.append(&(0..64).map(|m| place(n * 64 + m)).collect::<Vec<_>>(), &body)
            }),
            64,
        ),
        "tail" => (on_cold(&store, rounds, 50, |cold| Ok(block_on(cold.snapshot())?)), 1),
        "scan" => (measured(rounds, |_| by_hand.scan(0, 50)), 1),
        "window" => {
            let inside = cold(&store, 1_000)?;
            block_on(inside.snapshot())?;
            (measured(rounds, |_| Ok(block_on(inside.get_state_json())?)), 1)
        }
        "whole" => (on_cold(&store, rounds, 1, |cold| Ok(block_on(cold.get_state_json())?)), 1),
        "scan-1000" => (measured(rounds, |_| by_hand.scan_with_checksums(0, 1_000)), 1),
        "json-by-hand" => (elsewhere(rounds, |_| by_hand.list_json(0)), 1),
        "hand-off" => (elsewhere(rounds, Ok), 1),
        other => bail!("there is no {other}"),
    };
    let after = store.stats();
    println!(
        "{what} {:.2} µs a call; {} calls in {} batches",
        each? / f64::from(calls),
        after.changes - before.changes,
        after.batches - before.batches,
    );
    Ok(())
}

fn sessions_of(store: &RedbStore, count: usize, window: usize) -> Result<Vec<ChatSession>> {
    let window = Window { messages: window, bytes: 4 << 20 };
    let registry: ChatSessions = ChatSessions::builder(store.clone()).window(window).build();
    (0..count).map(|n| Ok(registry.session(id(n)?))).collect()
}

/// A handle with nothing in memory yet.
fn cold(store: &RedbStore, window: usize) -> Result<ChatSession> {
    sessions_of(store, 1, window)?.pop().context("no session")
}

/// The median of so many rounds, µs, without the time to drop their results.
#[inline(never)]
fn measured<T>(rounds: usize, mut work: impl FnMut(usize) -> Result<T>) -> Result<f64> {
    let mut samples = Vec::with_capacity(rounds);
    for n in 0..rounds {
        let began = Instant::now();
        let made = black_box(work(n)?);
        samples.push(began.elapsed().as_secs_f64() * 1e6);
        drop(made);
    }
    Ok(median(&mut samples))
}

/// The median of so many rounds on a handle that has nothing in memory yet, µs.
#[inline(never)]
fn on_cold<T>(
    store: &RedbStore,
    rounds: usize,
    window: usize,
    mut work: impl FnMut(&ChatSession) -> Result<T>,
) -> Result<f64> {
    let mut samples = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let cold = cold(store, window)?;
        let began = Instant::now();
        let made = black_box(work(&cold)?);
        samples.push(began.elapsed().as_secs_f64() * 1e6);
        drop(made);
    }
    Ok(median(&mut samples))
}

/// The cost of work on another thread: two changes of thread more.
fn elsewhere<T: Send>(rounds: usize, work: impl Fn(usize) -> Result<T> + Send) -> Result<f64> {
    let (ask, asked) = mpsc::channel::<usize>();
    let (answer, answered) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || asked.iter().try_for_each(|n| answer.send(work(n))));
        let each = measured(rounds, |n| {
            ask.send(n)?;
            answered.recv()?
        });
        drop(ask);
        each
    })
}

/// The mean of so many rounds of 64 tasks that do not wait for each other, µs.
fn tasks(sessions: &[ChatSession], rounds: usize) -> Result<f64> {
    let runtime = tokio::runtime::Runtime::new()?;
    let sessions: Arc<[ChatSession]> = sessions.into();
    let began = Instant::now();
    let tasks: Vec<_> = (0..64)
        .map(|task| {
            let sessions = Arc::clone(&sessions);
            runtime.spawn(async move {
                for n in 0..rounds {
                    sessions[(n * 64 + task) * 7919 % sessions.len()]
                        .add_message(message())
                        .await?;
                }
                Ok::<(), durable_session::Error>(())
            })
        })
        .collect();
    for task in tasks {
        runtime.block_on(task)??;
    }
    Ok(began.elapsed().as_secs_f64() * 1e6 / f64::from(u32::try_from(rounds)?))
}
