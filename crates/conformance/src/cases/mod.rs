//! The cases. Each is a function in the module of its subject; `list.rs` says which there are.

pub(crate) mod atomic;
pub(crate) mod chat_dropped;
pub(crate) mod chat_expiry;
pub(crate) mod chat_failure;
pub(crate) mod chat_order;
pub(crate) mod chat_state;
pub(crate) mod damage;
pub(crate) mod delete;
pub(crate) mod isolation;
pub(crate) mod limits;
pub(crate) mod listing;
pub(crate) mod order;
pub(crate) mod reads;
pub(crate) mod threads;
pub(crate) mod touch;
pub(crate) mod versions;
