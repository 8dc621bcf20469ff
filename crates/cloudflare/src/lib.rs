//! Durable chat sessions inside [Cloudflare Durable
//! Objects](https://developers.cloudflare.com/durable-objects/).
//!
//! [`DurableObjectStore`] keeps sessions in the SQLite storage of one Durable Object: one row per
//! message, one billed row per append, every commit one transaction. The platform runs one instance
//! per object and holds replies back until the write is confirmed, which is the store's declared
//! durability.
//!
//! [`ChatObject`] is a whole object around the store and serves the HTTP protocol. [`ChatWorker`]
//! is the Worker in front of the objects. An app's Worker has some thirty lines.
//!
//! The crate also compiles natively, so that `cargo check --workspace` works. A native call of a
//! JavaScript function panics.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod convert;
mod env;
mod front;
mod live;
mod log;
mod object;
mod producers;
mod schema;
mod sql;
mod store;

pub use env::{WorkerClock, WorkerRandom};
pub use front::ChatWorker;
pub use log::log_to_console;
pub use object::{ChatObject, ChatObjectBuilder};
pub use store::DurableObjectStore;
