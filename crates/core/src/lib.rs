//! Durable chat sessions.

mod app;
pub mod env;
mod error;
mod id;
pub mod json;
mod message;
mod pages;
#[doc(hidden)]
pub mod planted;
pub mod rows;
mod session;
mod state;
pub mod store;
mod sync;
pub mod transfer;

pub use app::AppState;
pub use error::{AppStateError, Error, LimitKind};
pub use id::{InvalidSessionId, MAX_ID_BYTES, SessionId};
pub use json::JsonObject;
pub use message::{InvalidMessage, Message, role};
pub use session::{
    Added, ChatSession, ChatSessions, ChatSessionsBuilder, Draft, Expiry, InvalidExpiry, Limits, Memory,
    MessagePage, MessageQuery, SessionChange, Snapshot, Stats, StoredMessage, SweepReport, Watched, Watcher,
    Window,
};
pub use state::ChatSessionState;
