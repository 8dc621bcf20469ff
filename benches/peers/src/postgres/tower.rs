//! tower-sessions over PostgreSQL: a whole session is a single value, loaded and saved again.

use super::peer::Peer;
use super::sqlx_pool::pool;
use crate::peer::message;
use anyhow::{Context, Result, anyhow};
use sqlx::postgres::PgPool;
use time::{Duration, OffsetDateTime};
use tower_sessions_core::SessionStore;
use tower_sessions_core::session::{Id, Record};
use tower_sessions_sqlx_store::PostgresStore;

/// The messages that a session keeps: an append takes the oldest out, so that every append costs
/// the same.
const KEPT: usize = 10;

pub(super) struct Tower {
    pool: PgPool,
    store: PostgresStore,
    ids: Vec<Id>,
}

impl Tower {
    pub(super) async fn open(url: &str, schema: &str, sessions: usize) -> Result<Self> {
        let pool = pool(url).await?;
        let store = PostgresStore::new(pool.clone());
        let store = store.with_schema_name(schema).map_err(|e| anyhow!(e))?;
        store.migrate().await?;
        let ids = (0..sessions).map(|n| Ok(Id(i128::try_from(n)?))).collect::<Result<_>>()?;
        Ok(Self { pool, store, ids })
    }
}

impl Peer for Tower {
    async fn append(&self, session: usize) -> Result<()> {
        let mut record = self.store.load(&self.ids[session]).await?.context("a session is gone")?;
        let messages = record
            .data
            .get_mut("messages")
            .and_then(|messages| messages.as_array_mut())
            .context("no messages")?;
        messages.remove(0);
        messages.push(serde_json::from_str(message().as_json())?);
        Ok(self.store.save(&record).await?)
    }

    async fn fill(&self, session: usize) -> Result<()> {
        let message: serde_json::Value = serde_json::from_str(message().as_json())?;
        let messages = serde_json::Value::Array(vec![message; KEPT]);
        let data = [("messages".to_owned(), messages)].into();
        let expiry_date = OffsetDateTime::now_utc() + Duration::days(1);
        Ok(self.store.save(&Record { id: self.ids[session], data, expiry_date }).await?)
    }

    async fn close(self) -> Result<()> {
        self.pool.close().await;
        Ok(())
    }
}
