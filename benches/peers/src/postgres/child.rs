//! One measurement of one peer, in a process of its own.

use super::hints;
use super::peer::{Name, Peer, Task};
use super::server::{Counted, Server};
use crate::values::Values;
use anyhow::{Result, ensure};
use clap::{Args, Subcommand};
use futures_util::{TryStreamExt, stream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::time::sleep;

#[derive(Debug, Args)]
pub(crate) struct Child {
    #[arg(long)]
    peer: Name,
    #[arg(long)]
    url: String,
    #[arg(long, default_value_t = 20_000)]
    sessions: usize,
    #[command(subcommand)]
    task: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Callers that append to all sessions.
    Callers {
        #[arg(long)]
        callers: usize,
        #[arg(long)]
        seconds: f64,
        /// Another client has an old snapshot open.
        #[arg(long)]
        snapshot: bool,
        /// No session is in memory before its first append.
        #[arg(long)]
        cold: bool,
    },
    /// Appends to one session that has so many messages.
    Long {
        #[arg(long)]
        messages: usize,
        #[arg(long)]
        appends: usize,
    },
    /// Changes that another opening watches.
    Hints {
        #[arg(long)]
        changes: usize,
    },
}

/// The schema of the peer's tables.
const SCHEMA: &str = "peer";

pub(crate) async fn run(child: &Child) -> Result<()> {
    let Child { peer, ref url, sessions, .. } = *child;
    let server = Server::connect(url).await?;
    server
        .execute(&format!("DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA}"))
        .await?;
    let mut values = match child.task {
        What::Callers { callers, seconds, snapshot, cold } => {
            ensure!(callers <= sessions, "there are fewer sessions than callers");
            // In an opening of its own, so that its work is counted before the measurement.
            peer.open(url, SCHEMA, sessions, Fill { sessions }).await?;
            server.alone().await?;
            server.execute("CHECKPOINT").await?;
            let holder = if snapshot { Some(hold_snapshot(url).await?) } else { None };
            let all = Appends { server: &server, callers, sessions, seconds, cold };
            let (mut values, appends, before) = peer.open(url, SCHEMA, sessions, all).await?;
            drop(holder);
            server.alone().await?;
            let counted = server.counted().await?.since(before);
            values.per("server_us", u64::try_from(counted.cpu.as_micros())?, appends);
            values.per("syncs", counted.syncs, appends);
            values.per("wal_bytes", counted.wal_bytes, appends);
            values
        }
        What::Long { messages, appends } => {
            peer.open(url, SCHEMA, 1, Long { messages, appends }).await?
        }
        What::Hints { changes } => {
            ensure!(peer == Name::DurableSession, "only durable-session has hints");
            hints::run(url, SCHEMA, changes).await?
        }
    };
    let others = format!(
        "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = '{SCHEMA}' AND c.relkind = 'r' AND c.relname <> 'message'"
    );
    values.count("other_tables_bytes", server.number(&others).await?);
    println!("{}", serde_json::to_string(&values)?);
    Ok(())
}

/// A transaction that has read something, and stays open.
async fn hold_snapshot(url: &str) -> Result<tokio_postgres::Client> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class";
    client.batch_execute(begin).await?;
    Ok(client)
}

/// Makes all sessions.
struct Fill {
    sessions: usize,
}

impl Task<()> for Fill {
    async fn of(self, peer: impl Peer) -> Result<()> {
        each(self.sessions, |session| peer.fill(session)).await?;
        peer.close().await
    }
}

/// Calls `visit` with each session, 64 at once.
async fn each<F>(sessions: usize, visit: impl Fn(usize) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    stream::iter((0..sessions).map(|session| Ok(visit(session))))
        .try_for_each_concurrent(64, |visited| visited)
        .await
}

/// Each caller waits for its append, then makes the next one in a session far from the last.
struct Appends<'a> {
    server: &'a Server,
    callers: usize,
    sessions: usize,
    seconds: f64,
    cold: bool,
}

/// The figures, the number of appends, and the server's counters before the first one.
impl Task<(Values, u64, Counted)> for Appends<'_> {
    async fn of(self, peer: impl Peer) -> Result<(Values, u64, Counted)> {
        let Self { server, callers, sessions, seconds, cold } = self;
        if !cold {
            // A peer that keeps used sessions in memory has all of them there after this.
            each(sessions, |session| peer.append(session)).await?;
            // A process of the server reports its counts with a statement, at most once a second.
            sleep(Duration::from_millis(1_100)).await;
            each(sessions.min(256), |session| peer.append(session)).await?;
        }
        let (peer, next) = (Arc::new(peer), Arc::new(AtomicUsize::new(0)));
        let before = server.counted().await?;
        let began = Instant::now();
        let end = began + Duration::from_secs_f64(seconds);
        let callers: Vec<_> = (0..callers)
            .map(|_| {
                let (peer, next) = (Arc::clone(&peer), Arc::clone(&next));
                tokio::spawn(async move {
                    let mut times = Vec::new();
                    while Instant::now() < end {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        let began = Instant::now();
                        peer.append(n * 7919 % sessions).await?;
                        times.push(began.elapsed());
                    }
                    anyhow::Ok(times)
                })
            })
            .collect();
        let mut times = Vec::new();
        for caller in callers {
            times.extend(caller.await??);
        }
        let (took, appends) = (began.elapsed(), times.len() as u64);
        close(peer).await?;
        let mut values = Values::default();
        values.per("appends_per_s", appends * 1_000_000, u64::try_from(took.as_micros())?);
        values.times("", times);
        Ok((values, appends, before))
    }
}

/// One append after the other to a session that is long already.
struct Long {
    messages: usize,
    appends: usize,
}

impl Task<Values> for Long {
    async fn of(self, peer: impl Peer) -> Result<Values> {
        peer.fill(0).await?;
        for _ in 1..self.messages {
            peer.append(0).await?;
        }
        let mut times = Vec::new();
        for _ in 0..self.appends {
            let began = Instant::now();
            peer.append(0).await?;
            times.push(began.elapsed());
        }
        peer.close().await?;
        let mut values = Values::default();
        values.times("", times);
        Ok(values)
    }
}

async fn close(peer: Arc<impl Peer>) -> Result<()> {
    match Arc::into_inner(peer) {
        Some(peer) => peer.close().await,
        None => anyhow::bail!("a caller is still there"),
    }
}
