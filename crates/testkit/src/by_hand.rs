//! redb as one would use it by hand: the floor that it sets.

use anyhow::Result;
use redb::{Database, ReadableDatabase, TableDefinition};
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

const ROWS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("rows");

/// One table `(session, seq) → body`, in a file of its own: no heads, versions, checksums or
/// totals.
#[derive(Debug)]
pub struct ByHand {
    db: Database,
    seqs: Vec<u64>,
}

impl ByHand {
    /// Makes the file at `path`.
    ///
    /// # Errors
    /// As redb has it.
    pub fn create(path: &Path, sessions: usize) -> Result<Self> {
        Ok(Self { db: Database::create(path)?, seqs: vec![0; sessions] })
    }

    /// Appends `body` to each of the sessions, in one durable transaction.
    ///
    /// # Errors
    /// As redb has it.
    pub fn append(&mut self, sessions: &[usize], body: &[u8]) -> Result<()> {
        let txn = self.db.begin_write()?;
        {
            let mut rows = txn.open_table(ROWS)?;
            for &session in sessions {
                self.seqs[session] += 1;
                rows.insert((session as u64, self.seqs[session]), body)?;
            }
        }
        Ok(txn.commit()?)
    }

    /// Copies the last `count` bodies of a session, newest first.
    ///
    /// # Errors
    /// As redb has it.
    pub fn scan(&self, session: usize, count: usize) -> Result<Vec<Vec<u8>>> {
        let txn = self.db.begin_read()?;
        let rows = txn.open_table(ROWS)?;
        let mut bodies = Vec::new();
        for entry in rows.range((session as u64, 0)..=(session as u64, u64::MAX))?.rev().take(count)
        {
            bodies.push(entry?.1.value().to_vec());
        }
        Ok(bodies)
    }

    /// Like [`scan`](Self::scan), with a checksum over every body, as any store that trusts no file
    /// has to.
    ///
    /// # Errors
    /// As redb has it.
    pub fn scan_with_checksums(&self, session: usize, count: usize) -> Result<(Vec<Vec<u8>>, u64)> {
        let bodies = self.scan(session, count)?;
        let sum = bodies.iter().fold(0, |sum, body| sum ^ xxh3_64(body));
        Ok((bodies, sum))
    }

    /// The bodies of a session as a JSON list, each checked to be the same bytes and UTF-8, and
    /// copied once: the least that a whole state from a file can cost.
    ///
    /// # Errors
    /// As redb has it; or a body is not UTF-8.
    pub fn list_json(&self, session: usize) -> Result<(String, u64)> {
        let txn = self.db.begin_read()?;
        let rows = txn.open_table(ROWS)?;
        let (mut json, mut sum) = (String::with_capacity(1 << 19), 0);
        for entry in rows.range((session as u64, 0)..=(session as u64, u64::MAX))? {
            let (_, body) = entry?;
            sum ^= xxh3_64(body.value());
            json.push(if json.is_empty() { '[' } else { ',' });
            json.push_str(std::str::from_utf8(body.value())?);
        }
        json.push(']');
        Ok((json, sum))
    }
}
