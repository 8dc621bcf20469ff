//! The storage under the log: numbered segments that the host can supply.

use std::fmt;
use std::io;

/// Storage for the segments of a store's log.
///
/// A segment is named by a number. The numbers have no order: the segments themselves say in which
/// order they are read.
pub trait LogStorage: fmt::Debug + Send + Sync {
    /// The numbers of all segments, in any order.
    ///
    /// # Errors
    /// The storage failed.
    fn list(&self) -> io::Result<Vec<u32>>;

    /// Makes a new segment of `len` bytes, all zero, with its space reserved. When this returns,
    /// the segment and its name survive a power loss.
    ///
    /// # Errors
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists) if there is a segment of this number;
    /// otherwise the storage failed or is full, and no segment of this number is left behind.
    fn create(&self, number: u32, len: u64) -> io::Result<Box<dyn LogSegment>>;

    /// Opens a segment that exists.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) if there is none; otherwise the storage failed.
    fn open(&self, number: u32) -> io::Result<Box<dyn LogSegment>>;

    /// Removes a segment. When this returns, it stays removed after a power loss. Whoever has the
    /// segment open can still read it.
    ///
    /// # Errors
    /// The storage failed. The segment may be there or not.
    fn remove(&self, number: u32) -> io::Result<()>;

    /// The name of a segment for people, such as `chat.redb-wal.1`.
    fn name(&self, number: u32) -> String;

    /// Drops cached bytes of the segment, so that the next read asks the disk. The store calls it
    /// after a failed sync, since the cache may then hold bytes that never reached the disk, and
    /// before a segment is used again.
    ///
    /// # Errors
    /// The storage failed.
    fn forget_cached(&self, number: u32) -> io::Result<()> {
        let _ = number;
        Ok(())
    }
}

/// One open segment.
pub trait LogSegment: fmt::Debug + Send + Sync {
    /// The length in bytes.
    ///
    /// # Errors
    /// The storage failed.
    fn len(&self) -> io::Result<u64>;

    /// Whether the segment has no bytes.
    ///
    /// # Errors
    /// The storage failed.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `out` with the bytes from `offset` on.
    ///
    /// # Errors
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the segment ends before; otherwise the
    /// storage failed.
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Writes `bytes` from `offset` on. The log writes only within the length of the segment.
    ///
    /// # Errors
    /// The storage failed. Any part of the bytes may have been written.
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes all earlier writes survive a power loss.
    ///
    /// # Errors
    /// The storage failed. Any part of the earlier writes may be lost.
    fn sync(&self) -> io::Result<()>;
}
