//! Entry 0: a message that is durable and that nobody can read, because its caller went away.

mod handler;
mod slow;

use crate::report::Report;
use anyhow::{Context, Result};
use durable_session::store::{LoadQuery, SessionList, SessionStore, TailBounds};
use durable_session::{
    ChatSession, ChatSessions, JsonObject, Message, MessageQuery, SessionId, Watched,
};
use durable_session_memory::MemoryStore;
use durable_session_redb::RedbStore;
use slow::Slow;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

const SYNC: Duration = Duration::from_millis(20);

/// How a session is read after a caller has gone away.
#[derive(Debug, Clone, Copy)]
enum Reading {
    Snapshot,
    Messages,
    State,
    StateJson,
    NewHandle,
    /// A watcher that was there before the message.
    Watcher,
    Touch,
    Sweep,
}

const READINGS: [Reading; 8] = [
    Reading::Snapshot,
    Reading::Messages,
    Reading::State,
    Reading::StateJson,
    Reading::NewHandle,
    Reading::Watcher,
    Reading::Touch,
    Reading::Sweep,
];

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Snapshot => "snapshot",
            Self::Messages => "messages",
            Self::State => "get_state",
            Self::StateJson => "get_state_json",
            Self::NewHandle => "a new handle",
            Self::Watcher => "a watcher",
            Self::Touch => "snapshot after touch",
            Self::Sweep => "snapshot after sweep",
        })
    }
}

/// The sessions of one process and the store below them.
struct Registry {
    name: &'static str,
    slow: bool,
    sessions: ChatSessions,
    store: Arc<dyn SessionStore>,
    list: Arc<dyn SessionList>,
}

impl Registry {
    fn new<S: SessionStore + SessionList + 'static>(
        name: &'static str,
        slow: bool,
        store: S,
    ) -> Self {
        let store = Arc::new(store);
        let sessions = ChatSessions::<JsonObject>::builder(Arc::clone(&store))
            .greeting(Message::assistant("Hi!"))
            .build();
        Self { name, slow, sessions, list: store.clone(), store }
    }

    /// How many messages are durable; 0 if the session is not there.
    async fn durable(&self, id: &SessionId) -> Result<u64> {
        let loaded = self.store.load(id, LoadQuery::new(TailBounds::new(1, 1))).await?.loaded();
        Ok(loaded.map_or(0, |loaded| loaded.head.messages))
    }

    /// How many messages a reader sees.
    async fn seen(&self, chat: &ChatSession, reading: Reading) -> Result<u64> {
        Ok(match reading {
            Reading::Snapshot => chat.snapshot().await?.message_count(),
            Reading::Messages => {
                chat.messages(MessageQuery::last(100)).await?.messages.len() as u64
            }
            Reading::State => chat.get_state().await?.messages.len() as u64,
            Reading::StateJson => {
                let state: serde_json::Value =
                    serde_json::from_str(&chat.get_state_json().await?.1)?;
                state["messages"].as_array().context("a state without messages")?.len() as u64
            }
            Reading::NewHandle => {
                self.sessions.session(chat.id().clone()).snapshot().await?.message_count()
            }
            Reading::Touch => {
                chat.touch().await?;
                chat.snapshot().await?.message_count()
            }
            Reading::Sweep => {
                self.sessions.sweep(&*self.list).await?;
                chat.snapshot().await?.message_count()
            }
            Reading::Watcher => anyhow::bail!("a watcher is not asked, it is told"),
        })
    }
}

pub(crate) async fn play(report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let redb = RedbStore::open(folder.path().join("unseen.redb"))?;
    for registry in [
        Registry::new("memory, 20 ms a commit", true, Slow::new(MemoryStore::new(), SYNC)),
        Registry::new("redb", false, redb.clone()),
        Registry::new("redb, 20 ms a commit", true, Slow::new(redb.clone(), SYNC)),
    ] {
        for known in [false, true] {
            for reading in READINGS {
                polled_once(report, &registry, reading, known).await?;
            }
        }
        // Only a slow commit is still under way when a client has gone.
        if registry.slow {
            handler::play(report, registry).await?;
        }
    }
    redb.close().await?;
    Ok(())
}

/// Polls `add_message` once, drops it, waits, and reads.
async fn polled_once(
    report: &mut Report,
    registry: &Registry,
    reading: Reading,
    known: bool,
) -> Result<()> {
    let chat = registry.sessions.session(SessionId::generate()?);
    if known {
        chat.add_message(Message::user("before")).await?;
    }
    // Loaded, so that the first poll of the call gets as far as the store.
    chat.snapshot().await?;
    let mut watcher = matches!(reading, Reading::Watcher).then(|| chat.watch());
    {
        let mut call = pin!(chat.add_message(Message::user("I want help with python")));
        poll_fn(|cx| {
            let _ = call.as_mut().poll(cx);
            Poll::Ready(())
        })
        .await;
    }
    // Long enough for a commit; on a busy machine that may be a while.
    let expected = if known { 3 } else { 2 };
    let mut durable = 0;
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        durable = registry.durable(chat.id()).await?;
        if durable == expected {
            break;
        }
    }
    let session = if known { "a session in use" } else { "a new session" };
    let name = format!("{reading} ({}, {session})", registry.name);
    if durable != expected {
        // Not this fault: the first poll did not reach the store, and nothing may be seen then.
        let seen = if watcher.is_some() { durable } else { registry.seen(&chat, reading).await? };
        let text =
            format!("not accepted by the store on the first poll: store {durable}, read {seen}");
        report.say("0", name, seen <= 1 + 2 * u64::from(known), text);
        return Ok(());
    }
    let seen = match &mut watcher {
        Some(watcher) => match tokio::time::timeout(Duration::from_secs(2), watcher.next()).await {
            Ok(Watched::Changed(_)) => chat.snapshot().await?.message_count(),
            Ok(other) => {
                report.say("0", name, false, format!("store {durable}, watcher told {other:?}"));
                return Ok(());
            }
            Err(_) => {
                report.say(
                    "0",
                    name,
                    false,
                    format!("store {durable}, watcher told nothing for 2 s"),
                );
                return Ok(());
            }
        },
        None => registry.seen(&chat, reading).await?,
    };
    report.say("0", name, seen == durable, format!("store {durable}, read {seen}"));
    Ok(())
}
