//! SQLite by hand as an async service uses it: one connection, and each append on a thread of
//! tokio's `spawn_blocking`.

use super::{Service, SqliteByHand};
use anyhow::{Context, Result};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Clone)]
pub(crate) struct SqliteBlocking {
    db: Arc<Mutex<SqliteByHand>>,
    durability: String,
}

impl SqliteBlocking {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        Ok(Self::over(SqliteByHand::create(path)?))
    }

    /// Opens an existing file.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Ok(Self::over(SqliteByHand::open(path)?))
    }

    fn over(db: SqliteByHand) -> Self {
        Self { durability: db.says().to_owned(), db: Arc::new(Mutex::new(db)) }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteByHand) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let db = Arc::clone(&self.db);
        tokio::task::spawn_blocking(move || {
            work(&mut db.lock().unwrap_or_else(PoisonError::into_inner))
        })
        .await?
    }
}

impl Service for SqliteBlocking {
    const NAME: &'static str = "rusqlite-by-spawn-blocking";

    fn durability(&self) -> &str {
        &self.durability
    }

    async fn add(&self, session: usize) -> Result<()> {
        self.blocking(move |db| db.insert(session)).await
    }

    async fn load(&self) -> Result<usize> {
        self.blocking(|db| db.count()).await
    }

    async fn end(self) -> Result<()> {
        let db = Arc::into_inner(self.db).context("the connection is in use")?;
        db.into_inner().unwrap_or_else(PoisonError::into_inner).close()
    }
}
