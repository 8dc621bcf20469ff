//! Durable chat sessions inside [Cloudflare Durable Objects](https://developers.cloudflare.com/durable-objects/).
//!
//! [`DurableObjectStore`] keeps sessions in the SQLite storage of one Durable Object: one row per message, one billed
//! row per append, every commit one transaction. The platform runs one instance per object and holds replies back until
//! the write is confirmed, which is the store's declared durability.
//!
//! The crate also compiles natively, so that a workspace is checked as a whole; calling JavaScript there panics.

mod env;
mod schema;
mod sql;
mod store;
mod takeover;

pub use env::{WorkerClock, WorkerRandom};
pub use store::DurableObjectStore;
