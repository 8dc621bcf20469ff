//! An open segment, shared by the log and its readers.

use super::error::LogError;
use super::format::SegmentHeader;
use super::storage::{LogSegment, LogStorage};
use std::io;

/// An open segment. While a reader holds its [`Arc`](std::sync::Arc), its bytes stay.
#[derive(Debug)]
pub(crate) struct Segment {
    number: u32,
    name: String,
    len: u64,
    storage: Box<dyn LogSegment>,
}

impl Segment {
    /// Opens a segment that exists.
    pub(crate) fn open(storage: &dyn LogStorage, number: u32) -> Result<Self, LogError> {
        let name = storage.name(number);
        let opened = storage.open(number).and_then(|open| Ok((open.len()?, open)));
        match opened {
            Ok((len, storage)) => Ok(Self { number, name, len, storage }),
            Err(source) => Err(LogError::Io { doing: "open", name, source }),
        }
    }

    /// Makes a new segment of `len` bytes under a number that is free, and not in `reserved`.
    pub(super) fn create(
        storage: &dyn LogStorage,
        len: u64,
        reserved: impl IntoIterator<Item = u32>,
    ) -> io::Result<Self> {
        let mut taken = storage.list()?;
        taken.extend(reserved);
        let free = (1..u32::MAX).filter(|number| !taken.contains(number));
        for number in free {
            match storage.create(number, len) {
                Ok(created) => {
                    let name = storage.name(number);
                    return Ok(Self { number, name, len, storage: created });
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
        Err(io::Error::other("all segment numbers of the log are taken"))
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// The segment's name for people, such as `chat.redb-wal.1`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Reads `len` bytes from `offset` on.
    pub(crate) fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.storage.read(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills `out` with the bytes from `offset` on.
    pub(crate) fn read_into(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.storage.read(offset, out)
    }

    /// Writes and syncs.
    pub(super) fn write_durably(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.storage.write(offset, bytes)?;
        self.storage.sync()
    }

    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.storage.write(offset, bytes)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.storage.sync()
    }

    /// The first bytes, if there are enough of them.
    pub(super) fn header_bytes(&self) -> Result<Option<[u8; SegmentHeader::BYTES]>, LogError> {
        let mut bytes = [0; SegmentHeader::BYTES];
        if self.len < bytes.len() as u64 {
            return Ok(None);
        }
        self.read_into(0, &mut bytes).map_err(|source| self.failed("read", source))?;
        Ok(Some(bytes))
    }

    pub(super) fn failed(&self, doing: &'static str, source: io::Error) -> LogError {
        LogError::Io { doing, name: self.name.clone(), source }
    }
}
