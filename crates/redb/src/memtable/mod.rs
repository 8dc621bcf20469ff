//! The durable edits that are not in the tables yet: their keys, and the places of their rows in
//! the log.
//!
//! Each file uses only those before it: `spans`, `versions`, `edit`, `layer`, `seen`, `stage`,
//! `state`.

mod edit;
mod layer;
mod seen;
mod spans;
mod stage;
mod state;
mod versions;

pub(crate) use layer::Layer;
pub(crate) use seen::{Layers, RowReader, SeenLayer};
pub(crate) use spans::Span;
pub(crate) use stage::{Stage, Staged};
pub(crate) use state::Memtable;
pub(crate) use versions::{LogRef, Seen};
