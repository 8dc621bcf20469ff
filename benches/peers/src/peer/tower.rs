//! tower-sessions over SQLite: a whole session is a single value, loaded and saved again.

use super::{LONG, SESSIONS, Service, message, sqlite_pool};
use anyhow::{Context, Result};
use std::path::Path;
use time::{Duration, OffsetDateTime};
use tower_sessions_core::SessionStore;
use tower_sessions_core::session::{Id, Record};
use tower_sessions_sqlx_store::SqliteStore;

#[derive(Clone)]
pub(crate) struct Tower {
    store: SqliteStore,
    durability: String,
    ids: Vec<Id>,
}

impl Tower {
    pub(crate) async fn create(path: &Path) -> Result<Self> {
        let (pool, durability) = sqlite_pool(path).await?;
        let store = SqliteStore::new(pool);
        store.migrate().await?;
        let mut tower = Self { store, durability, ids: Vec::new() };
        for n in 0..SESSIONS {
            let id = tower.fresh(if n == 0 { LONG } else { 10 }).await?;
            tower.ids.push(id);
        }
        Ok(tower)
    }

    async fn fresh(&self, messages: usize) -> Result<Id> {
        let message = serde_json::from_str(message().as_json())?;
        let data =
            [("messages".to_owned(), serde_json::Value::Array(vec![message; messages]))].into();
        let expiry_date = OffsetDateTime::now_utc() + Duration::days(1);
        let mut record = Record { id: Id::default(), data, expiry_date };
        self.store.create(&mut record).await?;
        Ok(record.id)
    }
}

impl Service for Tower {
    const NAME: &'static str = "tower-sessions";

    fn durability(&self) -> &str {
        &self.durability
    }

    /// The length stays as it is, so that every round costs the same.
    async fn add(&self, session: usize) -> Result<()> {
        let mut record = self.store.load(&self.ids[session]).await?.context("a session is gone")?;
        let messages = record
            .data
            .get_mut("messages")
            .and_then(|m| m.as_array_mut())
            .context("no messages")?;
        messages.remove(0);
        messages.push(serde_json::from_str(message().as_json())?);
        Ok(self.store.save(&record).await?)
    }

    async fn load(&self) -> Result<usize> {
        let record = self.store.load(&self.ids[0]).await?.context("a session is gone")?;
        Ok(record.data.get("messages").and_then(|m| m.as_array()).context("no messages")?.len())
    }
}
