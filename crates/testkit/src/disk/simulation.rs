//! The state of a simulated disk.

use super::change::Event;
use super::content::Content;
use super::failure::Failure;
use super::part::{Counts, File, Part, Watches};
use super::stored::{Shared, Stored, lock};
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A test that waits this long has failed.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// The files of a disk by their names.
pub type Files = BTreeMap<File, Content>;

/// One simulated disk. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct Disk(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    /// Something was written, a sync began to wait, or a gate was opened.
    changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) files: BTreeMap<File, Shared>,
    log: Option<Vec<Event>>,
    /// The most bytes of all segments together.
    pub(super) segment_bytes: Option<u64>,
    pub(super) watches: Watches,
    /// Reads by threads of this name take so long.
    pub(super) slow_reads: Option<(&'static str, Duration)>,
    /// While set, a failed sync loses its changes; some reach the disk, as these bits say.
    pub(super) lossy: Option<u64>,
}

impl State {
    pub(super) fn log(&mut self, event: Event) {
        if let Some(log) = &mut self.log {
            log.push(event);
        }
    }

    fn sync_waits(&self, part: Part) -> bool {
        self.watches.of(part).syncs_waiting > 0
    }

    /// Whether there is room for a segment of this length.
    pub(super) fn has_room(&self, len: u64) -> bool {
        let segments = self.files.iter().filter(|(file, _)| **file != File::Main);
        let taken: u64 = segments.map(|(_, file)| lock(file).seen.len() as u64).sum();
        self.segment_bytes.is_none_or(|most| taken + len <= most)
    }

    fn unsynced(&self) -> usize {
        self.files.values().map(|file| lock(file).unsynced.len()).sum()
    }

    fn map(&self, mut content: impl FnMut(&Stored) -> Content) -> Files {
        self.files.iter().map(|(&file, stored)| (file, content(&lock(stored)))).collect()
    }
}

/// A disk with an empty file for redb.
impl Default for Disk {
    fn default() -> Self {
        Self::holding(Files::new())
    }
}

impl Disk {
    /// A disk with a file for redb that holds these bytes, durably, and no log.
    pub fn with(bytes: Vec<u8>) -> Self {
        Self::holding(Files::from([(File::Main, bytes.into())]))
    }

    /// A disk with these files, all durable.
    pub fn holding(mut files: Files) -> Self {
        files.entry(File::Main).or_default();
        let stored = |content| Arc::new(Mutex::new(Stored::durable(content)));
        let files = files.into_iter().map(|(file, content)| (file, stored(content))).collect();
        let state = State { files, ..State::default() };
        Self(Arc::new(Inner { state: Mutex::new(state), changed: Condvar::new() }))
    }

    /// The same disk, which from now on keeps a log of all changes and syncs.
    pub fn logging(self) -> Self {
        self.state().log = Some(Vec::new());
        self
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn forget_cached(&self, file: File) {
        if let Some(file) = self.state().files.get(&file) {
            lock(file).forget_cached();
        }
    }

    /// Wakes everybody who waits for the disk.
    pub(super) fn wake(&self) {
        self.0.changed.notify_all();
    }

    /// Waits until somebody wakes.
    pub(super) fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let waited = self.0.changed.wait_timeout(state, PATIENCE);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Lets each read by a thread of this name take so long.
    pub fn slow_reads_of(&self, thread: &'static str, pause: Duration) {
        self.state().slow_reads = Some((thread, pause));
    }

    /// The operations so far.
    pub fn counts(&self) -> Counts {
        self.counts_of(Part::All)
    }

    /// The operations so far on these files.
    pub fn counts_of(&self, part: Part) -> Counts {
        self.state().watches.of(part).counts
    }

    /// How many changes are not synced.
    pub fn unsynced(&self) -> usize {
        self.state().unsynced()
    }

    /// How long the log of changes is.
    pub fn log_len(&self) -> usize {
        self.state().log.as_ref().map_or(0, Vec::len)
    }

    /// Takes the log of changes; the next change begins a new one.
    pub fn take_log(&self) -> Vec<Event> {
        self.state().log.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Waits until so many changes are unsynced, or a sync hangs at a closed gate.
    pub fn wait_for_unsynced(&self, changes: usize) {
        let began = Instant::now();
        let mut state = self.state();
        while state.unsynced() < changes && !state.sync_waits(Part::All) {
            assert!(began.elapsed() < PATIENCE, "the writer never wrote");
            state = self.wait(state);
        }
    }

    /// Whether a sync hangs at a closed gate.
    pub fn sync_waits(&self) -> bool {
        self.sync_waits_in(Part::All)
    }

    /// Whether a sync of these files hangs at a closed gate.
    pub fn sync_waits_in(&self, part: Part) -> bool {
        self.state().sync_waits(part)
    }

    /// Fails one operation, or from one on; `None`: none any more.
    pub fn fail(&self, failure: Option<Failure>) {
        self.fail_in(Part::All, failure);
    }

    /// The same of the operations on these files.
    pub fn fail_in(&self, part: Part, failure: Option<Failure>) {
        self.state().watches.of_mut(part).fail = failure;
    }

    /// Fails all reads, or none any more.
    pub fn fail_reads(&self, fail: bool) {
        self.fail_reads_in(Part::All, fail);
    }

    /// The same of the reads of these files.
    pub fn fail_reads_in(&self, part: Part, fail: bool) {
        self.state().watches.of_mut(part).fail_reads = fail;
    }

    /// Fails the read of this number, counting from 1 like [`Counts::reads`].
    pub fn fail_read_at(&self, number: Option<u64>) {
        self.state().watches.of_mut(Part::All).fail_read_at = number;
    }

    /// From now on a failed sync loses its changes, as on systems that mark such pages clean: reads
    /// go on seeing them, and some of them are on the disk, as `bits` say.
    pub fn lose_on_failed_sync(&self, bits: u64) {
        self.state().lossy = Some(bits);
    }

    /// Cuts the file of redb short, durably, also while it is open.
    pub fn cut(&self, len: usize) {
        if let Some(main) = self.state().files.get(&File::Main) {
            let mut main = lock(main);
            let mut bytes = main.seen.to_vec();
            bytes.truncate(len);
            main.seen = bytes.into();
            let mut bytes = main.durable.to_vec();
            bytes.truncate(len);
            main.durable = bytes.into();
        }
    }

    /// Makes all syncs wait.
    pub fn close_gate(&self) {
        self.close_gate_of(Part::All);
    }

    /// Makes syncs of these files wait.
    pub fn close_gate_of(&self, part: Part) {
        self.state().watches.of_mut(part).gate_closed = true;
    }

    /// Lets all syncs go on.
    pub fn open_gate(&self) {
        for part in [Part::All, Part::Main, Part::Log] {
            self.open_gate_of(part);
        }
    }

    /// Takes back [`close_gate_of`](Self::close_gate_of) of the same part.
    pub fn open_gate_of(&self, part: Part) {
        self.state().watches.of_mut(part).gate_closed = false;
        self.wake();
    }

    /// The disk after a power loss now: everything unsynced is gone.
    pub fn after_power_loss(&self) -> Self {
        self.after_power_loss_keeping(|_| false)
    }

    /// The disk after a power loss that came while the kernel was writing: `keep` says which
    /// unsynced changes happened to reach the disk. It counts them file by file, redb's first.
    pub fn after_power_loss_keeping(&self, mut keep: impl FnMut(usize) -> bool) -> Self {
        let mut number = 0;
        Self::holding(self.state().map(|file| {
            file.keeping(|| {
                number += 1;
                keep(number - 1)
            })
        }))
    }

    /// The content of all files that reads see.
    pub fn files(&self) -> Files {
        self.state().map(|file| file.seen.clone())
    }

    /// The content of redb's file that reads see.
    pub fn bytes(&self) -> Vec<u8> {
        self.files().remove(&File::Main).unwrap_or_default().to_vec()
    }

    /// Whether this text would survive a power loss now, in any file.
    pub fn holds_durably(&self, text: &str) -> bool {
        self.state().files.values().any(|file| lock(file).durable.holds(text.as_bytes()))
    }
}
