//! durable-session over its redb store.

use super::{LONG, SESSIONS, Service, message};
use anyhow::{Result, ensure};
use durable_session::store::{Durability, SessionStore};
use durable_session::{ChatSession, ChatSessions, Memory, SessionId};
use durable_session_redb::RedbStore;
use futures_util::future::try_join_all;
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Runtime;

#[derive(Clone)]
pub(crate) struct Ours {
    store: RedbStore,
    hub: ChatSessions,
    sessions: Arc<[ChatSession]>,
}

impl Ours {
    pub(crate) fn create(runtime: &Runtime, path: &Path) -> Result<Self> {
        let ours = Self::empty(path, SESSIONS, Memory::default().bytes)?;
        runtime.block_on(try_join_all(ours.sessions.iter().map(|s| s.add_messages(vec![message(); 10]))))?;
        for _ in 0..LONG / 1_000 {
            runtime.block_on(ours.sessions[0].add_messages(vec![message(); 1_000]))?;
        }
        Ok(ours)
    }

    /// So many sessions with no messages yet, and so many bytes of memory for those that are live.
    pub(crate) fn empty(path: &Path, sessions: usize, memory: u64) -> Result<Self> {
        let memory = Memory { bytes: memory, ..Memory::default() };
        let store = RedbStore::open(path)?;
        ensure!(store.durability() == Durability::Synced, "the redb store does not sync");
        let hub: ChatSessions = ChatSessions::builder(store.clone()).memory(memory).build();
        let sessions = (0..sessions).map(|n| Ok(hub.session(id(n)?))).collect::<Result<_>>()?;
        Ok(Self { store, hub, sessions })
    }

    /// How often a session was loaded so far: each time that one is used whose messages memory has no room for.
    pub(crate) fn loads(&self) -> u64 {
        self.hub.stats().loads
    }

    pub(crate) fn sessions(&self) -> Arc<[ChatSession]> {
        Arc::clone(&self.sessions)
    }
}

fn id(n: usize) -> Result<SessionId> {
    Ok(SessionId::new(format!("session-{n}"))?)
}

impl Service for Ours {
    const NAME: &'static str = "durable-session";

    fn durability(&self) -> &'static str {
        "synced (Durability::Synced)"
    }

    async fn add(&self, session: usize) -> Result<()> {
        self.sessions[session].add_message(message()).await?;
        Ok(())
    }

    async fn load(&self) -> Result<usize> {
        // Another hub has nothing in memory yet.
        let hub: ChatSessions = ChatSessions::builder(self.store.clone()).build();
        Ok(hub.session(id(0)?).get_state().await?.messages.len())
    }
}
