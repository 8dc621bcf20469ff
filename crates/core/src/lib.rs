//! Durable, ordered chat sessions for Rust services.
//!
//! A service calls [`add_message`](ChatSession::add_message); once that returns, the message
//! survives crash, restart and page refresh, in order. A retry of a message with an `id` is found
//! among the session's last messages ([`Window`]) and not stored again. It is the idea of a
//! Cloudflare Durable Object (one live instance per session id, fast state in memory, every change
//! persisted by itself) as a library over a store of your choice.
//!
//! ```
//! use durable_session::{ChatSessions, JsonObject, Message, MessageQuery};
//! use durable_session_memory::MemoryStore;
//!
//! # futures_executor::block_on(async {
//! let sessions = ChatSessions::<JsonObject>::builder(MemoryStore::new())
//!     .greeting(Message::assistant("Hi! I can find you a tutor."))
//!     .build();
//!
//! let chat = sessions.session("session-1763264606917-w2j2kfd45".parse()?);
//! chat.add_message(Message::user("I want help with python tutor").with_id("m-1")).await?;
//! chat.update(|app| app.set("step", "classes")).await??;
//!
//! let recent = chat.messages(MessageQuery::last(50)).await?;
//! assert_eq!(recent.messages.len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # Where things are
//! - [`ChatSessions`] is the namespace, [`ChatSession`] a handle to one session, [`Message`] a JSON object kept as it came,
//!   [`ChatSessionState`] the whole of a session as clients see it.
//! - [`store`] is what a backend implements; [`rows`] a row format that it may use. Backends are crates of their own:
//!   `durable-session-redb`, `durable-session-memory`, `durable-session-cloudflare`.
//! - [`transfer`] moves sessions between stores. With the feature `gzip` it reads compressed input.
//! - The promises have numbers (S1–S9 for stores, C1–C10 for sessions), which this documentation cites; `docs/contract.md`
//!   in the repository has them all.
//!
//! # What it needs
//! No runtime, no timer, no thread and no I/O of its own: the waiting calls drive the work. It builds for
//! `wasm32-unknown-unknown`, where [`ChatSessions::builder_with`] takes the host's clock and randomness.

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
pub use error::{AppStateError, Error, ErrorChain, LimitKind};
pub use id::{Fingerprint, InvalidSessionId, MAX_ID_BYTES, SessionId};
pub use json::JsonObject;
pub use message::{InvalidMessage, Message, role};
pub use session::{
    Added, ChatSession, ChatSessions, ChatSessionsBuilder, Draft, Expiry, InvalidExpiry, JsonParts, Limits,
    Memory, MessagePage, MessageQuery, SessionChange, Snapshot, Stats, StoredMessage, SweepReport, Watched,
    Watcher, Window,
};
pub use state::ChatSessionState;
