//! The disk as redb sees it.

use crate::change::at;
use crate::{Change, Disk, Event, How, PATIENCE, State};
use redb::StorageBackend;
use std::io;
use std::sync::PoisonError;
use std::time::Instant;

/// A [`Disk`] as storage for redb.
#[derive(Debug)]
pub struct DiskBackend(pub(crate) Disk);

impl State {
    /// Counts an operation; says whether and how it fails.
    fn operation(&mut self) -> Option<How> {
        self.counts.operations += 1;
        self.fail.filter(|fail| fail.hits(self.counts.operations)).map(|fail| fail.how)
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        if let Some(log) = &mut self.log {
            log.push(Event::Change(change.clone()));
        }
        self.unsynced.push(change);
    }

    /// What is left of unsynced changes after a failed sync, when that loses them.
    fn lose(&mut self) {
        let Some(bits) = self.lossy else { return };
        for (n, change) in std::mem::take(&mut self.unsynced).into_iter().enumerate() {
            if bits >> (n % 64) & 1 == 1 {
                change.apply(&mut self.durable);
            }
        }
    }
}

impl StorageBackend for DiskBackend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.state().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.0.state();
        state.counts.reads += 1;
        state.counts.bytes_read += out.len() as u64;
        if state.fail_reads || state.fail_read_at == Some(state.counts.reads) {
            return Err(io::Error::other("the disk cannot read"));
        }
        let start = at(offset);
        let end = start.checked_add(out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        let from = state.seen.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(from);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.0.state();
        if let Some(how) = state.operation() {
            return Err(how.error());
        }
        state.change(Change::Length(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.0.state();
        state.syncs_waiting += 1;
        self.0.0.changed.notify_all();
        let began = Instant::now();
        while state.gate_closed {
            if began.elapsed() > PATIENCE {
                state.syncs_waiting -= 1;
                return Err(io::Error::other("the test never opened the gate"));
            }
            let waited = self.0.0.changed.wait_timeout(state, PATIENCE);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.syncs_waiting -= 1;
        if let Some(how) = state.operation() {
            state.lose();
            return Err(how.error());
        }
        state.counts.syncs += 1;
        let State { durable, unsynced, log, .. } = &mut *state;
        for change in unsynced.drain(..) {
            change.apply(durable);
        }
        if let Some(log) = log {
            log.push(Event::Sync);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.0.state();
        if let Some(how) = state.operation() {
            if how == How::ShortWrite {
                state.change(Change::Write(offset, data[..data.len() / 2].into()));
            }
            return Err(how.error());
        }
        state.counts.writes += 1;
        state.counts.bytes_written += data.len() as u64;
        state.change(Change::Write(offset, data.into()));
        drop(state);
        self.0.0.changed.notify_all();
        Ok(())
    }
}
