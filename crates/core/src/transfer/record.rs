//! A record of an input, its position and the errors of reading it.

use std::fmt;
use std::io;

/// The position of a record in its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Position {
    /// The line in which the record begins, from 1.
    pub line: u64,
    /// The number of the element, from 1, if the input is an array.
    pub element: Option<u64>,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.element {
            Some(element) => write!(f, "element {element} (line {})", self.line),
            None => write!(f, "line {}", self.line),
        }
    }
}

/// One line or element of an input. `Debug` shows its size only.
#[non_exhaustive]
pub struct Record {
    /// Where the record begins.
    pub position: Position,
    /// The text, which may not be valid JSON, or the error of reading it.
    pub text: Result<String, ReadError>,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("position", &self.position)
            .field("bytes", &self.text.as_ref().map(String::len))
            .finish()
    }
}

/// A record could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The record is not UTF-8.
    #[error("record is not UTF-8")]
    NotUtf8,
    /// The record is longer than [`Records::max_bytes`](super::Records::max_bytes) allows.
    #[error("record is over {max} bytes, the limit of one record")]
    TooLong {
        /// The limit, in bytes.
        max: usize,
    },
    /// The input has another format. No record was read.
    #[error("input is {0}")]
    Format(&'static str),
    /// The array is malformed, so the next element cannot be found.
    #[error("{0}; the rest of the input was not read")]
    Array(&'static str),
    /// Reading the input failed, for example because its compressed data is damaged.
    #[error("input could not be read: {0}; the rest of it was not read")]
    Io(io::Error),
}

impl ReadError {
    /// Whether the error ends the input: no further record is read.
    pub fn ends(&self) -> bool {
        matches!(self, Self::Format(_) | Self::Array(_) | Self::Io(_))
    }
}
