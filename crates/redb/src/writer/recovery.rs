//! Failures of the storage. The two parts of a store recover each by itself: after a failure of the
//! log the changes are read from it again, and after a failure of the database it is opened again
//! over the same storage, whose lock is kept. If that fails, both are closed, and opened again
//! later.

use super::request::Request;
use super::thread::refuse;
use super::writer_state::Writer;
use crate::check;
use crate::error::{OpenError, caught, guarded};
use crate::gate::Verdict;
use crate::memtable::Memtable;
use crate::open;
use crate::open_read_only;
use crate::opened::{Context, Opened};
use crate::pair;
use crate::shared_store::{Connection, Counters, Db};
use crate::wal::Log;
use durable_session::store::{StoreError, StoreErrorKind};
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Instant;

impl Writer {
    /// A batch may be in the log or not. Readers are locked out before the first caller is told:
    /// later they see it or not, and never one after the other.
    pub(super) fn log_failed(&mut self, requests: Vec<Request>, error: io::Error) {
        tracing::warn!(%error, "the log could not be written; reading it again from the disk");
        let text = "the log failed while the change was being made durable";
        let error = StoreError::new(StoreErrorKind::OutcomeUnknown, text).with_source(error);
        self.stop_flush();
        let shared = Arc::clone(&self.shared);
        let mut connection = shared.connection_mut();
        refuse(requests, &error);
        self.forget();
        self.log = None;
        pair::forget_cached(&*self.source.log);
        let recovered = connection.writable().map(|db| {
            guarded(|| pair::recover_again(db, &self.source.log, self.settings, &self.random))
        });
        match recovered {
            Ok(Ok((log, memtable))) => {
                self.log = Some(log);
                *shared.memtable_mut() = memtable;
                Counters::add(&shared.counters.reopened, 1);
                self.count_log();
            }
            Ok(Err(error)) => self.give_up(&mut connection, &error),
            Err(_) => {}
        }
    }

    /// redb refuses all work after an I/O error until it is opened again. Its changes so far are
    /// those of flushes, which the log still has.
    pub(super) fn database_failed(&mut self, requests: Vec<Request>, error: &StoreError) {
        self.known.clear();
        self.stop_flush();
        let shared = Arc::clone(&self.shared);
        let mut connection = shared.connection_mut();
        refuse(requests, error);
        if !matches!(*connection, Connection::Open(_)) {
            return;
        }
        tracing::warn!(%error, "the storage failed; opening the database again");
        self.last_attempt = Some(Instant::now());
        let storage = shared.monitor.storage().take();
        self.drop_without_writes(&mut connection);
        let Some(storage) = storage else { return };
        let (log, last) = (self.log.as_ref().map(Log::id), shared.memtable().last());
        let context = Context {
            log: &self.source.log,
            settings: self.settings,
            monitor: &self.shared.monitor,
            random: &self.random,
        };
        let reopened = if shared.is_read_only() {
            open_read_only::storage(storage, context).map(|opened| opened.db)
        } else {
            open::database_again(storage, &mut self.source.place, context, log, last).map(Db::Own)
        };
        match reopened {
            Ok(db) => {
                *connection = Connection::Open(db);
                shared.take_suspicion();
                Counters::add(&shared.counters.reopened, 1);
                drop(connection);
                if !shared.is_read_only() {
                    check::start(&self.shared, &self.queue);
                }
            }
            Err(error) => self.give_up(&mut connection, &error),
        }
    }

    /// Reacts to reads that met failed storage, and to a verification that could not read it.
    pub(super) fn look_at_suspicions(&mut self) {
        if !self.shared.is_suspect() || !self.may_try_again() {
            return;
        }
        self.shared.take_suspicion();
        if matches!(*self.shared.connection(), Connection::Failed(_)) {
            self.retry_reopening();
        } else if self.shared.gate.may_try_again() {
            self.last_attempt = Some(Instant::now());
            check::start(&self.shared, &self.queue);
        } else {
            let text = "a read met failed storage";
            let error = StoreError::new(StoreErrorKind::Unavailable, text);
            self.database_failed(Vec::new(), &error);
        }
    }

    /// Opens the store again if it is closed after a failure, and the last attempt was long ago.
    pub(super) fn retry_reopening(&mut self) {
        let shared = Arc::clone(&self.shared);
        if !matches!(*shared.connection(), Connection::Failed(_)) {
            return;
        }
        if self.source.place.can_reopen() && self.may_try_again() {
            let mut connection = shared.connection_mut();
            let reopened = self.reopen(&mut connection);
            drop(connection);
            match reopened {
                Ok(verified) => self.verify(verified),
                Err(error) => tracing::error!(%error, "the store cannot be opened again yet"),
            }
        }
    }

    /// Closes what is open and opens both parts again. Says whether the file is verified. The
    /// caller holds the lock on the connection, so no read runs meanwhile.
    pub(super) fn reopen(&mut self, connection: &mut Connection) -> Result<bool, OpenError> {
        self.last_attempt = Some(Instant::now());
        self.forget();
        self.log = None;
        self.drop_without_writes(connection);
        replace_connection(connection, Connection::Closed);
        let monitor = Arc::clone(&self.shared.monitor);
        match open::reopen(&mut self.source, self.settings, &monitor, &self.random) {
            Ok(Opened { db, memtable, log, salt, verified, torn, .. }) => {
                let shared = &self.shared;
                shared.set_salt(salt);
                *connection = Connection::Open(db);
                *shared.memtable_mut() = memtable;
                self.log = log;
                shared.take_suspicion();
                *shared.poisoned() = None;
                Counters::add(&shared.counters.reopened, 1);
                Counters::add(&shared.counters.torn_batches, torn);
                self.count_log();
                Ok(verified)
            }
            Err(error) => {
                self.give_up(connection, &error);
                Err(error)
            }
        }
    }

    /// Closes the store until an attempt to open it again succeeds.
    fn give_up(&mut self, connection: &mut Connection, error: &OpenError) {
        tracing::error!(%error, "all calls fail until the store can be opened again");
        self.last_attempt = Some(Instant::now());
        self.let_go_of_the_log();
        self.drop_without_writes(connection);
        let error = reopening_failed(error);
        self.shared.gate.begin(Verdict::Refused(error.clone()));
        *connection = Connection::Failed(error);
    }

    /// Closes the segments of the log. Readers may still have some of them.
    pub(super) fn let_go_of_the_log(&mut self) {
        self.log = None;
        let mut memtable = self.shared.memtable_mut();
        *memtable = Memtable::new(memtable.last(), memtable.next_number());
    }

    /// Forgets all that was true of the storage that was open.
    fn forget(&mut self) {
        self.known.clear();
        self.frozen = None;
        self.logged = 0;
        self.flush_failure = None;
    }

    /// Drops a [`Db::Own`] without the writes that redb makes when it closes a file.
    ///
    /// No acknowledged change is lost: all of them are in the log. The writes of closing would go
    /// through B-trees that may be damaged.
    pub(super) fn drop_without_writes(&self, connection: &mut Connection) {
        match std::mem::replace(connection, Connection::Closed) {
            Connection::Open(Db::Own(db)) => self.shared.monitor.drop_without_writes(db),
            other => *connection = other,
        }
    }
}

/// Replaces the connection and drops the old one. If redb panics in the drop, the panic is caught
/// and logged.
pub(super) fn replace_connection(connection: &mut Connection, with: Connection) {
    let old = std::mem::replace(connection, with);
    if let Err(message) = caught(move || drop(old)) {
        tracing::warn!(message, "redb panicked while it closed the database");
    }
}

/// The error of all calls from a failed attempt to open the store again to a successful one.
fn reopening_failed(error: &OpenError) -> StoreError {
    let reason = error.source().map_or_else(String::new, |source| format!(" ({source})"));
    StoreError::new(
        error.kind(),
        format!("the storage failed, and opening the store again failed: {error}{reason}"),
    )
}
