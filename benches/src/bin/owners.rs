//! What a page of a person's conversations costs, and an append to a session that has an owner.
//!
//! ```sh
//! cargo run --release -p benches --bin owners -- redb:FOLDER
//! cargo run --release -p benches --bin owners -- postgres:URL
//! ```
//!
//! Each size is a store of its own: with the same number of sessions for each owner, and ten times
//! as many owners. So a page costs the same if it does not depend on the totals. *Cold* is the
//! first page of an owner after the store was opened, *hot* the same page again. A page is 30
//! sessions, newest first, with their last messages.

#![allow(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]

use anyhow::{Context as _, Result};
use durable_session::store::{Labels, SessionList, SessionStore};
use durable_session::{ChatSessions, Message, SessionId};
use durable_session_postgres::PostgresStore;
use durable_session_redb::RedbStore;
use futures_util::{TryStreamExt as _, stream};
use std::path::PathBuf;
use std::time::Instant;

const SESSIONS_OF_AN_OWNER: usize = 100;
const OWNERS: [usize; 2] = [100, 1_000];
const MESSAGES: usize = 4;
const PAGE: usize = 30;
const PAGES: usize = 50;
const APPENDS: usize = 200;
const AT_ONCE: usize = 64;

enum Place {
    Redb(PathBuf),
    Postgres(String),
}

#[tokio::main]
async fn main() -> Result<()> {
    let usage = "the store is redb:FOLDER or postgres:URL";
    let place = std::env::args().nth(1).context(usage)?;
    let place = match place.split_once(':').context(usage)? {
        ("redb", folder) => Place::Redb(folder.into()),
        ("postgres", url) => Place::Postgres(url.to_owned()),
        _ => anyhow::bail!(usage),
    };
    println!("sessions  cold page µs  hot page µs  append µs: with an owner  without");
    for owners in OWNERS {
        match &place {
            Place::Redb(folder) => {
                let path = folder.join(format!("owners-{owners}.redb"));
                if !path.exists() {
                    let store = RedbStore::open(&path)?;
                    fill(&store, owners).await?;
                    store.close().await?;
                }
                let store = RedbStore::open(&path)?;
                measure(&store, owners).await?;
                store.close().await?;
            }
            Place::Postgres(url) => {
                let schema = format!("owners_{owners}");
                let open = || PostgresStore::builder(url).schema(&schema).open();
                let store = open().await?;
                fill(&store, owners).await?;
                measure(&open().await?, owners).await?;
            }
        }
    }
    Ok(())
}

fn sessions<S: SessionStore + SessionList + Clone + 'static>(store: &S) -> ChatSessions {
    ChatSessions::builder(store.clone()).listing(store.clone()).build()
}

fn name(owner: usize, n: usize) -> Result<SessionId> {
    Ok(SessionId::new(format!("session-{owner}-{n}"))?)
}

async fn fill<S: SessionStore + SessionList + Clone + 'static>(
    store: &S,
    owners: usize,
) -> Result<()> {
    let sessions = sessions(store);
    let all = (0..SESSIONS_OF_AN_OWNER).flat_map(|n| (0..owners).map(move |owner| (owner, n)));
    let all = stream::iter(all.map(Ok::<_, anyhow::Error>));
    all.try_for_each_concurrent(AT_ONCE, |(owner, n)| {
        let sessions = &sessions;
        async move {
            let labels = Labels::owner(format!("u-{owner}")).title("a title");
            let chat = sessions.create(name(owner, n)?, labels).await?;
            for m in 0..MESSAGES {
                chat.add_message(Message::user(format!("{m} {}", "x".repeat(390)))).await?;
            }
            Ok(())
        }
    })
    .await?;
    sessions.close().await?;
    Ok(())
}

async fn measure<S: SessionStore + SessionList + Clone + 'static>(
    store: &S,
    owners: usize,
) -> Result<()> {
    let sessions = sessions(store);
    let page = async |owner: usize| -> Result<f64> {
        let began = Instant::now();
        let listing = sessions.of(&format!("u-{owner}")).newest_first().with_last_message();
        let page = listing.limit(PAGE).page(None).await?;
        let took = began.elapsed();
        let whole = page.sessions.iter().filter(|one| one.last.is_some()).count();
        anyhow::ensure!(whole == PAGE, "a page has {whole} sessions with their last messages");
        Ok(took.as_secs_f64() * 1e6)
    };
    let (mut cold, mut hot) = (Vec::new(), Vec::new());
    for n in 0..PAGES {
        let owner = n * owners / PAGES;
        cold.push(page(owner).await?);
        hot.push(page(owner).await?);
    }
    let append = async |owner: Option<usize>, n: usize| -> Result<f64> {
        let id = match owner {
            Some(owner) => name(owner, n % SESSIONS_OF_AN_OWNER)?,
            None => SessionId::new(format!("free-{n}"))?,
        };
        let chat = sessions.session(id);
        let began = Instant::now();
        chat.add_message(Message::user("x".repeat(390))).await?;
        Ok(began.elapsed().as_secs_f64() * 1e6)
    };
    // Sessions that are in memory, by turns.
    for n in 0..SESSIONS_OF_AN_OWNER {
        append(Some(0), n).await?;
        append(None, n).await?;
    }
    let (mut owned, mut free) = (Vec::new(), Vec::new());
    for n in 0..APPENDS {
        owned.push(append(Some(0), n).await?);
        free.push(append(None, n % SESSIONS_OF_AN_OWNER).await?);
    }
    let [cold, hot, owned, free] = [cold, hot, owned, free].map(median);
    let total = owners * SESSIONS_OF_AN_OWNER;
    println!("{total:>8}  {cold:>12.0}  {hot:>11.0}  {owned:>25.0}  {free:>7.0}");
    sessions.close().await?;
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
