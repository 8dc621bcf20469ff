//! What the server counts. It runs on this machine, and the URL's role is a superuser.

use anyhow::{Context, Result};
use std::time::Duration;
use tokio_postgres::{Client, NoTls};

/// A connection of its own to the server.
pub(super) struct Server {
    client: Client,
    /// Its first process.
    process: u32,
}

/// The server's counters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    pub(super) syncs: u64,
    pub(super) wal_bytes: u64,
    /// Processor time of all its processes.
    pub(super) cpu: Duration,
}

impl Counted {
    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            syncs: self.syncs - earlier.syncs,
            wal_bytes: self.wal_bytes - earlier.wal_bytes,
            cpu: self.cpu.saturating_sub(earlier.cpu),
        }
    }
}

impl Server {
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(connection);
        let query = "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)";
        let process: String = client.query_one(query, &[]).await?.get(0);
        Ok(Self { client, process: process.parse()? })
    }

    /// The version and the settings that say what a commit survives.
    pub(super) async fn settings(&self) -> Result<String> {
        let query = "SELECT 'PostgreSQL ' || current_setting('server_version') || ', fsync=' || \
                     current_setting('fsync') || ', synchronous_commit=' || \
                     current_setting('synchronous_commit')";
        Ok(self.client.query_one(query, &[]).await?.get(0))
    }

    pub(super) async fn execute(&self, statements: &str) -> Result<()> {
        Ok(self.client.batch_execute(statements).await?)
    }

    /// A number that a query answers.
    pub(super) async fn number(&self, query: &str) -> Result<u64> {
        let number: i64 = self.client.query_one(query, &[]).await?.get(0);
        Ok(u64::try_from(number)?)
    }

    /// Waits until no other client is connected: each writes its counts when it ends.
    pub(super) async fn alone(&self) -> Result<()> {
        let others = "SELECT count(*) FROM pg_stat_activity \
                      WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        while self.number(others).await? > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    pub(super) async fn counted(&self) -> Result<Counted> {
        let syncs = self.number("SELECT wal_sync FROM pg_stat_wal").await?;
        let wal = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint";
        Ok(Counted { syncs, wal_bytes: self.number(wal).await?, cpu: self.cpu()? })
    }

    /// Of the server's first process, of those that it has now, and of those that have ended.
    fn cpu(&self) -> Result<Duration> {
        let mut ticks = 0;
        for entry in std::fs::read_dir("/proc")? {
            let Ok(stat) = std::fs::read_to_string(entry?.path().join("stat")) else { continue };
            let Some((pid, rest)) = stat.split_once(' ') else { continue };
            // After the name, which is in parentheses: the state, then the parent.
            let rest = rest.rsplit_once(')').context("a process without a name")?.1;
            let fields: Vec<&str> = rest.split_whitespace().collect();
            let field = |n: usize| fields.get(n).and_then(|field| field.parse::<u64>().ok());
            let is_first = pid.parse() == Ok(self.process);
            if is_first || field(1) == Some(u64::from(self.process)) {
                ticks += field(11).unwrap_or_default() + field(12).unwrap_or_default();
            }
            if is_first {
                ticks += field(13).unwrap_or_default() + field(14).unwrap_or_default();
            }
        }
        // Linux counts hundredths of a second for programs.
        Ok(Duration::from_millis(ticks * 10))
    }
}
