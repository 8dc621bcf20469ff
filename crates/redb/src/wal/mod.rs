//! The write-ahead log: batches of bytes, each durable by one write and one sync.
//!
//! The log knows nothing of sessions or tables. docs/log-format.md has its bytes.

pub(crate) mod batch;
mod catalog;
mod chain;
mod error;
mod files;
mod format;
mod log;
mod memory;
mod read_only;
mod recover;
mod scan;
mod segment;
mod storage;
#[cfg(test)]
mod tests;

pub(crate) use error::{AppendError, LogDamage, LogError, Torn};
pub(crate) use files::LogFiles;
pub(crate) use format::{LogId, Position};
pub(crate) use log::{Appended, Log, LogConfig};
pub use memory::InMemoryLog;
pub(crate) use read_only::read_only;
pub(crate) use recover::{Batch, Recovered, begin, recover, used_segment};
pub(crate) use segment::Segment;
pub use storage::{LogSegment, LogStorage};
