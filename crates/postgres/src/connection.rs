//! Connections to the server, and what each finds there when it is made.

use crate::error::{Failure, not_connected, too_slow, unavailable};
use crate::sql::{Sql, VERSION};
use crate::tls::Tls;
use durable_session::store::{Durability, Salt, StoreError, StoreErrorKind};
use futures_util::future::{Either, select};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Config, Row};
use xxhash_rust::xxh3::xxh3_64;

/// A connection and the history that it writes to.
#[derive(Debug)]
pub(crate) struct Connection {
    client: Client,
    runtime: Handle,
    timeout: Duration,
    /// Of the history of the server that this connection was made to (S12).
    pub(crate) salt: Salt,
    /// What the settings of the server give.
    pub(crate) durability: Durability,
    pub(crate) server: String,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Ends the connection also if the server answers nothing any more.
        self.task.abort();
    }
}

/// How connections are made.
#[derive(Debug)]
pub(crate) struct Connector {
    pub(crate) config: Config,
    /// For connections that listen: a pooler in between would lose what they wait for.
    pub(crate) listen_config: Config,
    pub(crate) tls: Tls,
    pub(crate) runtime: Handle,
    pub(crate) timeout: Duration,
    /// How many were made.
    pub(crate) connections: AtomicU64,
}

impl Connector {
    /// Connects, and checks that the store can keep its promises there. Runs in the runtime of the
    /// store; needs none around it.
    pub(crate) async fn connect(&self) -> Result<Connection, StoreError> {
        let (payloads, _) = mpsc::unbounded_channel();
        self.connect_as(self.config.clone(), payloads).await
    }

    /// A connection to listen on, and the payloads of the notifications that it gets.
    pub(crate) async fn connect_listening(
        &self,
    ) -> Result<(Connection, UnboundedReceiver<String>), StoreError> {
        let (sender, payloads) = mpsc::unbounded_channel();
        Ok((self.connect_as(self.listen_config.clone(), sender).await?, payloads))
    }

    async fn connect_as(
        &self,
        config: Config,
        payloads: UnboundedSender<String>,
    ) -> Result<Connection, StoreError> {
        let (runtime, timeout) = (self.runtime.clone(), self.timeout);
        let tls = self.tls.connector();
        let connecting = self.runtime.spawn(async move {
            let connected = tokio::time::timeout(timeout, config.connect(tls)).await;
            let (client, mut connection) = match connected {
                Err(_) => {
                    return Err(unavailable("the server did not take the connection in time"));
                }
                Ok(Err(error)) => return Err(not_connected(error)),
                Ok(Ok(connected)) => connected,
            };
            let task = tokio::spawn(async move {
                while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
                    match message {
                        // Nobody may be listening.
                        Ok(AsyncMessage::Notification(news)) => {
                            drop(payloads.send(news.payload().to_owned()));
                        }
                        Ok(_) => {}
                        Err(error) => {
                            let error = Failure::from(error).nothing_changed();
                            let error = &error as &dyn std::error::Error;
                            tracing::warn!(error, "a connection ended");
                            break;
                        }
                    }
                }
            });
            Ok(Connection {
                client,
                runtime,
                timeout,
                salt: Salt::NONE,
                durability: Durability::Unsynced,
                server: String::new(),
                task,
            })
        });
        let connecting = connecting.await;
        let mut connection =
            connecting.map_err(|_| StoreError::new(StoreErrorKind::Closed, "the store ends"))??;
        connection.check_settings().await.map_err(Failure::nothing_changed)?;
        self.connections.fetch_add(1, Ordering::Relaxed);
        Ok(connection)
    }
}

impl Connection {
    /// A statement with the types of its parameters, in one round trip and without a name, so that
    /// a pooler may give each transaction another connection to the server.
    pub(crate) async fn query(
        &self,
        statement: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, Failure> {
        let rows = self.client.query_typed(statement, parameters);
        self.in_time(rows).await
    }

    /// Statements without parameters.
    pub(crate) async fn execute(&self, statements: &str) -> Result<(), Failure> {
        self.in_time(self.client.batch_execute(statements)).await
    }

    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Failure> {
        let deadline = {
            let _in_runtime = self.runtime.enter();
            tokio::time::sleep(self.timeout)
        };
        match select(pin!(work), pin!(deadline)).await {
            Either::Left((done, _)) => Ok(done?),
            Either::Right(..) => {
                self.task.abort();
                Err(too_slow())
            }
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed() || self.task.is_finished()
    }

    async fn check_settings(&mut self) -> Result<(), Failure> {
        let rows = self
            .query(
                "SELECT current_setting('fsync'), current_setting('synchronous_commit'), \
                 current_setting('default_transaction_isolation'), pg_is_in_recovery(), \
                 current_setting('default_transaction_read_only'), \
                 current_setting('server_version'), current_setting('server_encoding')",
                &[],
            )
            .await?;
        let row = first(&rows)?;
        let text = |at: usize| row.try_get::<_, String>(at);
        let (fsync, commit) = (text(0)?, text(1)?);
        if text(2)? != "read committed" {
            return Err(unavailable(
                "the store needs transactions that are \"read committed\" by default: \
                 ALTER ROLE … SET default_transaction_isolation = 'read committed'",
            )
            .into());
        }
        if row.try_get::<_, bool>(3)? || text(4)? == "on" {
            return Err(unavailable("the server is a standby or takes no writes").into());
        }
        if text(6)? != "UTF8" {
            return Err(unavailable("the database has an encoding other than UTF8").into());
        }
        self.durability = if fsync == "off" || commit == "off" {
            Durability::Unsynced
        } else {
            Durability::Synced
        };
        self.server = format!("{}, fsync={fsync}, synchronous_commit={commit}", text(5)?);
        Ok(())
    }

    /// Reads what identifies the history that this connection writes to, and the version of the
    /// tables: `None` if there are none.
    pub(crate) async fn find_history(&mut self, sql: &Sql) -> Result<Option<i32>, Failure> {
        // Not by `to_regclass`: within a transaction it does not see what was just committed.
        let there = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class AS c \
                     JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
                     WHERE n.nspname = $1 AND c.relname = 'meta')";
        let rows = self.query(there, &[(&sql.schema, Type::TEXT)]).await?;
        if !first(&rows)?.try_get::<_, bool>(0)? {
            return Ok(None);
        }
        let rows = self.query(&sql.meta, &[]).await?;
        let meta = first(&rows)?;
        let (version, oldest): (i32, i32) = (meta.try_get(0)?, meta.try_get(1)?);
        if oldest > VERSION {
            return Err(unavailable(
                "a newer release changed the tables; this one cannot use them any more",
            )
            .into());
        }
        let rows = self
            .query(
                "SELECT (SELECT system_identifier FROM pg_control_system()), \
                 left(pg_walfile_name(pg_current_wal_lsn()), 8), \
                 (SELECT oid FROM pg_database WHERE datname = current_database())",
                &[],
            )
            .await?;
        let row = first(&rows)?;
        let mut history = Vec::new();
        history.extend_from_slice(&row.try_get::<_, i64>(0)?.to_le_bytes());
        history.extend_from_slice(row.try_get::<_, String>(1)?.as_bytes());
        history.extend_from_slice(&row.try_get::<_, u32>(2)?.to_le_bytes());
        history.extend_from_slice(&meta.try_get::<_, u32>(3)?.to_le_bytes());
        history.extend_from_slice(&meta.try_get::<_, i64>(2)?.to_le_bytes());
        self.salt = Salt::new(xxh3_64(&history));
        Ok(Some(version))
    }
}

/// The first row of an answer that has one.
pub(crate) fn first(rows: &[Row]) -> Result<&Row, Failure> {
    rows.first().ok_or_else(|| {
        let context = "the server's answer has no row";
        Failure::Request(StoreError::new(StoreErrorKind::Internal, context))
    })
}
