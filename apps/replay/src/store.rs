//! Opens, closes and reopens the store.

use anyhow::{Context, Result, anyhow};
use durable_session::ChatSessions;
use durable_session_memory::MemoryStore;
use durable_session_postgres::{PostgresStore, PostgresStoreBuilder};
use durable_session_redb::{OpenError, RedbStore};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where the sessions are kept.
#[derive(Debug, Clone)]
pub(crate) enum StoreKind {
    /// The database file of `--db`.
    Redb,
    /// This process's memory.
    Memory,
    /// A database.
    Postgres(PostgresStoreBuilder),
}

impl FromStr for StoreKind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = text.strip_prefix("postgres:").filter(|url| !url.is_empty());
        match (text, url) {
            ("redb", _) => Ok(Self::Redb),
            ("memory", _) => Ok(Self::Memory),
            (_, Some(url)) => {
                let url = if url.starts_with("//") { text } else { url };
                Ok(Self::Postgres(PostgresStore::builder(url)))
            }
            _ => Err("a store is redb, memory or postgres:URL"),
        }
    }
}

/// A store that is open, and the sessions in it.
pub(crate) struct Opened {
    sessions: ChatSessions,
    store: Store,
}

enum Store {
    Redb(RedbStore, PathBuf),
    Memory(MemoryStore),
    Postgres(PostgresStoreBuilder),
}

impl Opened {
    pub(crate) async fn open(kind: &StoreKind, path: &Path) -> Result<Self> {
        match kind {
            StoreKind::Redb => Self::redb(path.to_owned()).await,
            StoreKind::Memory => Ok(Self::memory(MemoryStore::new())),
            StoreKind::Postgres(builder) => Self::postgres(builder.clone()).await,
        }
    }

    pub(crate) fn sessions(&self) -> ChatSessions {
        self.sessions.clone()
    }

    /// Closes and opens again, so that the next reads come from the store and not from memory.
    pub(crate) async fn reopen(self) -> Result<Self> {
        match self.closed().await? {
            Store::Redb(_, path) => Self::redb(path).await,
            Store::Memory(store) => Ok(Self::memory(store)),
            Store::Postgres(builder) => Self::postgres(builder).await,
        }
    }

    pub(crate) async fn close(self) -> Result<()> {
        self.closed().await.map(drop)
    }

    async fn closed(self) -> Result<Store> {
        self.sessions.close().await.context("could not close the sessions")?;
        if let Store::Redb(store, path) = &self.store {
            store.close().await.with_context(|| format!("could not close {}", path.display()))?;
        }
        Ok(self.store)
    }

    async fn redb(path: PathBuf) -> Result<Self> {
        let file = path.clone();
        let store =
            tokio::task::spawn_blocking(move || RedbStore::open(file)).await?.map_err(|error| {
                match error {
                    OpenError::AlreadyOpen { .. } => {
                        anyhow!(
                            "another program has {} open; stop it, or choose another file",
                            path.display()
                        )
                    }
                    other => anyhow!(other).context(format!("could not open {}", path.display())),
                }
            })?;
        Ok(Self {
            sessions: ChatSessions::builder(store.clone()).build(),
            store: Store::Redb(store, path),
        })
    }

    fn memory(store: MemoryStore) -> Self {
        Self { sessions: ChatSessions::builder(store.clone()).build(), store: Store::Memory(store) }
    }

    async fn postgres(builder: PostgresStoreBuilder) -> Result<Self> {
        let opened = builder.clone().open().await;
        let store = opened.context("could not open the store in the database")?;
        Ok(Self { sessions: ChatSessions::builder(store).build(), store: Store::Postgres(builder) })
    }
}
