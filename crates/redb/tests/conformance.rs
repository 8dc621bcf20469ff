//! The redb store keeps the contract on disks that forget unsynced writes: with its defaults, with
//! a log so small that nearly every write is followed by a flush, and with a file that is verified
//! first.
#![allow(clippy::unwrap_used)] // Clippy knows tests, but not their helpers.

use async_trait::async_trait;
use bytes::Bytes;
use durable_session::store::{SessionList, SessionStore};
use durable_session::{SessionId, rows};
use durable_session_conformance::{BoxError, Capability, Factory, Instance};
use durable_session_redb::{OpenCheck, RedbStore};
use redb::{Database, ReadableTable, TableDefinition};
use std::sync::Arc;
use testkit::disk::{Disk, DiskLog};

const IDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("durable-session.ids");
const HEADS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("durable-session.heads");
const ROWS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("durable-session.rows");
const CHUNKS: TableDefinition<'_, (u64, u64, u64), &[u8]> =
    TableDefinition::new("durable-session.chunks");

#[derive(Clone, Copy)]
enum Redb {
    Default,
    SmallLog,
    CheckedFirst,
}

#[async_trait(?Send)]
impl Factory for Redb {
    fn name(&self) -> &'static str {
        match self {
            Self::Default => "redb",
            Self::SmallLog => "redb with a small log",
            Self::CheckedFirst => "redb with files that are verified first",
        }
    }

    fn capabilities(&self) -> &'static [Capability] {
        use Capability::{
            AcceptsOnFirstPoll, Backup, Corrupt, Crash, List, Misplace, ReachableLimits, Reopen,
            Threads,
        };
        &[
            Reopen,
            Crash,
            Corrupt,
            Misplace,
            Backup,
            List,
            Threads,
            AcceptsOnFirstPoll,
            ReachableLimits,
        ]
    }

    async fn create(&self) -> Result<Box<dyn Instance>, BoxError> {
        let (disk, log) = (Disk::default(), DiskLog::default());
        let store = open(&disk, &log, *self)?;
        Ok(Box::new(OnDisk { store, disk, log, kind: *self, backup: None }))
    }
}

fn open(disk: &Disk, log: &DiskLog, kind: Redb) -> Result<RedbStore, BoxError> {
    let builder = match kind {
        // A simulated disk copies whole segments, so they are smaller than usual.
        Redb::Default => RedbStore::builder().log_bytes(8 << 20),
        // Segments of 4 KiB, and a memtable for a few messages.
        Redb::SmallLog => RedbStore::builder().log_bytes(24 << 10).memtable_bytes(1 << 10),
        Redb::CheckedFirst => RedbStore::builder().log_bytes(8 << 20).check(OpenCheck::First),
    };
    Ok(builder.open_backend(disk.backend(), log.clone())?)
}

struct OnDisk {
    store: RedbStore,
    disk: Disk,
    log: DiskLog,
    kind: Redb,
    /// The folder of the backup.
    backup: Option<tempfile::TempDir>,
}

impl OnDisk {
    /// Changes the file while the store is closed, and so after a flush.
    async fn change(
        &mut self,
        change: impl FnOnce(&redb::WriteTransaction) -> Result<(), BoxError>,
    ) -> Result<(), BoxError> {
        self.store.close().await?;
        let db = Database::builder().create_with_backend(self.disk.backend())?;
        let txn = db.begin_write()?;
        change(&txn)?;
        txn.commit()?;
        db.close()?;
        self.store = open(&self.disk, &self.log, self.kind)?;
        Ok(())
    }
}

fn number(txn: &redb::WriteTransaction, id: &SessionId) -> Result<u64, BoxError> {
    let ids = txn.open_table(IDS)?;
    let row = ids.get(id.as_str().as_bytes())?.ok_or("the session is not stored")?;
    Ok(rows::decode_number(id, row.value())?)
}

fn flipped(row: &[u8]) -> Vec<u8> {
    let mut row = row.to_vec();
    let middle = row.len() / 2;
    row[middle] ^= 1;
    row
}

/// Changes the row of a message; returns the old row.
fn change_message(
    txn: &redb::WriteTransaction,
    place: (u64, u64),
    change: impl Fn(&[u8]) -> Vec<u8>,
) -> Result<Vec<u8>, BoxError> {
    let mut rows = txn.open_table(ROWS)?;
    let mut row = rows.get_mut(place)?.ok_or("the message is not stored")?;
    let (old, new) = (row.value().to_vec(), change(row.value()));
    row.insert(&new[..])?;
    Ok(old)
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
        self.store = open(&self.disk, &self.log, self.kind)?;
        Ok(())
    }

    async fn crash_and_reopen(&mut self) -> Result<(), BoxError> {
        (self.disk, self.log) = (self.disk.after_power_loss(), self.log.after_power_loss());
        self.store = open(&self.disk, &self.log, self.kind)?;
        Ok(())
    }

    async fn corrupt_message(&mut self, id: &SessionId, seq: u64) -> Result<(), BoxError> {
        self.change(|txn| change_message(txn, (number(txn, id)?, seq), flipped).map(drop)).await
    }

    async fn corrupt_head(&mut self, id: &SessionId) -> Result<(), BoxError> {
        self.change(|txn| {
            let number = number(txn, id)?;
            let mut heads = txn.open_table(HEADS)?;
            let mut row = heads.get_mut(number)?.ok_or("no head row")?;
            let damaged = flipped(row.value());
            row.insert(&damaged[..])?;
            Ok(())
        })
        .await
    }

    async fn corrupt_chunk(
        &mut self,
        id: &SessionId,
        seq: u64,
        offset: u64,
    ) -> Result<(), BoxError> {
        self.change(|txn| {
            let number = number(txn, id)?;
            let mut chunks = txn.open_table(CHUNKS)?;
            let before = chunks.range((number, seq, 0)..=(number, seq, offset))?.next_back();
            let place = before.transpose()?.ok_or("no such chunk")?.0.value();
            let row = Bytes::copy_from_slice(chunks.get(place)?.ok_or("no such row")?.value());
            if rows::decode_chunks(id, number, seq, place.2, &row)?.end() <= offset {
                return Err("no such chunk".into());
            }
            chunks.insert(place, &flipped(&row)[..])?;
            Ok(())
        })
        .await
    }

    async fn misplace_message(
        &mut self,
        from: &SessionId,
        to: &SessionId,
        seq: u64,
    ) -> Result<(), BoxError> {
        self.change(|txn| {
            let row = change_message(txn, (number(txn, from)?, seq), <[u8]>::to_vec)?;
            change_message(txn, (number(txn, to)?, seq), |_| row.clone()).map(drop)
        })
        .await
    }

    async fn back_up(&mut self) -> Result<(), BoxError> {
        let folder = tempfile::tempdir()?;
        self.store.backup(folder.path().join("copy.redb"), |_| {}).await?;
        self.backup = Some(folder);
        Ok(())
    }

    async fn restore_backup(&mut self) -> Result<(), BoxError> {
        let folder = self.backup.as_ref().ok_or("no backup was made")?;
        self.store.close().await?;
        self.disk = Disk::with(std::fs::read(folder.path().join("copy.redb"))?);
        self.log = DiskLog::default();
        self.store = open(&self.disk, &self.log, self.kind)?;
        Ok(())
    }
}

mod default {
    durable_session_conformance::conformance_tests!(super::Redb::Default);
}

mod small_log {
    durable_session_conformance::conformance_tests!(super::Redb::SmallLog);
}

mod checked_first {
    durable_session_conformance::conformance_tests!(super::Redb::CheckedFirst);
}
