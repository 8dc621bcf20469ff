//! The HTTP protocol of durable chat sessions, as one function from a request to a response.
//!
//! [`Api`] answers the session routes over a [`ChatSessions`](durable_session::ChatSessions). It knows no web framework and
//! no runtime, so an axum service, a Worker and a test all serve the very same protocol; they only carry bytes.
//!
//! ```
//! use bytes::Bytes;
//! use durable_session::ChatSessions;
//! use durable_session_http::{Api, FieldRoute};
//!
//! # async fn example(sessions: ChatSessions) -> Result<(), durable_session_http::InvalidConfig> {
//! let api = Api::builder(sessions).field(FieldRoute::new("booking-info", "bookingInfo")).build()?;
//! let request = http::Request::get("/api/chat/session/session-1763264606917-w2j2kfd45").body(Bytes::new());
//! # let Ok(request) = request else { return Ok(()) };
//! let response = api.handle(request).await;
//! assert_eq!(response.status(), 200);
//! # Ok(())
//! # }
//! ```
//!
//! Every refusal is a JSON object `{"error":"…"}`. Message texts and session ids never reach the log; a session is named
//! by its [`Fingerprint`](durable_session::Fingerprint).

mod api;
#[cfg(any(feature = "client", feature = "proxy"))]
mod base;
mod body;
#[cfg(feature = "client")]
pub mod client;
mod client_may;
mod config;
mod cursor;
mod errors;
mod etag;
mod events;
mod fields;
mod health;
mod input;
mod messages;
mod paging;
mod parts;
mod refusal;
mod rewriting;
mod routes;
#[cfg(feature = "axum")]
pub mod server;
mod sse;
mod state;

/// The routes as an `OpenAPI` 3.1 description in JSON, for a service to serve if it likes.
pub const OPENAPI: &str = include_str!("../openapi.json");

pub use api::Api;
#[cfg(any(feature = "client", feature = "proxy"))]
pub use base::InvalidBase;
pub use body::{Body, BrokenOff, EventStream, PartStream};
pub use client_may::ClientMay;
pub use config::{ApiBuilder, DEFAULT_PREFIX, FieldRoute, InvalidConfig};
pub use health::health;
pub use refusal::Refusal;
pub use routes::session_of;
pub use sse::PING;
