//! durable-session over its PostgreSQL store.

use super::peer::Peer;
use crate::peer::{id, message};
use anyhow::{Result, ensure};
use durable_session::store::{Durability, SessionStore};
use durable_session::{ChatSession, ChatSessions, Memory};
use durable_session_postgres::PostgresStore;

pub(super) struct Ours {
    registry: ChatSessions,
    sessions: Vec<ChatSession>,
}

impl Ours {
    pub(super) async fn open(url: &str, schema: &str, sessions: usize) -> Result<Self> {
        let store = PostgresStore::builder(url).schema(schema).open().await?;
        ensure!(store.durability() == Durability::Synced, "the server does not sync");
        let memory = Memory { bytes: 1 << 30, ..Memory::default() };
        let registry: ChatSessions = ChatSessions::builder(store).memory(memory).build();
        let sessions =
            (0..sessions).map(|n| Ok(registry.session(id(n)?))).collect::<Result<_>>()?;
        Ok(Self { registry, sessions })
    }
}

impl Peer for Ours {
    async fn append(&self, session: usize) -> Result<()> {
        self.sessions[session].add_message(message()).await?;
        Ok(())
    }

    async fn close(self) -> Result<()> {
        Ok(self.registry.close().await?)
    }
}
