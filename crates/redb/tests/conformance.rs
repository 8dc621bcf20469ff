//! The redb store keeps the contract: on a disk that forgets what was not synced, at both levels of durability.
#![allow(clippy::unwrap_used)] // Clippy knows tests, but not their helpers.

use async_trait::async_trait;
use durable_session::SessionId;
use durable_session::store::{SessionList, SessionStore};
use durable_session_conformance::{BoxError, Capability, Factory, Instance};
use durable_session_redb::{RedbDurability, RedbStore};
use redb::{Database, TableDefinition};
use std::sync::Arc;
use torture_disk::Disk;

const IDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("durable-session.ids");
const HEADS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("durable-session.heads");
const ROWS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("durable-session.rows");

struct Redb(RedbDurability);

#[async_trait(?Send)]
impl Factory for Redb {
    fn name(&self) -> &'static str {
        if self.0 == RedbDurability::Immediate { "redb" } else { "redb with quick recovery" }
    }

    fn capabilities(&self) -> &'static [Capability] {
        use Capability::{AcceptsOnFirstPoll, Corrupt, Crash, List, ReachableLimits, Reopen, Threads};
        &[Reopen, Crash, Corrupt, List, Threads, AcceptsOnFirstPoll, ReachableLimits]
    }

    async fn create(&self) -> Result<Box<dyn Instance>, BoxError> {
        let disk = Disk::default();
        Ok(Box::new(OnDisk { store: open(&disk, self.0)?, disk, durability: self.0 }))
    }
}

fn open(disk: &Disk, durability: RedbDurability) -> Result<RedbStore, BoxError> {
    Ok(RedbStore::builder().durability(durability).open_backend(disk.backend())?)
}

struct OnDisk {
    store: RedbStore,
    disk: Disk,
    durability: RedbDurability,
}

impl OnDisk {
    /// Flips a bit of the row that `damage` picks, while the store is closed.
    async fn corrupt(
        &mut self,
        id: &SessionId,
        damage: impl FnOnce(&redb::WriteTransaction, u64) -> Result<(), BoxError>,
    ) -> Result<(), BoxError> {
        self.store.close().await?;
        let db = Database::builder().create_with_backend(self.disk.backend())?;
        let txn = db.begin_write()?;
        let number =
            txn.open_table(IDS)?.get_mut(id.as_str().as_bytes())?.ok_or("no such session")?.value()[1];
        damage(&txn, number.into())?;
        txn.commit()?;
        db.close()?;
        self.store = open(&self.disk, self.durability)?;
        Ok(())
    }
}

fn flipped(row: &[u8]) -> Vec<u8> {
    let mut row = row.to_vec();
    let middle = row.len() / 2;
    row[middle] ^= 1;
    row
}

#[async_trait(?Send)]
impl Instance for OnDisk {
    fn store(&self) -> Arc<dyn SessionStore> {
        Arc::new(self.store.clone())
    }

    fn list(&self) -> Option<Arc<dyn SessionList>> {
        Some(Arc::new(self.store.clone()))
    }

    async fn reopen(&mut self) -> Result<(), BoxError> {
        self.store.close().await?;
        self.store = open(&self.disk, self.durability)?;
        Ok(())
    }

    async fn crash_and_reopen(&mut self) -> Result<(), BoxError> {
        self.disk = self.disk.after_power_loss();
        self.store = open(&self.disk, self.durability)?;
        Ok(())
    }

    async fn corrupt_message(&mut self, id: &SessionId, seq: u64) -> Result<(), BoxError> {
        self.corrupt(id, |txn, number| {
            let mut rows = txn.open_table(ROWS)?;
            let mut row = rows.get_mut((number, seq))?.ok_or("no such message")?;
            let damaged = flipped(row.value());
            row.insert(&damaged[..])?;
            Ok(())
        })
        .await
    }

    async fn corrupt_head(&mut self, id: &SessionId) -> Result<(), BoxError> {
        self.corrupt(id, |txn, number| {
            let mut heads = txn.open_table(HEADS)?;
            let mut row = heads.get_mut(number)?.ok_or("no head row")?;
            let damaged = flipped(row.value());
            row.insert(&damaged[..])?;
            Ok(())
        })
        .await
    }
}

mod immediate {
    durable_session_conformance::conformance_tests!(super::Redb(super::RedbDurability::Immediate));
}

mod quick_recovery {
    durable_session_conformance::conformance_tests!(super::Redb(super::RedbDurability::QuickRecovery));
}
