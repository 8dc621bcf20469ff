//! Chat sessions over a store (clauses C1–C13).
//!
//! From the outside in: [`sessions`] and [`chat`] are for users; [`call`] plans one call on the
//! session's state and waits until its changes are durable; [`driver`] polls the store and wakes
//! callers; [`registry`] keeps one [`actor`] per session id; [`machine`] has the rules.

mod actor;
mod call;
mod chat;
mod closing;
mod config;
mod current;
mod draft;
mod driver;
mod erasing;
mod expiry;
mod fetch;
mod forking;
mod listing;
mod machine;
mod names;
mod observed;
mod parts;
mod read;
mod registry;
mod reply;
mod sessions;
mod snapshot;
mod stats;
mod unseen;
mod watcher;
mod whole;

pub use actor::Watched;
pub use chat::ChatSession;
pub use config::{Expiry, InvalidExpiry, Limits, Memory, Reads, Replies, Window};
pub use draft::Draft;
pub use erasing::{EraseOwner, EraseReport};
pub use expiry::SweepReport;
pub use forking::Fork;
pub use listing::{ListCursor, OwnerSessions, SessionPage, SessionSummary};
pub use machine::{Added, SessionChange, StoredMessage};
pub use parts::JsonParts;
pub use read::{MessagePage, MessageQuery};
pub use reply::{Follow, Followed, NewReply, Opened, Pulse, Reply};
pub use sessions::{ChatSessions, ChatSessionsBuilder};
pub use snapshot::Snapshot;
pub use stats::Stats;
pub use watcher::Watcher;
