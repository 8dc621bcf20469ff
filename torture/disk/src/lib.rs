//! A simulated disk with one file, under redb: it counts, it fails when told to, it forgets what was not synced, and it
//! can tell everything that was asked of it, so that the file of any moment can be built again.

mod backend;
mod change;
mod failure;

pub use backend::DiskBackend;
pub use change::{Change, Event, SECTOR};
pub use failure::{Failure, How};

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A test that waits this long has failed.
const PATIENCE: Duration = Duration::from_mins(1);

/// One simulated disk with one file. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct Disk(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// What reads see.
    seen: Vec<u8>,
    /// What survives a power loss.
    durable: Vec<u8>,
    unsynced: Vec<Change>,
    log: Option<Vec<Event>>,
    counts: Counts,
    fail: Option<Failure>,
    fail_reads: bool,
    fail_read_at: Option<u64>,
    /// Set: a failed sync loses what it was to write, some of it reaching the disk as these bits say.
    lossy: Option<u64>,
    /// While set, syncs wait.
    gate_closed: bool,
    syncs_waiting: u64,
}

/// What the disk was asked to do so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Writes.
    pub writes: u64,
    /// The bytes of all writes.
    pub bytes_written: u64,
    /// Syncs that succeeded.
    pub syncs: u64,
    /// Reads.
    pub reads: u64,
    /// The bytes of all reads.
    pub bytes_read: u64,
    /// Writes, changes of length and syncs.
    pub operations: u64,
}

impl Disk {
    /// A disk that holds these bytes, durably.
    pub fn with(bytes: Vec<u8>) -> Self {
        let disk = Self::default();
        disk.state().seen.clone_from(&bytes);
        disk.state().durable = bytes;
        disk
    }

    /// The same disk, which from now on keeps a log of all changes and syncs.
    pub fn logging(self) -> Self {
        self.state().log = Some(Vec::new());
        self
    }

    /// The disk as storage for redb.
    pub fn backend(&self) -> DiskBackend {
        DiskBackend(self.clone())
    }

    /// The disk as storage for redb, after the operating system has dropped its cache: reads see what the disk has.
    pub fn backend_without_cache(&self) -> DiskBackend {
        let mut state = self.state();
        let mut seen = state.durable.clone();
        state.unsynced.iter().for_each(|change| change.apply(&mut seen));
        state.seen = seen;
        drop(state);
        self.backend()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it was asked to do so far.
    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// How many changes are not synced.
    pub fn unsynced(&self) -> usize {
        self.state().unsynced.len()
    }

    /// How long the log is.
    pub fn log_len(&self) -> usize {
        self.state().log.as_ref().map_or(0, Vec::len)
    }

    /// Takes the log; what follows begins a new one.
    pub fn take_log(&self) -> Vec<Event> {
        self.state().log.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Waits until so many changes are unsynced, or a sync hangs at the closed gate.
    pub fn wait_for_unsynced(&self, changes: usize) {
        let began = Instant::now();
        let mut state = self.state();
        while state.unsynced.len() < changes && state.syncs_waiting == 0 {
            assert!(began.elapsed() < PATIENCE, "the writer never wrote");
            state = self.0.changed.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether a sync hangs at the closed gate.
    pub fn sync_waits(&self) -> bool {
        self.state().syncs_waiting > 0
    }

    /// Fails one operation, or from one on; `None`: none any more.
    pub fn fail(&self, failure: Option<Failure>) {
        self.state().fail = failure;
    }

    /// Fails all reads, or none any more.
    pub fn fail_reads(&self, fail: bool) {
        self.state().fail_reads = fail;
    }

    /// Fails the read of this number, counting from 1 like [`Counts::reads`].
    pub fn fail_read_at(&self, number: Option<u64>) {
        self.state().fail_read_at = number;
    }

    /// From now on a failed sync loses what it was to write, as systems do that mark such pages clean: reads go on seeing
    /// it, and some of it is on the disk, as `bits` say.
    pub fn lose_on_failed_sync(&self, bits: u64) {
        self.state().lossy = Some(bits);
    }

    /// Cuts the file short, durably, behind the back of whoever has it open.
    pub fn cut(&self, len: usize) {
        let mut state = self.state();
        state.seen.truncate(len);
        state.durable.truncate(len);
    }

    /// Makes syncs wait.
    pub fn close_gate(&self) {
        self.state().gate_closed = true;
    }

    /// Lets syncs go on.
    pub fn open_gate(&self) {
        self.state().gate_closed = false;
        self.0.changed.notify_all();
    }

    /// The disk after a power loss now: everything unsynced is gone.
    pub fn after_power_loss(&self) -> Self {
        self.after_power_loss_keeping(|_| false)
    }

    /// The disk after a power loss that came while the kernel was writing: `keep` says which unsynced changes
    /// happened to reach the disk.
    pub fn after_power_loss_keeping(&self, mut keep: impl FnMut(usize) -> bool) -> Self {
        let state = self.state();
        let mut durable = state.durable.clone();
        for (n, change) in state.unsynced.iter().enumerate() {
            if keep(n) {
                change.apply(&mut durable);
            }
        }
        Self::with(durable)
    }

    /// What reads see.
    pub fn bytes(&self) -> Vec<u8> {
        self.state().seen.clone()
    }

    /// Whether this text would survive a power loss now.
    pub fn holds_durably(&self, text: &str) -> bool {
        self.state().durable.windows(text.len()).any(|window| window == text.as_bytes())
    }
}
