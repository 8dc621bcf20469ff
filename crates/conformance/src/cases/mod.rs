//! The cases. Each is a function in the module of its subject; `list.rs` says which there are.

pub(crate) mod atomic;
