//! The same appends by durable-session and by what a user would pick instead, in one interleaved run.
//!
//! `peers [--quick] FOLDER…`: the files are made in each folder by turns. Every row is a durable append of a 400-byte
//! message; the medians of all rounds are printed. Every peer syncs each commit to the disk, which is checked by asking
//! for its pragmas.

use durable_session::{ChatSession, ChatSessions, Message, SessionId};
use durable_session_redb::RedbStore;
use futures_util::future::try_join_all;
use redb::{Database, TableDefinition};
use rusqlite::{Connection, params};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use std::error::Error;
use std::path::Path;
use std::time::Instant;
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};
use tokio::runtime::Runtime;
use tower_sessions_core::SessionStore;
use tower_sessions_core::session::{Id, Record};
use tower_sessions_sqlx_store::SqliteStore;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const ROWS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("rows");
/// How many sessions each peer has.
const SESSIONS: usize = 1_000;
/// How many append at once.
const CALLERS: usize = 64;
/// How long the rounds in one folder may take: a slow disk gets fewer of them.
const BUDGET: std::time::Duration = std::time::Duration::from_secs(15);
/// The messages of the long session.
const LONG: usize = 2_000;

fn message() -> Message {
    Message::user("m".repeat(400 - Message::user("").bytes()))
}

fn ours(folder: &Path) -> Result<Vec<ChatSession>> {
    let hub: ChatSessions = ChatSessions::builder(RedbStore::open(folder.join("ours.redb"))?).build();
    (0..SESSIONS).map(|n| Ok(hub.session(SessionId::new(format!("session-{n}"))?))).collect()
}

/// redb by hand: a table, a transaction for each append.
struct Redb {
    db: Database,
    seq: u64,
}

impl Redb {
    fn append(&mut self, session: usize, body: &[u8]) -> Result<()> {
        self.seq += 1;
        let txn = self.db.begin_write()?;
        txn.open_table(ROWS)?.insert((session as u64, self.seq), body)?;
        Ok(txn.commit()?)
    }
}

/// SQLite by hand: a table, a transaction for each append.
struct Sqlite {
    db: Connection,
    seq: i64,
}

impl Sqlite {
    fn create(path: &Path) -> Result<Self> {
        let db = Connection::open(path)?;
        db.pragma_update(None, "journal_mode", "wal")?;
        db.pragma_update(None, "synchronous", "full")?;
        db.execute_batch(
            "create table rows (session integer, seq integer, body blob not null, primary key (session, seq)) without rowid",
        )?;
        let mode: String = db.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        let level: i64 = db.pragma_query_value(None, "synchronous", |row| row.get(0))?;
        checked(&mode, level)?;
        Ok(Self { db, seq: 0 })
    }

    fn append(&mut self, session: usize, body: &[u8]) -> Result<()> {
        self.seq += 1;
        let mut insert = self.db.prepare_cached("insert into rows values (?, ?, ?)")?;
        insert.execute(params![i64::try_from(session)?, self.seq, body])?;
        Ok(())
    }
}

fn checked(mode: &str, level: i64) -> Result<()> {
    if (mode, level) == ("wal", 2) {
        Ok(())
    } else {
        Err(format!("journal {mode}, synchronous {level}").into())
    }
}

/// tower-sessions: the whole session is one value, loaded and saved again.
struct Tower {
    store: SqliteStore,
    ids: Vec<Id>,
    long: Id,
}

impl Tower {
    async fn create(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        // More would only wait for each other: SQLite has one writer.
        let pool: SqlitePool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        let mode: String = sqlx::query_scalar("pragma journal_mode").fetch_one(&pool).await?;
        let level: i64 = sqlx::query_scalar("pragma synchronous").fetch_one(&pool).await?;
        checked(&mode, level)?;
        let store = SqliteStore::new(pool);
        store.migrate().await?;
        let mut tower = Self { store, ids: Vec::new(), long: Id::default() };
        for _ in 0..SESSIONS {
            let id = tower.fresh(10).await?;
            tower.ids.push(id);
        }
        tower.long = tower.fresh(LONG).await?;
        Ok(tower)
    }

    async fn fresh(&self, messages: usize) -> Result<Id> {
        let message = serde_json::from_str(message().as_json())?;
        let data = [("messages".to_owned(), serde_json::Value::Array(vec![message; messages]))].into();
        let expiry_date = OffsetDateTime::now_utc() + Duration::days(1);
        let mut record = Record { id: Id::default(), data, expiry_date };
        self.store.create(&mut record).await?;
        Ok(record.id)
    }

    /// The length stays as it is, so that every round costs the same.
    async fn append(&self, id: &Id) -> Result<()> {
        let mut record = self.store.load(id).await?.ok_or("a session is gone")?;
        let messages = record.data.get_mut("messages").and_then(|m| m.as_array_mut()).ok_or("no messages")?;
        messages.remove(0);
        messages.push(serde_json::from_str(message().as_json())?);
        Ok(self.store.save(&record).await?)
    }
}

#[derive(Default)]
struct Rows(Vec<(&'static str, &'static str, Vec<f64>)>);

impl Rows {
    fn add(&mut self, peer: &'static str, what: &'static str, began: Instant, appends: u32) {
        let each = began.elapsed().as_secs_f64() * 1e6 / f64::from(appends);
        match self.0.iter_mut().find(|(p, w, _)| (*p, *w) == (peer, what)) {
            Some((.., samples)) => samples.push(each),
            None => self.0.push((peer, what, vec![each])),
        }
    }

    fn print(&mut self, place: &str) {
        let median = |samples: &mut Vec<f64>| {
            samples.sort_by(f64::total_cmp);
            samples[samples.len() / 2]
        };
        let medians: Vec<_> =
            self.0.iter_mut().map(|(peer, what, samples)| (*peer, *what, median(samples))).collect();
        for &(peer, what, value) in &medians {
            let ours =
                medians.iter().find(|(p, w, _)| *p == OURS && *w == what).map_or(f64::NAN, |row| row.2);
            let verdict = match value / ours {
                _ if peer == OURS => String::new(),
                times if times >= 1.0 => format!("durable-session is {times:.2} times as fast"),
                times => format!("WE LOSE: it is {:.2} times as fast as durable-session", 1.0 / times),
            };
            println!(
                "{:<58} {value:>10.1} µs/append synced   {verdict}",
                format!("peers.{what}.{peer} in {place}")
            );
        }
    }
}

const OURS: &str = "durable-session";
const LONE: &str = "lone";
const TOGETHER: &str = "64-at-once";
const AT_LENGTH: &str = "lone-at-2000-messages";

fn compare(runtime: &Runtime, place: &str, rounds: usize) -> Result<()> {
    let folder = TempDir::new_in(place)?;
    let at = |name: &str| folder.path().join(name);
    let sessions = ours(folder.path())?;
    let mut redb = Redb { db: Database::create(at("redb.redb"))?, seq: 0 };
    let mut sqlite = Sqlite::create(&at("sqlite.db"))?;
    let tower = runtime.block_on(Tower::create(&at("tower.db")))?;
    let body = message().as_json().as_bytes().to_vec();
    runtime.block_on(try_join_all(sessions.iter().map(|s| s.add_messages(vec![message(); 10]))))?;
    let long = &sessions[0];
    for _ in 0..LONG / 1_000 {
        runtime.block_on(long.add_messages(vec![message(); 1_000]))?;
    }
    let mut rows = Rows::default();
    let all = Instant::now();
    for round in 0..rounds {
        if all.elapsed() > BUDGET {
            println!("{place}: {round} rounds, for want of time");
            break;
        }
        let n = 1 + round * 7919 % (SESSIONS - 1);
        let began = Instant::now();
        runtime.block_on(sessions[n].add_message(message()))?;
        rows.add(OURS, LONE, began, 1);
        let began = Instant::now();
        redb.append(n, &body)?;
        rows.add("redb-by-hand", LONE, began, 1);
        let began = Instant::now();
        sqlite.append(n, &body)?;
        rows.add("rusqlite-by-hand", LONE, began, 1);
        let began = Instant::now();
        runtime.block_on(tower.append(&tower.ids[n]))?;
        rows.add("tower-sessions", LONE, began, 1);

        let began = Instant::now();
        runtime.block_on(long.add_message(message()))?;
        rows.add(OURS, AT_LENGTH, began, 1);
        let began = Instant::now();
        runtime.block_on(tower.append(&tower.long))?;
        rows.add("tower-sessions", AT_LENGTH, began, 1);

        if round % 8 != 0 {
            continue;
        }
        let some: Vec<usize> = (0..CALLERS).map(|caller| (n + caller) % SESSIONS).collect();
        let began = Instant::now();
        runtime.block_on(try_join_all(some.iter().map(|&n| sessions[n].add_message(message()))))?;
        rows.add(OURS, TOGETHER, began, 64);
        let began = Instant::now();
        some.iter().try_for_each(|&n| redb.append(n, &body))?;
        rows.add("redb-by-hand", TOGETHER, began, 64);
        let began = Instant::now();
        some.iter().try_for_each(|&n| sqlite.append(n, &body))?;
        rows.add("rusqlite-by-hand", TOGETHER, began, 64);
        let began = Instant::now();
        runtime.block_on(try_join_all(some.iter().map(|&n| tower.append(&tower.ids[n]))))?;
        rows.add("tower-sessions", TOGETHER, began, 64);
    }
    rows.print(place);
    Ok(())
}

fn main() -> Result<()> {
    let mut folders: Vec<String> = std::env::args().skip(1).collect();
    let quick = folders.iter().any(|argument| argument == "--quick");
    folders.retain(|argument| argument != "--quick");
    let runtime = Runtime::new()?;
    for folder in folders {
        compare(&runtime, &folder, if quick { 200 } else { 2_000 })?;
    }
    Ok(())
}
