//! A disk for tests: it counts, it fails when told to, and it forgets what was not synced.

use redb::StorageBackend;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// A test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// One simulated disk with one file. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    opened: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// What reads see.
    seen: Vec<u8>,
    /// What survives a power loss.
    durable: Vec<u8>,
    unsynced: Vec<Change>,
    counts: Counts,
    fail: Option<Failure>,
    fail_reads: bool,
    /// While set, syncs wait.
    gate_closed: bool,
    syncs_waiting: u64,
}

#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

/// What the disk was asked to do so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) writes: u64,
    pub(crate) bytes_written: u64,
    pub(crate) syncs: u64,
    pub(crate) reads: u64,
    pub(crate) bytes_read: u64,
    /// Writes, changes of length and syncs.
    pub(crate) operations: u64,
}

/// Which operation fails.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure {
    /// The number of the operation, counting from 1 like [`Counts::operations`].
    pub(crate) at: u64,
    /// Every later one, too.
    pub(crate) forever: bool,
}

impl Disk {
    pub(crate) fn backend(&self) -> DiskBackend {
        DiskBackend(self.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.state().counts
    }

    pub(crate) fn unsynced(&self) -> usize {
        self.state().unsynced.len()
    }

    /// Waits until so many changes are unsynced, or a sync hangs at the closed gate.
    pub(crate) fn wait_for_unsynced(&self, changes: usize) {
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < PATIENCE, "the writer never wrote");
            let state = self.state();
            if state.unsynced.len() >= changes || state.syncs_waiting > 0 {
                return;
            }
            drop(state);
            std::thread::yield_now();
        }
    }

    pub(crate) fn fail(&self, failure: Option<Failure>) {
        self.state().fail = failure;
    }

    pub(crate) fn fail_reads(&self, fail: bool) {
        self.state().fail_reads = fail;
    }

    pub(crate) fn close_gate(&self) {
        self.state().gate_closed = true;
    }

    pub(crate) fn open_gate(&self) {
        self.state().gate_closed = false;
        self.0.opened.notify_all();
    }

    /// The disk after a power loss now: everything unsynced is gone.
    pub(crate) fn after_power_loss(&self) -> Disk {
        self.after_power_loss_keeping(|_| false)
    }

    /// The disk after a power loss that came while the kernel was writing: `keep` says which unsynced changes
    /// happened to reach the disk.
    pub(crate) fn after_power_loss_keeping(&self, mut keep: impl FnMut(usize) -> bool) -> Disk {
        let state = self.state();
        let mut durable = state.durable.clone();
        for (n, change) in state.unsynced.iter().enumerate() {
            if keep(n) {
                change.apply(&mut durable);
            }
        }
        Disk::with(durable)
    }

    pub(crate) fn with(bytes: Vec<u8>) -> Disk {
        let disk = Disk::default();
        disk.state().seen.clone_from(&bytes);
        disk.state().durable = bytes;
        disk
    }

    pub(crate) fn holds_durably(&self, text: &str) -> bool {
        self.state().durable.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Length(len) => to.resize(usize::try_from(*len).unwrap(), 0),
            Self::Write(offset, data) => {
                let start = usize::try_from(*offset).unwrap();
                // A write may outlive the growth that it came after.
                if to.len() < start + data.len() {
                    to.resize(start + data.len(), 0);
                }
                to[start..start + data.len()].copy_from_slice(data);
            }
        }
    }
}

impl State {
    fn operation(&mut self) -> io::Result<()> {
        self.counts.operations += 1;
        match self.fail {
            Some(fail) if fail.at == self.counts.operations => Err(io::Error::other("the disk failed")),
            Some(fail) if fail.forever && fail.at < self.counts.operations => {
                Err(io::Error::other("the disk still fails"))
            }
            _ => Ok(()),
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.unsynced.push(change);
    }
}

#[derive(Debug)]
pub(crate) struct DiskBackend(Disk);

impl StorageBackend for DiskBackend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.state().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.0.state();
        state.counts.reads += 1;
        state.counts.bytes_read += out.len() as u64;
        if state.fail_reads {
            return Err(io::Error::other("the disk cannot read"));
        }
        let start = usize::try_from(offset).unwrap();
        let from = state.seen.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(from);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.0.state();
        state.operation()?;
        state.change(Change::Length(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.0.state();
        state.syncs_waiting += 1;
        let began = Instant::now();
        while state.gate_closed {
            if began.elapsed() > PATIENCE {
                state.syncs_waiting -= 1;
                return Err(io::Error::other("the test never opened the gate"));
            }
            state = self.0.0.opened.wait_timeout(state, PATIENCE).unwrap().0;
        }
        state.syncs_waiting -= 1;
        state.operation()?;
        state.counts.syncs += 1;
        let State { durable, unsynced, .. } = &mut *state;
        for change in unsynced.drain(..) {
            change.apply(durable);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.0.state();
        state.operation()?;
        state.counts.writes += 1;
        state.counts.bytes_written += data.len() as u64;
        state.change(Change::Write(offset, data.to_vec()));
        Ok(())
    }
}
