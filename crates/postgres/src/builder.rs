//! Opening a store.

use crate::connection::{Connection, Connector};
use crate::error::{Failure, unavailable};
use crate::shared::Shared;
use crate::sql::Sql;
use crate::store::PostgresStore;
use crate::tls::Tls;
use crate::url::Url;
use crate::{hints, writer};
use durable_session::env::{Random, SystemRandom};
use durable_session::store::{Durability, Opening, StoreError};
use futures_util::future::join_all;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;
use tokio_postgres::types::Type;
use xxhash_rust::xxh3::xxh3_64;

/// Configures and opens a [`PostgresStore`].
#[derive(Clone)]
pub struct PostgresStoreBuilder {
    url: String,
    listen_url: Option<String>,
    authorities: Option<PathBuf>,
    schema: String,
    writers: usize,
    timeout: Duration,
    restored: bool,
    must_exist: bool,
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
    pub(crate) fn new(url: &str) -> Self {
        let Url { rest: url, schema, authorities } = Url::of(url);
        Self {
            url,
            listen_url: None,
            authorities,
            schema: schema.unwrap_or_else(|| "chat".to_owned()),
            writers: 4,
            timeout: Duration::from_secs(30),
            restored: false,
            must_exist: false,
        }
    }

    /// The schema of the tables; if it is not given, that of `?schema=` in the URL, or `chat`. Its
    /// name has lower-case letters, digits and underscores.
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

    /// The URL for the connections that wait for hints
    /// ([`Hints`](durable_session::store::Hints)). It leads to the same database. It is needed if
    /// the first one leads to a pooler that gives each transaction another connection.
    #[must_use]
    pub fn listen_url(self, url: impl Into<String>) -> Self {
        Self { listen_url: Some(Url::of(&url.into()).rest), ..self }
    }

    /// A file of PEM certificates: the authorities that may have signed the certificate of the
    /// server. If it is not given, that of `?sslrootcert=` in the URL, or those of the system.
    #[must_use]
    pub fn root_certificates(self, path: impl Into<PathBuf>) -> Self {
        Self { authorities: Some(path.into()), ..self }
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

    /// Refuses to open a schema without the tables of a store, instead of making them.
    #[must_use]
    pub fn must_exist(self) -> Self {
        Self { must_exist: true, ..self }
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
        let read = |url: &String| {
            let config = url.parse::<Config>().map_err(|_| unavailable("cannot read the URL"));
            config.map(only_verified)
        };
        let config = read(&self.url)?;
        let listen_config = read(self.listen_url.as_ref().unwrap_or(&self.url))?;
        let tls = Tls::new(self.authorities.as_deref())?;
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
                let timeout = self.timeout;
                let (runtime, connections) = (handle, AtomicU64::new(0));
                let connector =
                    Connector { config, listen_config, tls, runtime, timeout, connections };
                let started = start(connector, sql, opening, &self).await;
                let (shared, connection) = match started {
                    Ok(started) => started,
                    Err(error) => {
                        drop(opened.send(Err(error)));
                        return;
                    }
                };
                let shared = Arc::new(shared);
                tokio::spawn(hints::send(shared.clone()));
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

/// TLS if the URL asks for it. Otherwise none: a server that offers it often has a certificate that
/// nobody can verify.
fn only_verified(mut config: Config) -> Config {
    if config.get_ssl_mode() == SslMode::Prefer {
        config.ssl_mode(SslMode::Disable);
    }
    config
}

async fn start(
    connector: Connector,
    sql: Sql,
    opening: Opening,
    builder: &PostgresStoreBuilder,
) -> Result<(Shared, Connection), StoreError> {
    let mut connection = connector.connect().await?;
    migrate(&mut connection, &sql, builder).await?;
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
    Ok((Shared::new(connector, sql, opening, durability, builder.writers), connection))
}

/// Makes the tables if they are not there. One process does it, and the others wait.
async fn migrate(
    connection: &mut Connection,
    sql: &Sql,
    builder: &PostgresStoreBuilder,
) -> Result<(), StoreError> {
    let why = |failure: Failure| {
        let context = "could not make the tables of the store; a role that may create them in the \
                       schema can run the statements of PostgresStore::migration";
        unavailable(context).with_source(failure.nothing_changed())
    };
    let found = connection.find_history(sql).await.map_err(Failure::nothing_changed)?;
    if found.is_none() && builder.must_exist {
        return Err(unavailable("the schema has no tables of a store"));
    }
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
    if builder.restored {
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
