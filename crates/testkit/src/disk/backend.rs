//! The file of redb as the store sees it, and any other open file.

use super::change::{Change, Event};
use super::failure::How;
use super::part::File;
use super::simulation::{Disk, PATIENCE, State};
use super::stored::{Shared, lock};
use redb::StorageBackend;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

/// An open file of a [`Disk`]. Like a descriptor it stays the same file after it was removed.
#[derive(Debug)]
pub struct DiskBackend {
    disk: Disk,
    file: File,
    stored: Shared,
}

impl Disk {
    /// The file of redb.
    pub fn backend(&self) -> DiskBackend {
        let main = Arc::clone(self.state().files.entry(File::Main).or_default());
        DiskBackend::new(self.clone(), File::Main, main)
    }

    /// The file of redb, after the operating system has dropped its cache: reads see the content of
    /// the disk.
    pub fn backend_without_cache(&self) -> DiskBackend {
        self.forget_cached(File::Main);
        self.backend()
    }
}

impl DiskBackend {
    pub(super) fn new(disk: Disk, file: File, stored: Shared) -> Self {
        Self { disk, file, stored }
    }

    fn change(&self, state: &mut State, change: Change) {
        let there = state.files.get(&self.file).is_some_and(|file| Arc::ptr_eq(file, &self.stored));
        if there {
            state.log(Event::Change(self.file, change.clone()));
        }
        lock(&self.stored).apply(change);
    }

    pub(super) fn length(&self) -> u64 {
        let _state = self.disk.state();
        lock(&self.stored).seen.len() as u64
    }

    pub(super) fn get(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let slow = self.disk.state().slow_reads;
        if let Some((_, pause)) = slow.filter(|(name, _)| thread::current().name() == Some(name)) {
            thread::sleep(pause);
        }
        let mut state = self.disk.state();
        state.watches.read(self.file, out.len())?;
        lock(&self.stored).seen.read(offset, out)
    }

    pub(super) fn put(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        if let Some(how) = state.watches.operation(self.file) {
            if how == How::ShortWrite {
                self.change(&mut state, Change::Write(offset, data[..data.len() / 2].into()));
            }
            return Err(how.error());
        }
        state.watches.count(self.file, |counts| {
            counts.writes += 1;
            counts.bytes_written += data.len() as u64;
        });
        self.change(&mut state, Change::Write(offset, data.into()));
        drop(state);
        self.disk.wake();
        Ok(())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.watches.waits(self.file, true);
        self.disk.wake();
        let began = Instant::now();
        while state.watches.is_closed(self.file) && began.elapsed() < PATIENCE {
            state = self.disk.wait(state);
        }
        state.watches.waits(self.file, false);
        if state.watches.is_closed(self.file) {
            return Err(io::Error::other("the test never opened the gate"));
        }
        if let Some(how) = state.watches.operation(self.file) {
            if let Some(bits) = state.lossy {
                lock(&self.stored).lose(bits);
            }
            return Err(how.error());
        }
        state.watches.count(self.file, |counts| counts.syncs += 1);
        lock(&self.stored).sync();
        state.log(Event::Sync(self.file));
        Ok(())
    }
}

impl StorageBackend for DiskBackend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.length())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.get(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        if let Some(how) = state.watches.operation(self.file) {
            return Err(how.error());
        }
        self.change(&mut state, Change::Length(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.put(offset, data)
    }
}
