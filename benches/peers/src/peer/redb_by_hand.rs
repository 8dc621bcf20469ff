//! redb as one would use it by hand: a table, a transaction for each append.

use super::{LONG, Peer, SESSIONS, message};
use anyhow::Result;
use std::path::Path;
use testkit::ByHand;
use tokio::runtime::Runtime;

pub(crate) struct RedbByHand {
    table: ByHand,
    body: Vec<u8>,
}

impl RedbByHand {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let body: Vec<u8> = message().as_json().into();
        let mut table = ByHand::create(path, SESSIONS)?;
        let all: Vec<usize> = (0..SESSIONS).flat_map(|n| [n; 10]).chain([0; LONG]).collect();
        table.append(&all, &body)?;
        Ok(Self { table, body })
    }
}

impl Peer for RedbByHand {
    fn name(&self) -> &'static str {
        "redb-by-hand"
    }

    fn durability(&self) -> &'static str {
        // The default of redb.
        "synced (Durability::Immediate)"
    }

    fn append(&mut self, _: &Runtime, session: usize) -> Result<()> {
        self.table.append(&[session], &self.body)
    }

    fn together(&mut self, _: &Runtime, sessions: &[usize]) -> Result<()> {
        sessions.iter().try_for_each(|&session| self.table.append(&[session], &self.body))
    }

    fn load(&mut self, _: &Runtime) -> Result<usize> {
        Ok(self.table.scan(0, usize::MAX)?.len())
    }
}
