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
    registry: ChatSessions,
    sessions: Arc<[ChatSession]>,
}

impl Ours {
    pub(crate) fn create(runtime: &Runtime, path: &Path) -> Result<Self> {
        let ours = Self::open(path, SESSIONS, Memory::default().bytes)?;
        runtime.block_on(try_join_all(
            ours.sessions.iter().map(|s| s.add_messages(vec![message(); 10])),
        ))?;
        for _ in 0..LONG / 1_000 {
            runtime.block_on(ours.sessions[0].add_messages(vec![message(); 1_000]))?;
        }
        Ok(ours)
    }

    /// Opens the file, or creates it. `sessions` is the number of handles, and `memory` the bytes
    /// for sessions in use.
    pub(crate) fn open(path: &Path, sessions: usize, memory: u64) -> Result<Self> {
        Self::over(RedbStore::open(path)?, sessions, memory)
    }

    fn over(store: RedbStore, sessions: usize, bytes: u64) -> Result<Self> {
        ensure!(store.durability() == Durability::Synced, "the redb store does not sync");
        let registry: ChatSessions = ChatSessions::builder(store.clone())
            .memory(Memory { bytes, ..Memory::default() })
            .build();
        let sessions =
            (0..sessions).map(|n| Ok(registry.session(id(n)?))).collect::<Result<_>>()?;
        Ok(Self { store, registry, sessions })
    }

    /// The number of loads so far. A session is loaded if it is used and is not in memory.
    pub(crate) fn loads(&self) -> u64 {
        self.registry.stats().loads
    }

    pub(crate) fn session(&self, n: usize) -> Result<ChatSession> {
        Ok(self.registry.session(id(n)?))
    }

    pub(crate) fn sessions(&self) -> Arc<[ChatSession]> {
        Arc::clone(&self.sessions)
    }
}

pub(crate) fn id(n: usize) -> Result<SessionId> {
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
        // Another registry has nothing in memory yet.
        let registry: ChatSessions = ChatSessions::builder(self.store.clone()).build();
        Ok(registry.session(id(0)?).get_state().await?.messages.len())
    }

    async fn warm(&self, session: usize) -> Result<()> {
        self.sessions[session].snapshot().await?;
        Ok(())
    }

    async fn end(self) -> Result<()> {
        Ok(self.store.close().await?)
    }
}
