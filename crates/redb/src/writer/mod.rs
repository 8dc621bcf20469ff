//! Writing: one queue, one thread, one batch of the log at a time.
//!
//! `thread` has the loop and the path of a batch; `upkeep` the flushes, `recovery` the failures,
//! and `whole_store` closing, reopening and compaction.

mod batch;
mod deadline;
mod queue;
mod recovery;
mod request;
mod response;
mod submit;
mod thread;
mod upkeep;
mod whole_store;
mod writer_state;

pub(crate) use deadline::Deadlines;
pub(crate) use queue::{Bounds, Control, Queue};
pub(crate) use request::{Write, WriteOutcome};
pub(crate) use submit::submit;
pub(crate) use writer_state::Writer;
