//! Segments on a disk that loses power and fails when told to.

use super::super::storage::{LogSegment, LogStorage};
use super::Seeded;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

const SECTOR: usize = 512;

/// Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk(Arc<Mutex<State>>);

type File = Arc<Mutex<Content>>;

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<u32, File>,
    /// Changes until the disk fails.
    budget: Option<u64>,
    /// Only one change fails, and not all after it.
    once: bool,
    /// The disk fails from here on.
    off: bool,
    /// The next sync fails and loses its writes.
    lose_next_sync: bool,
    /// A new segment that is longer finds the disk full.
    room: Option<u64>,
    /// The segments of which cached bytes were dropped, in order.
    forgotten: Vec<u32>,
    writes: u64,
    syncs: u64,
}

#[derive(Debug, Clone, Default)]
struct Content {
    /// The content that reads see.
    seen: Vec<u8>,
    /// The content on the medium.
    durable: Vec<u8>,
    /// Writes that the next sync brings to the medium.
    unsynced: Vec<(usize, Vec<u8>)>,
}

impl Disk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// After so many more changes, each change fails, the first of them in the middle.
    pub(super) fn fail_after(&self, changes: u64) {
        self.state().budget = Some(changes);
    }

    /// After so many more changes, one fails in the middle.
    pub(super) fn fail_once_after(&self, changes: u64) {
        self.state().budget = Some(changes);
        self.state().once = true;
    }

    /// The next sync fails; the kernel then takes the lost writes for written.
    pub(super) fn lose_next_sync(&self) {
        self.state().lose_next_sync = true;
    }

    pub(super) fn set_full(&self, full: bool) {
        self.set_room(full.then_some(0));
    }

    /// The length of the longest segment for which the disk has room.
    pub(super) fn set_room(&self, room: Option<u64>) {
        self.state().room = room;
    }

    pub(super) fn forgotten(&self) -> Vec<u32> {
        self.state().forgotten.clone()
    }

    pub(super) fn writes_and_syncs(&self) -> (u64, u64) {
        let state = self.state();
        (state.writes, state.syncs)
    }

    /// The process ended; the kernel keeps its unsynced writes.
    pub(super) fn kill(&self) {
        let mut state = self.state();
        state.budget = None;
        state.off = false;
        state.once = false;
        state.lose_next_sync = false;
    }

    /// The process ends, with the power or without.
    pub(super) fn crash(&self, powered: bool, random: &Seeded) {
        if powered {
            self.kill();
        } else {
            self.lose_power(random);
        }
    }

    /// The same disk after a power loss. Each sector of an unsynced write has the content that it
    /// had after any of the writes to it, so writes are kept, lost, torn and reordered.
    pub(super) fn lose_power(&self, random: &Seeded) {
        self.kill();
        for file in self.state().files.values() {
            let mut content = file.lock().unwrap();
            let mut survived = content.durable.clone();
            for sector in 0..survived.len().div_ceil(SECTOR) {
                let range = sector * SECTOR..((sector + 1) * SECTOR).min(survived.len());
                let reached = random.below(content.unsynced.len() as u64 + 1);
                for (at, bytes) in content.unsynced.iter().take(reached as usize) {
                    let start = range.start.max(*at);
                    let end = range.end.min(at + bytes.len());
                    if start < end {
                        survived[start..end].copy_from_slice(&bytes[start - at..end - at]);
                    }
                }
            }
            *content = Content { seen: survived.clone(), durable: survived, unsynced: vec![] };
        }
    }

    /// A disk of its own with the same bytes.
    pub(super) fn copy(&self) -> Self {
        let state = self.state();
        let files = state.files.iter().map(|(number, file)| {
            let seen = file.lock().unwrap().seen.clone();
            (
                *number,
                Arc::new(Mutex::new(Content { durable: seen.clone(), seen, unsynced: vec![] })),
            )
        });
        let files = files.collect();
        Self(Arc::new(Mutex::new(State { files, ..State::default() })))
    }

    /// Whether these bytes are on the medium.
    pub(super) fn is_durable(&self, number: u32, at: u64, bytes: &[u8]) -> bool {
        let file = Arc::clone(&self.state().files[&number]);
        file.lock().unwrap().durable[at as usize..].starts_with(bytes)
    }

    pub(super) fn bytes(&self, number: u32) -> Vec<u8> {
        self.state().files[&number].lock().unwrap().seen.clone()
    }

    /// Changes the bytes of a segment behind the back of the log.
    pub(super) fn edit(&self, number: u32, edit: impl FnOnce(&mut Vec<u8>)) {
        let file = Arc::clone(&self.state().files[&number]);
        let mut content = file.lock().unwrap();
        edit(&mut content.seen);
        content.durable = content.seen.clone();
    }

    /// Takes one change off the budget: whether the change happens, or the disk fails in it.
    fn change(&self) -> io::Result<Change> {
        let mut state = self.state();
        if state.off {
            return Err(failed());
        }
        match &mut state.budget {
            None => Ok(Change::Happens),
            Some(0) => {
                state.off = !state.once;
                state.budget = None;
                Ok(Change::Fails)
            }
            Some(left) => {
                *left -= 1;
                Ok(Change::Happens)
            }
        }
    }
}

#[derive(PartialEq, Eq)]
enum Change {
    Happens,
    Fails,
}

fn failed() -> io::Error {
    io::Error::other("the disk fails")
}

impl LogStorage for Disk {
    fn list(&self) -> io::Result<Vec<u32>> {
        // An order that nobody should rely on.
        let mut numbers: Vec<_> = self.state().files.keys().rev().copied().collect();
        numbers.sort_by_key(|number| number % 2);
        Ok(numbers)
    }

    fn create(&self, number: u32, len: u64) -> io::Result<Box<dyn LogSegment>> {
        let change = self.change()?;
        let mut state = self.state();
        if state.files.contains_key(&number) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if state.room.is_some_and(|room| len > room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        // A failed creation leaves no file, an empty one or a whole one.
        let len =
            if change == Change::Fails && number.is_multiple_of(2) { 0 } else { len as usize };
        let content = Content { seen: vec![0; len], durable: vec![0; len], unsynced: vec![] };
        let file = Arc::new(Mutex::new(content));
        if change == Change::Happens || !number.is_multiple_of(3) {
            state.files.insert(number, Arc::clone(&file));
        }
        match change {
            Change::Happens => Ok(Box::new(Handle { disk: self.clone(), file })),
            Change::Fails => Err(failed()),
        }
    }

    fn open(&self, number: u32) -> io::Result<Box<dyn LogSegment>> {
        let file = self.state().files.get(&number).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Handle { disk: self.clone(), file }))
    }

    fn remove(&self, number: u32) -> io::Result<()> {
        let change = self.change()?;
        if change == Change::Happens || number.is_multiple_of(2) {
            self.state().files.remove(&number).ok_or(io::ErrorKind::NotFound)?;
        }
        if change == Change::Happens { Ok(()) } else { Err(failed()) }
    }

    fn name(&self, number: u32) -> String {
        format!("chat.redb-wal.{number}")
    }

    fn forget_cached(&self, number: u32) -> io::Result<()> {
        let file = self.state().files.get(&number).cloned().ok_or(io::ErrorKind::NotFound)?;
        self.state().forgotten.push(number);
        let mut content = file.lock().unwrap();
        content.seen = content.durable.clone();
        let Content { seen, unsynced, .. } = &mut *content;
        apply(seen, unsynced);
        Ok(())
    }
}

fn apply(bytes: &mut [u8], writes: &[(usize, Vec<u8>)]) {
    for (at, written) in writes {
        bytes[*at..at + written.len()].copy_from_slice(written);
    }
}

#[derive(Debug)]
struct Handle {
    disk: Disk,
    file: File,
}

impl LogSegment for Handle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.lock().unwrap().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let content = self.file.lock().unwrap();
        let at = offset as usize;
        let found = content.seen.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let change = self.disk.change()?;
        self.disk.state().writes += 1;
        let mut content = self.file.lock().unwrap();
        let at = offset as usize;
        assert!(at + bytes.len() <= content.seen.len(), "a write beyond the end of the segment");
        content.seen[at..at + bytes.len()].copy_from_slice(bytes);
        content.unsynced.push((at, bytes.to_vec()));
        if change == Change::Happens { Ok(()) } else { Err(failed()) }
    }

    fn sync(&self) -> io::Result<()> {
        let change = self.disk.change()?;
        self.disk.state().syncs += 1;
        let lost = std::mem::take(&mut self.disk.state().lose_next_sync);
        let mut content = self.file.lock().unwrap();
        if change == Change::Fails && self.disk.state().off {
            return Err(failed());
        }
        let writes = std::mem::take(&mut content.unsynced);
        if lost || change == Change::Fails {
            return Err(failed());
        }
        apply(&mut content.durable, &writes);
        Ok(())
    }
}
