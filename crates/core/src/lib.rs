//! Durable, ordered chat sessions for Rust services.
//!
//! A service calls [`add_message`](ChatSession::add_message). Once the call returns, the message
//! survives crash, restart and page refresh, in order. A retry of a message with an `id` finds the
//! message among the session's last 64 messages and does not store it again. The library brings the
//! idea of a Cloudflare Durable Object (one live instance per session id, fast state in memory,
//! every change persisted) to a store of your choice.
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
//! # Modules and types
//! - [`ChatSessions`] holds all sessions of a store, [`ChatSession`] is a handle to one session,
//!   [`Message`] is a JSON object kept as text, and [`ChatSessionState`] is the whole state of a
//!   session.
//! - [`store`] is the interface of a backend, and [`rows`] a row format that a backend may use. The
//!   backends are separate crates: `durable-session-redb`, `durable-session-memory`,
//!   `durable-session-cloudflare`.
//! - [`context`] makes the part of a conversation that goes to a model.
//! - [`transfer`] moves sessions between stores. With the feature `gzip` it reads compressed input.
//! - The clauses of the contract have numbers (S1–S12 for stores, C1–C13 for sessions), which this
//!   documentation cites. `docs/contract.md` in the repository lists them.
//!
//! # Requirements
//! The crate needs no async runtime, timer or thread: the waiting calls drive the work. It builds
//! for `wasm32-unknown-unknown`, where [`ChatSessions::builder_with`] takes the host's clock and
//! randomness.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod app;
pub mod context;
pub mod env;
mod error;
mod id;
pub mod json;
mod message;
mod pages;
mod reply;
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
pub use reply::{EndedReply, FormatError, ReplyEnd, ReplyFormat, TextReply};
pub use session::{
    Added, ChatSession, ChatSessions, ChatSessionsBuilder, Draft, EraseOwner, EraseReport, Expiry,
    Follow, Followed, Fork, InvalidExpiry, JsonParts, Limits, ListCursor, Memory, MessagePage,
    MessageQuery, NewReply, Opened, OwnerSessions, Pulse, Reads, Replies, Reply, SessionChange,
    SessionPage, SessionSummary, Snapshot, Stats, StoredMessage, SweepReport, Watched, Watcher,
    Window,
};
pub use state::ChatSessionState;
