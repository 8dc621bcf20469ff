//! SQLite as one would use it by hand: a table, a transaction for each append.

use super::{LONG, Peer, SESSIONS, checked, message};
use anyhow::Result;
use rusqlite::{Connection, params};
use std::path::Path;
use tokio::runtime::Runtime;

pub(crate) struct SqliteByHand {
    db: Connection,
    durability: String,
    seq: i64,
    body: Vec<u8>,
}

impl SqliteByHand {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let mut made = Self::open(path)?;
        let all: Vec<usize> = (0..SESSIONS).flat_map(|n| [n; 10]).chain([0; LONG]).collect();
        made.in_one_transaction(&all, &[])?;
        Ok(made)
    }

    /// Opens the file, or creates it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let db = Connection::open(path)?;
        db.pragma_update(None, "journal_mode", "wal")?;
        db.pragma_update(None, "synchronous", "full")?;
        db.execute_batch(
            "create table if not exists rows (session integer, seq integer, body blob not null, \
             primary key (session, seq)) without rowid",
        )?;
        let mode: String = db.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        let level: i64 = db.pragma_query_value(None, "synchronous", |row| row.get(0))?;
        let durability = checked(&mode, level)?;
        let seq = db.query_row("select coalesce(max(seq), 0) from rows", [], |row| row.get(0))?;
        Ok(Self { db, durability, seq, body: message().as_json().into() })
    }

    pub(crate) fn says(&self) -> &str {
        &self.durability
    }

    pub(crate) fn insert(&mut self, session: usize) -> Result<()> {
        self.seq += 1;
        let mut insert = self.db.prepare_cached("insert into rows values (?, ?, ?)")?;
        insert.execute(params![i64::try_from(session)?, self.seq, self.body])?;
        Ok(())
    }

    fn delete(&mut self, session: usize) -> Result<()> {
        self.db
            .prepare_cached("delete from rows where session = ?")?
            .execute([i64::try_from(session)?])?;
        Ok(())
    }

    /// The gain of gathering appends, and then deletes, by hand.
    pub(crate) fn in_one_transaction(
        &mut self,
        sessions: &[usize],
        deleted: &[usize],
    ) -> Result<()> {
        self.db.execute_batch("begin immediate")?;
        sessions.iter().try_for_each(|&n| self.insert(n))?;
        deleted.iter().try_for_each(|&n| self.delete(n))?;
        Ok(self.db.execute_batch("commit")?)
    }

    /// Loads the long session; answers the number of its messages.
    pub(crate) fn count(&self) -> Result<usize> {
        let mut select =
            self.db.prepare_cached("select body from rows where session = 0 order by seq")?;
        let bodies: Vec<Vec<u8>> =
            select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(bodies.len())
    }

    /// SQLite moves the log into the file and removes it.
    pub(crate) fn close(self) -> Result<()> {
        self.db.close().map_err(|(_, error)| error.into())
    }
}

impl Peer for SqliteByHand {
    fn name(&self) -> &'static str {
        "rusqlite-by-hand"
    }

    fn durability(&self) -> &str {
        &self.durability
    }

    fn append(&mut self, _: &Runtime, session: usize) -> Result<()> {
        self.insert(session)
    }

    fn together(&mut self, _: &Runtime, sessions: &[usize]) -> Result<()> {
        sessions.iter().try_for_each(|&n| self.insert(n))
    }

    fn load(&mut self, _: &Runtime) -> Result<usize> {
        self.count()
    }

    fn close(self: Box<Self>, _: &Runtime) -> Result<()> {
        SqliteByHand::close(*self)
    }
}
