//! Requests on the whole store: closing it, opening it again, compaction.

use super::recovery::replace_connection;
use super::writer_state::Writer;
use crate::backend::Storage;
use crate::error::{Fault, OpenError, caught, closed};
use crate::gate::Verdict;
use crate::scrub::{self, Ended};
use crate::shared_store::{Connection, Db};
use durable_session::store::{StoreError, StoreErrorKind};
use redb::Database;
use std::sync::Arc;
use std::time::Duration;

/// How long closing waits for a verification. After that, the next opening goes on with the log.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

impl Writer {
    /// Opens the store again because the operator asked. If only the host can open the storage
    /// again, fails and keeps the open database.
    pub(super) fn reopen_on_request(&mut self) -> Result<(), OpenError> {
        if !self.source.place.can_reopen() {
            return Err(OpenError::HostMustReopen);
        }
        self.stop_flush();
        let shared = Arc::clone(&self.shared);
        let mut connection = shared.connection_mut();
        let reopened = self.reopen(&mut connection);
        drop(connection);
        reopened.map(|verified| self.verify(verified))
    }

    /// Moves all changes to the tables.
    fn flush_all(&mut self) -> Result<(), StoreError> {
        // The first flush is that of a memtable that was frozen before.
        for _ in 0..2 {
            self.flush_whole()?;
            self.freeze();
        }
        self.flush_whole()
    }

    pub(super) fn compact(&mut self) -> Result<bool, StoreError> {
        self.rearrange("compacting", |db, _| match db.compact() {
            Ok(compacted) => Ok(compacted),
            Err(redb::CompactionError::Storage(error)) => Err(Ended::from(error)),
            Err(other) => Err(Ended::Compaction(other)),
        })
    }

    pub(super) fn scrub(&mut self) -> Result<(), StoreError> {
        self.rearrange("scrubbing", |db, storage| {
            scrub::scrub(db, || storage.len().map_err(redb::Error::from))
        })
    }

    /// Flushes, has `work` rearrange the file while nobody uses it, and empties the log.
    fn rearrange<T>(
        &mut self,
        doing: &'static str,
        work: impl FnOnce(&mut Database, &Storage) -> Result<T, Ended>,
    ) -> Result<T, StoreError> {
        self.attend();
        self.retry_reopening();
        if let Some(error) = self.shared.refusal() {
            return Err(error);
        }
        // The log holds deleted text, too.
        self.flush_all()?;
        let shared = Arc::clone(&self.shared);
        let storage = shared.monitor.storage();
        let mut connection = shared.connection_mut();
        let done = match &mut *connection {
            Connection::Failed(error) => return Err(error.clone()),
            Connection::Closed | Connection::Open(Db::ReadOnly(_)) => return Err(closed()),
            Connection::Open(Db::Own(db)) => caught(|| work(db, &storage)),
        };
        drop(connection);
        let fault = match done {
            Ok(Ok(value)) => return self.empty_the_log().map(|()| value),
            Ok(Err(Ended::Failed(error))) => Fault::Redb(error),
            Ok(Err(Ended::Compaction(other))) => {
                let error = StoreError::new(
                    StoreErrorKind::Unavailable,
                    "the file cannot be compacted while a backup or a verification reads it",
                );
                return Err(error.with_source(other));
            }
            Err(message) => Fault::Panic(message),
        };
        let error = fault.unchanged(doing);
        self.database_failed(Vec::new(), &error);
        Err(error)
    }

    /// Leaves an empty log, if everything is flushed.
    fn empty_the_log(&mut self) -> Result<(), StoreError> {
        let last = self.shared.memtable().last();
        let Some(log) = &mut self.log else { return Ok(()) };
        let scrubbed = log.scrub(last);
        self.count_log();
        scrubbed.map_err(|error| {
            let text = "the log could not be emptied; it may hold deleted text";
            StoreError::new(StoreErrorKind::Unavailable, text).with_source(error)
        })
    }

    pub(super) fn close(&mut self) -> Result<(), StoreError> {
        self.attend();
        // A file that is not verified is left as it is, and the log keeps the changes.
        let verified = self.shared.gate.wait_for(CLOSE_PATIENCE);
        let sound = matches!(verified, Some(Ok(()))) && self.shared.refusal().is_none();
        let mut flushed = Ok(());
        if sound {
            flushed = self.flush_all().and_then(|()| self.empty_the_log());
        }
        self.stop_flush();
        if let Some(log) = &mut self.log
            && let Err(error) = log.seal()
        {
            tracing::warn!(%error, "the log was not sealed");
        }
        let shared = Arc::clone(&self.shared);
        // Calls that wait for a verification need not wait for its next read to end.
        shared.gate.begin(Verdict::Refused(closed()));
        let mut connection = shared.connection_mut();
        if !sound || flushed.is_err() {
            self.drop_without_writes(&mut connection);
        }
        let old = std::mem::replace(&mut *connection, Connection::Closed);
        drop(connection);
        self.let_go_of_the_log();
        if let Some(error) = &*shared.poisoned() {
            return Err(error.clone());
        }
        let closing = "closing, with all acknowledged changes stored";
        match old {
            Connection::Open(Db::Own(db)) if !shared.is_read_only() => {
                caught(|| db.close().map_err(Fault::from))
                    .unwrap_or_else(|message| Err(Fault::Panic(message)))
                    .map_err(|fault| fault.unchanged(closing))
            }
            mut other => {
                replace_connection(&mut other, Connection::Closed);
                shared.monitor.cut();
                flushed
            }
        }
    }
}
