//! What the conformance suite cannot know: several openings of one schema, servers and connections
//! that die, rights and settings.
#![allow(clippy::unwrap_used, clippy::panic)] // Clippy knows tests, but not their helpers.

#[path = "../server/mod.rs"]
mod server;

mod fixture;
mod hints;
mod killed;
mod opening;
mod race;
mod severed;
#[cfg(feature = "tls")]
mod tls;
mod values;
