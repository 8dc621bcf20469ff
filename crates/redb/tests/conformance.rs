//! The redb store keeps the contract: on a disk that forgets what was not synced, at both levels of durability, and with logs
//! so small that messages are folded into the rows all the time.
#![allow(clippy::unwrap_used)] // Clippy knows tests, but not their helpers.

use async_trait::async_trait;
use durable_session::SessionId;
use durable_session::store::{SessionList, SessionStore};
use durable_session_conformance::{BoxError, Capability, Factory, Instance};
use durable_session_redb::{RedbDurability, RedbStore};
use redb::{Database, ReadableTable, TableDefinition};
use std::sync::Arc;
use torture_disk::Disk;

const IDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("durable-session.ids");
const HEADS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("durable-session.heads");
const ROWS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("durable-session.rows");

const LOGS: [TableDefinition<'_, u64, &[u8]>; 2] =
    [TableDefinition::new("durable-session.log-a"), TableDefinition::new("durable-session.log-b")];

#[derive(Clone, Copy)]
enum Redb {
    Immediate,
    QuickRecovery,
    SmallLogs,
}

#[async_trait(?Send)]
impl Factory for Redb {
    fn name(&self) -> &'static str {
        match self {
            Self::Immediate => "redb",
            Self::QuickRecovery => "redb with quick recovery",
            Self::SmallLogs => "redb with small logs",
        }
    }

    fn capabilities(&self) -> &'static [Capability] {
        use Capability::{AcceptsOnFirstPoll, Corrupt, Crash, List, ReachableLimits, Reopen, Threads};
        &[Reopen, Crash, Corrupt, List, Threads, AcceptsOnFirstPoll, ReachableLimits]
    }

    async fn create(&self) -> Result<Box<dyn Instance>, BoxError> {
        let disk = Disk::default();
        Ok(Box::new(OnDisk { store: open(&disk, *self)?, disk, kind: *self }))
    }
}

fn open(disk: &Disk, kind: Redb) -> Result<RedbStore, BoxError> {
    let builder = match kind {
        Redb::Immediate => RedbStore::builder(),
        Redb::QuickRecovery => RedbStore::builder().durability(RedbDurability::QuickRecovery),
        Redb::SmallLogs => RedbStore::builder().log_bytes(300),
    };
    Ok(builder.open_backend(disk.backend())?)
}

struct OnDisk {
    store: RedbStore,
    disk: Disk,
    kind: Redb,
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
        self.store = open(&self.disk, self.kind)?;
        Ok(())
    }
}

fn flipped(row: &[u8]) -> Vec<u8> {
    let mut row = row.to_vec();
    let middle = row.len() / 2;
    row[middle] ^= 1;
    row
}

/// Flips a bit of a message's row in a log, if it is there.
fn damage_logged(log: &mut redb::Table<'_, u64, &[u8]>, number: u64, seq: u64) -> Result<(), BoxError> {
    let mut damaged = Vec::new();
    for stored in log.iter()? {
        let (position, stored) = stored?;
        let mut entry = stored.value().to_vec();
        let mut at = 1;
        while at < entry.len() - 8 {
            let word = |from: usize| entry[at + from..at + from + 8].try_into().map(u64::from_le_bytes);
            let id_bytes = usize::from(u16::from_le_bytes(entry[at + 16..at + 18].try_into()?));
            let row_bytes = usize::try_from(u32::from_le_bytes(entry[at + 18..at + 22].try_into()?))?;
            let row = at + 30 + id_bytes;
            if (word(0)?, word(8)?) == (number, seq) {
                entry[row + row_bytes / 2] ^= 1;
            }
            at = row + row_bytes;
        }
        damaged.push((position.value(), entry));
    }
    for (position, entry) in damaged {
        log.insert(position, &entry[..])?;
    }
    Ok(())
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
        self.store = open(&self.disk, self.kind)?;
        Ok(())
    }

    async fn crash_and_reopen(&mut self) -> Result<(), BoxError> {
        self.disk = self.disk.after_power_loss();
        self.store = open(&self.disk, self.kind)?;
        Ok(())
    }

    async fn corrupt_message(&mut self, id: &SessionId, seq: u64) -> Result<(), BoxError> {
        self.corrupt(id, |txn, number| {
            for log in LOGS {
                damage_logged(&mut txn.open_table(log)?, number, seq)?;
            }
            if let Some(mut row) = txn.open_table(ROWS)?.get_mut((number, seq))? {
                let damaged = flipped(row.value());
                row.insert(&damaged[..])?;
            }
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
    durable_session_conformance::conformance_tests!(super::Redb::Immediate);
}

mod quick_recovery {
    durable_session_conformance::conformance_tests!(super::Redb::QuickRecovery);
}

mod small_logs {
    durable_session_conformance::conformance_tests!(super::Redb::SmallLogs);
}
