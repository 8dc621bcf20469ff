//! What each peer can do.

use super::naive::Naive;
use super::ours::Ours;
use super::sqlx_pool::SqlxPool;
use super::tower::Tower;
use anyhow::Result;
use clap::ValueEnum;

/// The connections of the peers that have a pool.
pub(super) const CONNECTIONS: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// durable-session.
    DurableSession,
    /// `INSERT` by tokio-postgres, prepared, on 16 connections.
    TokioPostgres,
    /// `INSERT` by sqlx, on a pool of 16 connections.
    Sqlx,
    /// tower-sessions: a session is one value.
    TowerSessions,
}

/// A way to keep messages of sessions, in a schema that is empty at first.
pub(super) trait Peer: Send + Sync + 'static {
    /// A durable append to one session.
    fn append(&self, session: usize) -> impl Future<Output = Result<()>> + Send;

    /// Makes sure that a session is there, with a message.
    fn fill(&self, session: usize) -> impl Future<Output = Result<()>> + Send {
        self.append(session)
    }

    /// Ends all connections.
    fn close(self) -> impl Future<Output = Result<()>> + Send;
}

/// What is done with any peer.
pub(super) trait Task<T> {
    async fn of(self, peer: impl Peer) -> Result<T>;
}

impl Name {
    /// Opens the peer.
    pub(super) async fn open<T>(
        self,
        url: &str,
        schema: &str,
        sessions: usize,
        task: impl Task<T>,
    ) -> Result<T> {
        match self {
            Self::DurableSession => task.of(Ours::open(url, schema, sessions).await?).await,
            Self::TokioPostgres => task.of(Naive::open(url, schema).await?).await,
            Self::Sqlx => task.of(SqlxPool::open(url, schema).await?).await,
            Self::TowerSessions => task.of(Tower::open(url, schema, sessions).await?).await,
        }
    }
}

/// The table of the peers that insert rows. Every insert is a commit.
pub(super) fn table(schema: &str) -> String {
    format!(
        "CREATE SCHEMA IF NOT EXISTS {schema};
         CREATE TABLE IF NOT EXISTS {schema}.message (
             id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
             session text NOT NULL,
             body bytea NOT NULL
         );
         CREATE INDEX IF NOT EXISTS message_session ON {schema}.message (session, id)"
    )
}

pub(super) fn insert(schema: &str) -> String {
    format!("INSERT INTO {schema}.message (session, body) VALUES ($1, $2)")
}
