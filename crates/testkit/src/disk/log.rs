//! The segments of the log on a simulated disk.

use super::backend::DiskBackend;
use super::change::{Change, Event};
use super::failure::How;
use super::part::File;
use super::simulation::Disk;
use super::stored::Stored;
use durable_session_redb::{LogSegment, LogStorage};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

/// The log of a [`Disk`]; by default on a disk of its own. Clones are the same log.
#[derive(Debug, Clone, Default)]
pub struct DiskLog(Disk);

impl Disk {
    /// The log beside the file of redb.
    pub fn log(&self) -> DiskLog {
        DiskLog(self.clone())
    }
}

impl DiskLog {
    /// The disk below: to make it fail, to hold its syncs, and to count.
    pub fn disk(&self) -> &Disk {
        &self.0
    }

    /// From now on the disk has room for so many bytes of segments; `None`: for any number.
    pub fn limit(&self, bytes: Option<u64>) {
        self.0.state().segment_bytes = bytes;
    }

    /// The log after a power loss now: everything unsynced is gone.
    pub fn after_power_loss(&self) -> Self {
        self.0.after_power_loss().log()
    }

    /// The log after a power loss that came while the kernel was writing, see
    /// [`Disk::after_power_loss_keeping`].
    pub fn after_power_loss_keeping(&self, keep: impl FnMut(usize) -> bool) -> Self {
        self.0.after_power_loss_keeping(keep).log()
    }

    /// The log after the process was killed: everything that was written is there.
    pub fn after_kill(&self) -> Self {
        Disk::holding(self.0.files()).log()
    }

    /// The same segments with other bytes: `change` gets each segment.
    pub fn changed(&self, mut change: impl FnMut(u32, &mut [u8])) -> Self {
        let mut files = self.0.files();
        for (number, mut bytes) in self.segments() {
            change(number, &mut bytes);
            files.insert(File::Segment(number), bytes.into());
        }
        Disk::holding(files).log()
    }

    /// The bytes of all segments, by number.
    pub fn segments(&self) -> BTreeMap<u32, Vec<u8>> {
        let files = self.0.files().into_iter();
        files.filter_map(|(file, content)| Some((number(file)?, content.to_vec()))).collect()
    }
}

fn number(file: File) -> Option<u32> {
    match file {
        File::Main => None,
        File::Segment(number) => Some(number),
    }
}

impl LogStorage for DiskLog {
    fn list(&self) -> io::Result<Vec<u32>> {
        let mut state = self.0.state();
        // It is no read of any one segment.
        state.watches.read(File::Segment(0), 0)?;
        Ok(state.files.keys().copied().filter_map(number).collect())
    }

    fn create(&self, number: u32, len: u64) -> io::Result<Box<dyn LogSegment>> {
        let file = File::Segment(number);
        let mut state = self.0.state();
        if state.files.contains_key(&file) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if let Some(how) = state.watches.operation(file) {
            return Err(how.error());
        }
        if !state.has_room(len) {
            return Err(How::NoSpace.error());
        }
        // A power loss between these leaves no file, an empty one or the whole one.
        state.log(Event::Change(file, Change::Create));
        state.log(Event::Change(file, Change::Length(len)));
        state.log(Event::Sync(file));
        let stored = Arc::new(Mutex::new(Stored::preallocated(len)));
        state.files.insert(file, Arc::clone(&stored));
        Ok(Box::new(DiskBackend::new(self.0.clone(), file, stored)))
    }

    fn open(&self, number: u32) -> io::Result<Box<dyn LogSegment>> {
        let file = File::Segment(number);
        let mut state = self.0.state();
        state.watches.read(file, 0)?;
        let stored = Arc::clone(state.files.get(&file).ok_or(io::ErrorKind::NotFound)?);
        Ok(Box::new(DiskBackend::new(self.0.clone(), file, stored)))
    }

    fn remove(&self, number: u32) -> io::Result<()> {
        let file = File::Segment(number);
        let mut state = self.0.state();
        let failed = state.watches.operation(file);
        if failed.is_none_or(|how| how == How::ShortWrite) {
            state.files.remove(&file).ok_or(io::ErrorKind::NotFound)?;
            state.log(Event::Change(file, Change::Remove));
        }
        if let Some(how) = failed {
            return Err(how.error());
        }
        state.log(Event::Sync(file));
        Ok(())
    }

    fn name(&self, number: u32) -> String {
        format!("disk-wal.{number}")
    }

    fn forget_cached(&self, number: u32) -> io::Result<()> {
        self.0.forget_cached(File::Segment(number));
        Ok(())
    }
}

impl LogSegment for DiskBackend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.length())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.get(offset, out)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        // A write that makes the segment longer would need space that was not reserved.
        if offset + bytes.len() as u64 > self.length() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.put(offset, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        Self::sync(self)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Change, Disk, Event, Failure, File, Part};
    use durable_session_redb::LogStorage;
    use redb::StorageBackend;

    #[test]
    fn a_sync_makes_the_changes_of_its_own_file_durable() {
        let disk = Disk::default().logging();
        let (main, segment) = (disk.backend(), disk.log().create(7, 1024).unwrap());
        StorageBackend::write(&main, 0, b"main").unwrap();
        segment.write(512, b"segment").unwrap();
        segment.sync().unwrap();
        assert!(disk.holds_durably("segment") && !disk.holds_durably("main"));
        let after = disk.after_power_loss();
        assert_eq!(after.bytes(), b"");
        assert_eq!(after.files()[&File::Segment(7)].len(), 1024);
        assert_eq!((disk.counts_of(Part::Main).syncs, disk.counts_of(Part::Log).syncs), (0, 1));
        let log = disk.take_log();
        assert!(matches!(log[0], Event::Change(File::Segment(7), Change::Create)));
        assert!(matches!(log[log.len() - 1], Event::Sync(File::Segment(7))));
    }

    #[test]
    fn a_removed_segment_is_read_by_those_who_have_it_open() {
        let disk = Disk::default();
        let segment = disk.log().create(1, 16).unwrap();
        segment.write(0, b"old").unwrap();
        disk.log().remove(1).unwrap();
        let next = disk.log().create(1, 16).unwrap();
        let (mut old, mut new) = ([0; 3], [0; 3]);
        segment.read(0, &mut old).unwrap();
        next.read(0, &mut new).unwrap();
        assert_eq!((&old, new), (b"old", [0; 3]));
        disk.log().open(2).unwrap_err();
        assert_eq!(disk.log().list().unwrap(), [1]);
    }

    #[test]
    fn a_failure_in_the_log_leaves_the_other_file_alone() {
        let disk = Disk::default();
        let segment = disk.log().create(1, 16).unwrap();
        disk.fail_in(Part::Log, Some(Failure::from(2)));
        disk.lose_on_failed_sync(0);
        segment.write(0, b"x").unwrap_err();
        StorageBackend::write(&disk.backend(), 0, b"y").unwrap();
        disk.fail(None);
        disk.fail_in(Part::Log, Some(Failure::once(4)));
        segment.write(0, b"x").unwrap();
        segment.sync().unwrap_err();
        let mut read = [0];
        segment.read(0, &mut read).unwrap();
        assert_eq!(&read, b"x", "the page is still cached");
        disk.log().forget_cached(1).unwrap();
        segment.read(0, &mut read).unwrap();
        assert_eq!(read, [0]);
    }
}
