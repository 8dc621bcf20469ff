//! The store keeps the contract.
#![allow(clippy::unwrap_used)] // Clippy knows tests, but not their helpers.

use async_trait::async_trait;
use durable_session::SessionId;
use durable_session::store::{SessionList, SessionStore};
use durable_session_conformance::{BoxError, Capability, Factory, Instance, conformance_tests};
use log_store::LogStore;
use log_store::log::{Log, Record};
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
        use Capability::{AcceptsOnFirstPoll, Corrupt, List, ReachableLimits, Reopen, Threads};
        &[AcceptsOnFirstPoll, Corrupt, List, ReachableLimits, Reopen, Threads]
    }

    async fn create(&self) -> Result<Box<dyn Instance>, BoxError> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("sessions.log");
        Ok(Box::new(LogFile { store: Some(LogStore::open(&path)?), path, _folder: folder }))
    }
}

/// The folder goes when this does.
struct LogFile {
    store: Option<LogStore>,
    path: PathBuf,
    _folder: TempDir,
}

impl LogFile {
    fn store(&self) -> LogStore {
        self.store.clone().unwrap()
    }

    /// Flips a bit of the last row of the session that `wanted` picks, while the store is closed.
    fn damage(&mut self, id: &SessionId, wanted: impl Fn(&Record) -> bool) -> Result<(), BoxError> {
        self.store = None;
        let mut found = None;
        drop(Log::open(&self.path, |frame| {
            let mut at = usize::try_from(frame.rows_at).unwrap();
            for record in frame.header.iter().filter(|header| header.id == *id).flat_map(|h| &h.records) {
                if let Record::Message { len, .. } | Record::Head { len } = record {
                    let len = *len as usize;
                    if wanted(record) {
                        found = Some(at + len / 2);
                    }
                    at += len;
                }
            }
        })?);
        let mut bytes = std::fs::read(&self.path)?;
        let byte = found.and_then(|at| bytes.get_mut(at)).ok_or("no such row")?;
        *byte ^= 1;
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
}

conformance_tests!(LogFiles);
