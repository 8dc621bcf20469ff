//! Chat sessions over a store (clauses C1–C10).
//!
//! From the outside in: [`sessions`] and [`chat`] are what users call; [`plan`] decides what a call would change, on a
//! [`view`] of the session; [`engine`] stages it and waits; [`slot`] takes [`batch`]es to the store, one at a time.

mod batch;
mod chat;
mod claim;
mod config;
mod difference;
mod draft;
mod engine;
mod expiry;
mod hub;
mod parts;
mod plan;
mod read;
mod sessions;
mod slot;
mod snapshot;
mod stats;
mod view;
mod waiters;
mod watch;
mod whole;

pub use chat::ChatSession;
pub use config::{Expiry, InvalidExpiry, Limits, Memory, Window};
pub use draft::Draft;
pub use expiry::SweepReport;
pub use parts::JsonParts;
pub use plan::{Added, StoredMessage};
pub use read::{MessagePage, MessageQuery};
pub use sessions::{ChatSessions, ChatSessionsBuilder};
pub use snapshot::Snapshot;
pub use stats::Stats;
pub use watch::{SessionChange, Watched, Watcher};
