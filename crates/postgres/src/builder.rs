//! Opening a store.

use crate::connection::{Connection, Connector};
use crate::error::{Failure, unavailable};
use crate::shared::Shared;
use crate::sql::Sql;
use crate::store::PostgresStore;
use crate::writer;
use durable_session::env::{Random, SystemRandom};
use durable_session::store::{Durability, Opening, StoreError};
use futures_util::future::join_all;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_postgres::Config;
use tokio_postgres::types::Type;
use xxhash_rust::xxh3::xxh3_64;

/// Configures and opens a [`PostgresStore`].
#[derive(Clone)]
pub struct PostgresStoreBuilder {
    url: String,
    schema: String,
    writers: usize,
    timeout: Duration,
    restored: bool,
}

impl fmt::Debug for PostgresStoreBuilder {
    /// The URL has a password in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStoreBuilder")
            .field("schema", &self.schema)
            .field("writers", &self.writers)
            .field("timeout", &self.timeout)
            .field("restored", &self.restored)
            .finish_non_exhaustive()
    }
}

impl PostgresStoreBuilder {
    pub(crate) fn new(url: String) -> Self {
        Self {
            url,
            schema: "chat".to_owned(),
            writers: 4,
            timeout: Duration::from_secs(30),
            restored: false,
        }
    }

    /// The schema of the tables; `chat` if it is not given. Its name has lower-case letters, digits
    /// and underscores.
    #[must_use]
    pub fn schema(self, schema: impl Into<String>) -> Self {
        Self { schema: schema.into(), ..self }
    }

    /// The connections for changes, at least one; four if it is not given. There are four more for
    /// reads. A connection is made when it is first needed.
    #[must_use]
    pub fn writers(self, writers: usize) -> Self {
        Self { writers: writers.max(1), ..self }
    }

    /// How long the server may take for one statement, or for a connection; 30 seconds if it is not
    /// given. Then the connection is given up. If a change was under way on it, its outcome is
    /// unknown.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Declares that the database is a copy of the files of another one, or goes on from an earlier
    /// state of itself (S12). Give it once, while no other process uses the schema.
    ///
    /// A dump that was read back, a standby that was promoted and a recovery to a point in time are
    /// recognized without it.
    #[must_use]
    pub fn restored(self) -> Self {
        Self { restored: true, ..self }
    }

    /// Connects, makes the tables if they are not there, and starts the thread of the store. Works
    /// under any executor.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`](durable_session::store::StoreErrorKind::Unavailable) if the
    /// URL cannot be read, the server cannot be reached, or the store cannot work there. The text
    /// says why.
    pub async fn open(self) -> Result<PostgresStore, StoreError> {
        let sql = Sql::new(&self.schema)?;
        // The driver's own error could repeat the password.
        let config: Config = self.url.parse().map_err(|_| unavailable("cannot read the URL"))?;
        let opening = Opening::draw(&SystemRandom)
            .map_err(|e| unavailable("could not draw the id of the opening").with_source(e))?;
        let (opened, opening_ends) = oneshot::channel();
        let (ended_sender, ended) = mpsc::channel::<()>();
        let start = move || {
            let _ended = ended_sender;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(e) => {
                    let error = unavailable("could not start a runtime").with_source(e);
                    drop(opened.send(Err(error)));
                    return;
                }
            };
            let handle = runtime.handle().clone();
            runtime.block_on(async move {
                let connector = Connector { config, runtime: handle, timeout: self.timeout };
                let started = start(connector, sql, opening, self.restored).await;
                let (shared, connection) = match started {
                    Ok(started) => started,
                    Err(error) => {
                        drop(opened.send(Err(error)));
                        return;
                    }
                };
                let shared = Arc::new(shared);
                let mut connection = Some(connection);
                let tasks = (0..self.writers)
                    .map(|_| tokio::spawn(writer::run(shared.clone(), connection.take())));
                let tasks: Vec<_> = tasks.collect();
                if opened.send(Ok(shared)).is_err() {
                    // Nobody waits for the store any more.
                    return;
                }
                join_all(tasks).await;
            });
        };
        thread::Builder::new()
            .name("postgres-store".into())
            .spawn(start)
            .map_err(|e| unavailable("could not start a thread").with_source(e))?;
        let shared =
            opening_ends.await.map_err(|_| unavailable("the thread of the store ended"))??;
        Ok(PostgresStore::new(shared, ended))
    }
}

async fn start(
    connector: Connector,
    sql: Sql,
    opening: Opening,
    restored: bool,
) -> Result<(Shared, Connection), StoreError> {
    let mut connection = connector.connect().await?;
    migrate(&mut connection, &sql, restored).await?;
    let durability = connection.durability;
    tracing::info!(
        schema = sql.schema,
        server = connection.server,
        durability = ?durability,
        "the store is open"
    );
    if durability == Durability::Unsynced {
        tracing::warn!("fsync or synchronous_commit is off: a crash loses commits");
    }
    Ok((Shared::new(connector, sql, opening, durability), connection))
}

/// Makes the tables if they are not there. One process does it, and the others wait.
async fn migrate(connection: &mut Connection, sql: &Sql, restored: bool) -> Result<(), StoreError> {
    let why = |failure: Failure| {
        let context = "could not make the tables of the store; a role that may create them in the \
                       schema can run the statements of PostgresStore::migration";
        unavailable(context).with_source(failure.nothing_changed())
    };
    let found = connection.find_history(sql).await.map_err(Failure::nothing_changed)?;
    if found.is_none() {
        let lock = lock_number(sql);
        connection.execute("BEGIN").await.map_err(why)?;
        let locked = "SELECT pg_advisory_xact_lock($1)";
        connection.query(locked, &[(&lock, Type::INT8)]).await.map_err(why)?;
        let there = connection.find_history(sql).await.map_err(why)?;
        if there.is_none() {
            connection.execute(&sql.migration()).await.map_err(why)?;
        }
        connection.execute("COMMIT").await.map_err(why)?;
        connection.find_history(sql).await.map_err(Failure::nothing_changed)?;
    }
    if restored {
        let mut bits = [0; 8];
        SystemRandom
            .fill(&mut bits)
            .map_err(|e| unavailable("could not draw a salt").with_source(e))?;
        let salt = i64::from_le_bytes(bits);
        let statement = format!("UPDATE {}.meta SET salt = $1", sql.schema);
        let set = connection.query(&statement, &[(&salt, Type::INT8)]).await;
        set.map_err(Failure::nothing_changed)?;
        connection.find_history(sql).await.map_err(Failure::nothing_changed)?;
    }
    Ok(())
}

fn lock_number(sql: &Sql) -> i64 {
    let name = format!("durable-session {}", sql.schema);
    i64::from_le_bytes(xxh3_64(name.as_bytes()).to_le_bytes())
}
