//! redb as one would use it by hand: a table, a transaction for each append.

use super::{LONG, Peer, SESSIONS, message};
use anyhow::Result;
use redb::{Database, ReadableDatabase, TableDefinition};
use std::path::Path;
use tokio::runtime::Runtime;

const ROWS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("rows");

pub(crate) struct RedbByHand {
    db: Database,
    seq: u64,
    body: Vec<u8>,
}

impl RedbByHand {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let mut made = Self { db: Database::create(path)?, seq: 0, body: message().as_json().into() };
        let all = (0..SESSIONS).flat_map(|n| [n; 10]).chain([0; LONG]);
        made.insert(all)?;
        Ok(made)
    }

    fn insert(&mut self, sessions: impl IntoIterator<Item = usize>) -> Result<()> {
        // Durability::Immediate is what redb does unless told otherwise.
        let txn = self.db.begin_write()?;
        {
            let mut rows = txn.open_table(ROWS)?;
            for session in sessions {
                self.seq += 1;
                rows.insert((session as u64, self.seq), self.body.as_slice())?;
            }
        }
        Ok(txn.commit()?)
    }
}

impl Peer for RedbByHand {
    fn name(&self) -> &'static str {
        "redb-by-hand"
    }

    fn durability(&self) -> &'static str {
        "synced (Durability::Immediate)"
    }

    fn append(&mut self, _: &Runtime, session: usize) -> Result<()> {
        self.insert([session])
    }

    fn together(&mut self, _: &Runtime, sessions: &[usize]) -> Result<()> {
        sessions.iter().try_for_each(|&n| self.insert([n]))
    }

    fn load(&mut self, _: &Runtime) -> Result<usize> {
        let rows = self.db.begin_read()?.open_table(ROWS)?;
        let mut bodies = Vec::new();
        for entry in rows.range((0, 0)..=(0, u64::MAX))? {
            bodies.push(entry?.1.value().to_vec());
        }
        Ok(bodies.len())
    }
}
