//! The protocol over real sockets: the client, the proxy, bad clients, and a graceful end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bad_input;
mod client;
mod head;
mod host;
mod proxied;
mod stopping;
