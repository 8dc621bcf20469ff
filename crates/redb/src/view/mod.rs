//! The tables as readers see them: the layers of the memtable over the tables of redb.
//!
//! Each file uses only those before it: `value`, `lookup`, `layer_walk`, `stored_walk`, `walk`.

mod layer_walk;
mod lookup;
mod stored_walk;
mod value;
mod walk;

pub(crate) use lookup::View;
pub(crate) use value::Value;
pub(crate) use walk::{Entry, Walk};
