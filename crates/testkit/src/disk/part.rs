//! The files of a disk, and the operations on them.

use super::failure::{Failure, How};
use std::io;

/// A file of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum File {
    /// The file of redb.
    Main,
    /// The segment of the log with this number.
    Segment(u32),
}

/// The files that a count, a failure or a gate concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All files.
    All,
    /// The file of redb.
    Main,
    /// All segments of the log.
    Log,
}

/// The operations of a disk so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Writes.
    pub writes: u64,
    /// The bytes of all writes.
    pub bytes_written: u64,
    /// Syncs that succeeded.
    pub syncs: u64,
    /// Reads; of the log, opening and listing segments count, too.
    pub reads: u64,
    /// The bytes of all reads.
    pub bytes_read: u64,
    /// Writes, changes of length and syncs; of the log, also creating and removing a segment.
    pub operations: u64,
}

/// The counts and the failures of one part.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) counts: Counts,
    pub(super) fail: Option<Failure>,
    pub(super) fail_reads: bool,
    pub(super) fail_read_at: Option<u64>,
    /// While set, syncs wait.
    pub(super) gate_closed: bool,
    pub(super) syncs_waiting: u64,
}

/// The watches of all parts.
#[derive(Debug, Default)]
pub(super) struct Watches([Watch; 3]);

impl Watches {
    pub(super) fn of(&self, part: Part) -> &Watch {
        &self.0[part as usize]
    }

    pub(super) fn of_mut(&mut self, part: Part) -> &mut Watch {
        &mut self.0[part as usize]
    }

    /// The watches that an operation on this file concerns.
    fn on(&mut self, file: File) -> impl Iterator<Item = &mut Watch> {
        let [all, main, log] = &mut self.0;
        [all, if file == File::Main { main } else { log }].into_iter()
    }

    pub(super) fn count(&mut self, file: File, count: impl Fn(&mut Counts)) {
        self.on(file).for_each(|watch| count(&mut watch.counts));
    }

    /// Counts an operation; says whether and how it fails.
    pub(super) fn operation(&mut self, file: File) -> Option<How> {
        let mut how = None;
        for watch in self.on(file) {
            watch.counts.operations += 1;
            let hit = watch.fail.filter(|fail| fail.hits(watch.counts.operations));
            how = how.or(hit.map(|fail| fail.how));
        }
        how
    }

    /// Counts a read, which may fail.
    pub(super) fn read(&mut self, file: File, bytes: usize) -> io::Result<()> {
        let mut failed = false;
        for watch in self.on(file) {
            watch.counts.reads += 1;
            watch.counts.bytes_read += bytes as u64;
            failed |= watch.fail_reads || watch.fail_read_at == Some(watch.counts.reads);
        }
        if failed { Err(io::Error::other("the disk cannot read")) } else { Ok(()) }
    }

    /// A sync of this file begins to wait, or ends it.
    pub(super) fn waits(&mut self, file: File, waits: bool) {
        for watch in self.on(file) {
            watch.syncs_waiting += u64::from(waits);
            watch.syncs_waiting -= u64::from(!waits);
        }
    }

    /// Whether a sync of this file has to wait.
    pub(super) fn is_closed(&self, file: File) -> bool {
        let part = if file == File::Main { Part::Main } else { Part::Log };
        self.of(Part::All).gate_closed || self.of(part).gate_closed
    }
}
