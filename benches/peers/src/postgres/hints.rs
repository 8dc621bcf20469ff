//! How long it takes until a change through one process is seen in another that watches: two
//! openings, each with a session registry, and a listener.

use crate::peer::{id, message};
use crate::values::Values;
use anyhow::{Context, Result};
use durable_session::{ChatSessions, Watched};
use durable_session_postgres::PostgresStore;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// Sessions that are watched and written to at once.
const SESSIONS: usize = 16;

/// The time between two changes of a session: hints of others gather meanwhile.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) async fn run(url: &str, schema: &str, changes: usize) -> Result<Values> {
    let open = || PostgresStore::builder(url).schema(schema).open();
    let (writing, watching) = (open().await?, open().await?);
    let writers: ChatSessions = ChatSessions::builder(writing).build();
    let watchers: ChatSessions = ChatSessions::builder(watching.clone())
        .watch_every(|| sleep(Duration::from_millis(500)))
        .build();
    let listener = {
        let (watchers, watching) = (watchers.clone(), watching.clone());
        tokio::spawn(async move { watchers.listen(&watching).await })
    };
    let mut tasks = Vec::new();
    for n in 0..SESSIONS {
        let (writer, reader) = (writers.session(id(n)?), watchers.session(id(n)?));
        tasks.push(tokio::spawn(async move {
            writer.add_message(message()).await?;
            reader.snapshot().await?;
            let mut watcher = reader.watch();
            // The listener is connected.
            sleep(Duration::from_secs(2)).await;
            while timeout(Duration::from_millis(1), watcher.next()).await.is_ok() {}
            let mut times = Vec::new();
            for _ in 0..changes {
                sleep(PAUSE).await;
                writer.add_message(message()).await?;
                let answered = Instant::now();
                let seen = timeout(Duration::from_secs(10), watcher.next()).await;
                let seen = seen.context("a change was not seen within ten seconds")?;
                anyhow::ensure!(matches!(seen, Watched::Changed(_)), "the watcher missed some");
                times.push(answered.elapsed());
            }
            anyhow::Ok(times)
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    listener.abort();
    writers.close().await?;
    watchers.close().await?;
    let mut values = Values::default();
    values.times("", times);
    Ok(values)
}
