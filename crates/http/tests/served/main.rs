//! The protocol over real sockets: the client, the proxy, bad clients, and a graceful shutdown.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bad_input;
mod bodies;
mod client;
mod followed;
mod head;
mod host;
mod parts;
mod pings;
mod proxied;
mod readers;
mod stopping;
