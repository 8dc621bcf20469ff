//! The store passes the conformance suite.
#![allow(clippy::unwrap_used)] // Clippy knows tests, but not their helpers.

use async_trait::async_trait;
use durable_session::SessionId;
use durable_session::store::{SessionList, SessionStore};
use durable_session_conformance::{BoxError, Capability, Factory, Instance, conformance_tests};
use log_store::LogStore;
use log_store::log::{Change, Header, Log, Record};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

struct LogFiles;

#[async_trait(?Send)]
impl Factory for LogFiles {
    fn name(&self) -> &'static str {
        "log"
    }

    fn capabilities(&self) -> &'static [Capability] {
        use Capability::{
            AcceptsOnFirstPoll, Backup, Corrupt, List, Misplace, ReachableLimits, Reopen, Threads,
        };
        &[AcceptsOnFirstPoll, Backup, Corrupt, List, Misplace, ReachableLimits, Reopen, Threads]
    }

    async fn create(&self) -> Result<Box<dyn Instance>, BoxError> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("sessions.log");
        Ok(Box::new(LogFile { store: Some(LogStore::open(&path)?), path, _folder: folder }))
    }
}

/// A store in a temporary folder, which is removed with it.
struct LogFile {
    store: Option<LogStore>,
    path: PathBuf,
    _folder: TempDir,
}

impl LogFile {
    fn store(&self) -> LogStore {
        self.store.clone().unwrap()
    }

    fn copy(&self) -> PathBuf {
        self.path.with_extension("copy")
    }

    /// The number of the session, and the place in the file of its last row that `wanted` picks.
    /// The store must be closed.
    fn find(
        &self,
        id: &SessionId,
        wanted: impl Fn(&Record) -> bool,
    ) -> Result<(u64, Range<usize>), BoxError> {
        let mut found = None;
        Log::open(&self.path, None, |frame| {
            let Header::Change(change) = frame.header else { return };
            let mut at = usize::try_from(frame.rows_at).unwrap();
            for record in change.records {
                let (Record::Message { len, .. }
                | Record::Head { len }
                | Record::Reply { len, .. }
                | Record::Chunks { len, .. }) = record
                else {
                    continue;
                };
                let end = at + len as usize;
                if change.id == *id && wanted(&record) {
                    found = Some((change.number, at..end));
                }
                at = end;
            }
        })?;
        found.ok_or_else(|| "no such row".into())
    }

    /// Closes the store, flips a bit of a row and opens the store again.
    fn damage(&mut self, id: &SessionId, wanted: impl Fn(&Record) -> bool) -> Result<(), BoxError> {
        self.store = None;
        let (_, row) = self.find(id, wanted)?;
        let mut bytes = std::fs::read(&self.path)?;
        bytes[usize::midpoint(row.start, row.end)] ^= 1;
        std::fs::write(&self.path, bytes)?;
        self.store = Some(LogStore::open(&self.path)?);
        Ok(())
    }
}

#[async_trait(?Send)]
impl Instance for LogFile {
    fn store(&self) -> Arc<dyn SessionStore> {
        Arc::new(self.store())
    }

    fn list(&self) -> Option<Arc<dyn SessionList>> {
        Some(Arc::new(self.store()))
    }

    async fn reopen(&mut self) -> Result<(), BoxError> {
        self.store = None;
        self.store = Some(LogStore::open(&self.path)?);
        Ok(())
    }

    async fn corrupt_message(&mut self, id: &SessionId, wanted: u64) -> Result<(), BoxError> {
        self.damage(id, |record| matches!(record, Record::Message { seq, .. } if *seq == wanted))
    }

    async fn corrupt_head(&mut self, id: &SessionId) -> Result<(), BoxError> {
        self.damage(id, |record| matches!(record, Record::Head { .. }))
    }

    async fn corrupt_chunk(
        &mut self,
        id: &SessionId,
        wanted: u64,
        offset: u64,
    ) -> Result<(), BoxError> {
        self.damage(id, |record| match record {
            Record::Chunks { seq, offset: first, chunks: end, .. } => {
                *seq == wanted && (*first..*end).contains(&offset)
            }
            _ => false,
        })
    }

    async fn misplace_message(
        &mut self,
        from: &SessionId,
        to: &SessionId,
        wanted: u64,
    ) -> Result<(), BoxError> {
        self.store = None;
        let is_it =
            |record: &Record| matches!(record, Record::Message { seq, .. } if *seq == wanted);
        let (_, row) = self.find(from, is_it)?;
        let (number, _) = self.find(to, is_it)?;
        let row = std::fs::read(&self.path)?[row].to_vec();
        let records = vec![Record::Message { seq: wanted, tag: 0, len: u32::try_from(row.len())? }];
        let change = Change { id: to.clone(), number, records };
        let (mut log, _) = Log::open(&self.path, None, |_| {})?;
        log.append(&Header::Change(change), &row)?;
        drop(log);
        self.store = Some(LogStore::open(&self.path)?);
        Ok(())
    }

    async fn back_up(&mut self) -> Result<(), BoxError> {
        std::fs::copy(&self.path, self.copy())?;
        Ok(())
    }

    async fn restore_backup(&mut self) -> Result<(), BoxError> {
        self.store = None;
        std::fs::copy(self.copy(), &self.path)?;
        self.store = Some(LogStore::open_restored(&self.path)?);
        Ok(())
    }
}

conformance_tests!(LogFiles);
