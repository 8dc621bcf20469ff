//! A simulated disk under a store: the file of redb, and the segments of the log beside it.
//!
//! It counts, it fails when told to, and it forgets changes that were not synced. A sync makes the
//! changes of its own file durable; creating and removing a segment is durable at once. The disk
//! can log all changes on one clock, so that the files of any moment can be built again.

mod backend;
mod change;
mod content;
mod failure;
mod log;
mod part;
mod simulation;
mod stored;

pub use backend::DiskBackend;
pub use change::{Change, Event, SECTOR};
pub use content::Content;
pub use failure::{Failure, How};
pub use log::DiskLog;
pub use part::{Counts, File, Part};
pub use simulation::{Disk, Files};
