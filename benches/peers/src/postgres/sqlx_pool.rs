//! sqlx by hand: an `INSERT` for each append, on its pool.

use super::peer::{CONNECTIONS, Peer, insert, table};
use crate::peer::message;
use anyhow::Result;
use sqlx::postgres::{PgPool, PgPoolOptions};

pub(super) struct SqlxPool {
    pool: PgPool,
    insert: String,
}

impl SqlxPool {
    pub(super) async fn open(url: &str, schema: &str) -> Result<Self> {
        let pool = pool(url).await?;
        for statement in table(schema).split(';') {
            sqlx::query(statement).execute(&pool).await?;
        }
        Ok(Self { pool, insert: insert(schema) })
    }
}

pub(super) async fn pool(url: &str) -> Result<PgPool> {
    let connections = u32::try_from(CONNECTIONS)?;
    Ok(PgPoolOptions::new().max_connections(connections).connect(url).await?)
}

impl Peer for SqlxPool {
    async fn append(&self, session: usize) -> Result<()> {
        let message = message();
        sqlx::query(&self.insert)
            .bind(format!("session-{session}"))
            .bind(message.as_json().as_bytes())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    async fn close(self) -> Result<()> {
        self.pool.close().await;
        Ok(())
    }
}
