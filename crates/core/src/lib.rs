//! Durable chat sessions.

pub mod env;
mod id;
pub mod rows;
pub mod store;

pub use id::{InvalidSessionId, MAX_ID_BYTES, SessionId};
