//! The HTTP protocol of durable chat sessions, as one function from a request to a response.
//!
//! [`Api`] answers the session routes over a [`ChatSessions`](durable_session::ChatSessions). It
//! depends on no web framework and no runtime, so an axum service, a Worker and a test serve the
//! same protocol; they only carry bytes.
//!
//! ```
//! use bytes::Bytes;
//! use durable_session::ChatSessions;
//! use durable_session_http::{Api, FieldRoute};
//!
//! # async fn example(sessions: ChatSessions) -> Result<(), durable_session_http::InvalidConfig> {
//! let api = Api::builder(sessions).field(FieldRoute::new("booking-info", "bookingInfo")).build()?;
//! let path = "/api/chat/session/session-1763264606917-w2j2kfd45";
//! let request = http::Request::get(path).body(Bytes::new());
//! # let Ok(request) = request else { return Ok(()) };
//! let response = api.handle(request).await;
//! assert_eq!(response.status(), 200);
//! # Ok(())
//! # }
//! ```
//!
//! Every refusal is a JSON object `{"error":"…"}`. The log has no message texts and no session
//! ids; it names a session by its [`Fingerprint`](durable_session::Fingerprint).

#![cfg_attr(docsrs, feature(doc_cfg))]

mod api;
#[cfg(any(feature = "client", feature = "proxy"))]
mod base_url;
mod builder;
#[cfg(feature = "client")]
#[cfg_attr(docsrs, doc(cfg(feature = "client")))]
pub mod client;
mod client_permissions;
mod config;
mod conversations;
mod producing;
mod routes;
#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
pub mod server;
#[cfg(feature = "ai-sdk")]
mod ui;
mod wire;

/// The description of the routes as `OpenAPI` 3.1 JSON. A service may serve it.
pub const OPENAPI: &str = include_str!("../openapi.json");

pub use api::Api;
#[cfg(any(feature = "client", feature = "proxy"))]
#[cfg_attr(docsrs, doc(cfg(any(feature = "client", feature = "proxy"))))]
pub use base_url::InvalidBaseUrl;
pub use builder::{ApiBuilder, InvalidConfig};
pub use client_permissions::ClientPermissions;
pub use config::{DEFAULT_PREFIX, FieldRoute};
pub use conversations::Caller;
pub use routes::health::health;
pub use routes::route::session_of;
#[cfg(feature = "ai-sdk")]
#[cfg_attr(docsrs, doc(cfg(feature = "ai-sdk")))]
pub use ui::{UiMessageReply, session_of_chat};
pub use wire::body::{Body, BodyAborted, EventStream, PartStream};
pub use wire::refusal::Refusal;
pub use wire::sse::PING;
