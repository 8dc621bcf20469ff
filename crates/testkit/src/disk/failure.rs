//! Which operation fails, and how.

use std::io;

/// Which operation fails.
#[derive(Debug, Clone, Copy)]
pub struct Failure {
    /// The number of the operation, counting from 1 like
    /// [`Counts::operations`](crate::disk::Counts::operations) of the part that fails.
    pub at: u64,
    /// Every later one, too.
    pub forever: bool,
    /// In which way.
    pub how: How,
}

/// In which way an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// `EIO`, and nothing is done.
    Error,
    /// `ENOSPC`, and nothing is done.
    NoSpace,
    /// An error, after the first half of a write was done, or a segment was removed.
    ShortWrite,
}

impl Failure {
    /// The operation of this number fails.
    pub const fn once(at: u64) -> Self {
        Self { at, forever: false, how: How::Error }
    }

    /// The operation of this number and all later ones fail.
    pub const fn from(at: u64) -> Self {
        Self { at, forever: true, how: How::Error }
    }

    /// The same, in another way.
    pub const fn how(self, how: How) -> Self {
        Self { how, ..self }
    }

    pub(super) fn hits(self, operation: u64) -> bool {
        operation == self.at || (self.forever && operation > self.at)
    }
}

impl How {
    pub(super) fn error(self) -> io::Error {
        match self {
            Self::Error | Self::ShortWrite => io::Error::other("the disk failed"),
            Self::NoSpace => io::Error::new(io::ErrorKind::StorageFull, "the disk is full"),
        }
    }
}
