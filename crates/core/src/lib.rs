//! Durable chat sessions.

mod app;
pub mod env;
mod error;
mod id;
pub mod json;
mod message;
pub mod rows;
mod state;
pub mod store;
mod sync;

pub use app::AppState;
pub use error::{AppStateError, Error, LimitKind};
pub use id::{InvalidSessionId, MAX_ID_BYTES, SessionId};
pub use message::{InvalidMessage, Message, role};
pub use state::ChatSessionState;
