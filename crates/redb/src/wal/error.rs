//! Errors of the log.

use super::format::Position;
use std::fmt;
use std::io;

/// An append that failed.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// Nothing was written, such as for a disk without room. The log goes on.
    Refused(io::Error),
    /// The write or the sync failed: the batch may be there or not. The log takes no more batches.
    Failed(io::Error),
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(e) => write!(f, "the log has no room for the batch: {e}"),
            Self::Failed(e) => write!(f, "the log could not be written: {e}"),
        }
    }
}

impl std::error::Error for AppendError {}

/// A log that cannot be opened.
#[derive(Debug)]
pub(crate) enum LogError {
    /// There is no segment of this log.
    Missing,
    /// A segment belongs to another log.
    Foreign { name: String },
    /// The log begins after the first position that the tables do not have: they are older.
    Gap { expected: Position, found: Position },
    /// The log ends before the last position that the tables have: it is older than they are.
    Older { flushed: Position, last: Position },
    /// Stored bytes are not those that were written.
    Damaged { name: String, offset: u64, text: String },
    /// A segment has a format that this build does not know.
    NewerFormat { name: String, found: u32 },
    /// The storage failed.
    Io { doing: &'static str, name: String, source: io::Error },
}

impl LogError {
    pub(crate) fn damaged(name: &str, offset: u64, text: impl Into<String>) -> Self {
        Self::Damaged { name: name.to_owned(), offset, text: text.into() }
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("the log has no segment"),
            Self::Foreign { name } => write!(f, "{name} belongs to another store"),
            Self::Gap { expected, found } => {
                write!(f, "the log begins at position {found}; the file needs {expected}")
            }
            Self::Older { flushed, last } => {
                write!(f, "the log ends at position {last}; the file has {flushed}")
            }
            Self::Damaged { name, offset, text } => {
                write!(f, "{name} is damaged at byte {offset}: {text}")
            }
            Self::NewerFormat { name, found } => {
                write!(f, "{name} has log format {found}; this build reads format 1")
            }
            Self::Io { doing, name, source } => write!(f, "could not {doing} {name}: {source}"),
        }
    }
}

impl std::error::Error for LogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// A last batch that was not written completely. It was never acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Torn {
    pub(crate) name: String,
    pub(crate) offset: u64,
    /// The length of the batch, if its header can be read; otherwise that of the header.
    pub(crate) bytes: u64,
}

/// A part of the log that [`read_only`](super::read_only()) had to skip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogDamage {
    pub(crate) name: String,
    pub(crate) offset: u64,
    /// The first position that is lost.
    pub(crate) expected: Position,
    /// The next position that can be read, if there is one.
    pub(crate) found: Option<Position>,
    pub(crate) text: String,
}
