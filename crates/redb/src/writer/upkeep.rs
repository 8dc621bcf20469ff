//! Flushes: when a memtable is frozen, and how long writes wait for one.

use super::writer_state::{Frozen, RETRY_AFTER, Writer};
use crate::error::{Fault, Scope};
use crate::flush::{FlushJob, Flushed};
use durable_session::store::{StoreError, StoreErrorKind};
use std::sync::Arc;
use std::time::Instant;

impl Writer {
    /// Looks at the flush, and begins one that waits.
    pub(super) fn attend(&mut self) {
        if let Some(flushed) = self.flusher.take() {
            self.flush_ended(flushed);
        }
        self.look_at_suspicions();
        self.begin_flush();
    }

    /// Freezes the memtable if it or its part of the log is half as large as allowed.
    pub(super) fn freeze_if_due(&mut self) {
        if self.has_filled(2) {
            // The flush is slower than the writes. The next one does not rest at all.
            self.flush_is_late |= self.frozen.is_some();
            self.freeze();
            self.begin_flush();
        }
        if self.frozen.is_some() && self.has_filled(16) {
            self.flusher.hurry();
        }
    }

    /// Whether the active memtable, or its part of the log, is as large as this part of the limit.
    fn has_filled(&self, part: u8) -> bool {
        self.logged >= self.settings.log_bytes / u64::from(part)
            || self.memtable_has_filled(part.into())
    }

    fn memtable_has_filled(&self, part: usize) -> bool {
        self.shared.memtable().active_bytes() >= self.settings.memtable_bytes / part
    }

    /// Freezes the memtable, unless one is frozen already.
    pub(super) fn freeze(&mut self) {
        if self.frozen.is_some() {
            return;
        }
        let mut memtable = self.shared.memtable_mut();
        let frozen = Frozen { flushed: memtable.last(), next_number: memtable.next_number() };
        if memtable.freeze().is_some() {
            self.frozen = Some(frozen);
            self.logged = 0;
        }
    }

    /// Begins to flush the frozen memtable, if it may be flushed now.
    fn begin_flush(&mut self) -> bool {
        let Some(Frozen { flushed, next_number }) = self.frozen.filter(|_| self.may_flush()) else {
            return false;
        };
        let layer = self.shared.memtable().frozen().map(Arc::clone);
        layer.is_some_and(|layer| {
            let late = std::mem::take(&mut self.flush_is_late);
            self.flusher.begin(FlushJob { layer, flushed, next_number }, late);
            true
        })
    }

    /// Nothing is flushed into a file that was not verified: redb can end the process when it
    /// changes damaged pages.
    fn may_flush(&self) -> bool {
        let failed_lately =
            self.flush_failure.as_ref().is_some_and(|(at, _)| at.elapsed() < RETRY_AFTER);
        self.shared.gate.is_sound()
            && self.shared.refusal().is_none()
            && !failed_lately
            && !self.flusher.is_busy()
            && self.shared.connection().writable().is_ok()
    }

    /// Stops a flush that runs. What it has put into the tables does no harm.
    pub(super) fn stop_flush(&mut self) {
        if let Some(flushed) = self.flusher.stop() {
            self.note(flushed);
        }
    }

    fn flush_ended(&mut self, flushed: Flushed) {
        let Some(fault) = self.note(flushed) else { return };
        let scope = fault.scope();
        let error = fault.unchanged("flushing");
        self.flush_failure = Some((Instant::now(), error.clone()));
        if scope == Scope::File {
            self.shared.poison(&error);
        } else {
            self.database_failed(Vec::new(), &error);
        }
    }

    /// Takes note of a flush that ended; returns its fault.
    fn note(&mut self, flushed: Flushed) -> Option<Fault> {
        match flushed {
            Flushed::Done(position) => {
                self.frozen = None;
                self.flush_failure = None;
                // Not earlier: until the tables have them durably, the changes are only here.
                if let Some(log) = &mut self.log {
                    log.release(position);
                }
                self.count_log();
                None
            }
            Flushed::Stopped => None,
            Flushed::Failed(fault) => Some(fault),
        }
    }

    /// Waits until the log and the memory have room for a batch of so many bytes.
    pub(super) fn make_room(&mut self, bytes: u64) -> Result<(), StoreError> {
        let mut failed = None;
        loop {
            // While flushes fail, also the one that was waited for, only the log sets a limit.
            let memory = self.frozen.is_none()
                || self.flush_failure.is_some()
                || !self.memtable_has_filled(2);
            let Some(log) = &self.log else { return Ok(()) };
            if memory && log.has_room(bytes) {
                return Ok(());
            }
            if let Some(error) = failed {
                return Err(error);
            }
            if self.frozen.is_none() {
                self.freeze();
            }
            failed = self.flush_whole().err();
        }
    }

    /// Flushes the frozen memtable, if there is one, and waits for the end.
    pub(super) fn flush_whole(&mut self) -> Result<(), StoreError> {
        if let Some(flushed) = self.flusher.wait() {
            self.flush_ended(flushed);
        }
        if self.frozen.is_none() {
            return Ok(());
        }
        self.shared.gate.wait()?;
        if !self.begin_flush() {
            return Err(self.cannot_flush());
        }
        if let Some(flushed) = self.flusher.wait() {
            self.flush_ended(flushed);
        }
        if self.frozen.is_none() { Ok(()) } else { Err(self.cannot_flush()) }
    }

    fn cannot_flush(&self) -> StoreError {
        if let Some(error) = self.shared.refusal() {
            return error;
        }
        if let Err(error) = self.shared.connection().writable() {
            return error;
        }
        let text = "the log is full and could not be flushed to the tables";
        let error = StoreError::new(StoreErrorKind::Unavailable, text);
        match &self.flush_failure {
            Some((_, cause)) => error.with_source(cause.clone()),
            None => error,
        }
    }
}
