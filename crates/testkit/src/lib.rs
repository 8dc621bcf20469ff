//! Stores, clocks and disks under the control of a test. Not published.
//!
//! - [`ManualClock`] stands still until a test moves it; [`Ticking`] moves each time it is read.
//! - [`Written`] keeps what a logger writes.
//! - [`Through`] makes a store of a [`Wrapper`]: of a type that overrides some calls of a store and
//!   passes on the others.
//! - [`Faulty`] is a store whose calls fail when a test says so.
//! - `Puppet` (feature `steered`) is a memory store that holds, fails and records its calls.
//! - `Database` (feature `steered`) is a memory store that several processes share. Each has a
//!   `Replica`, and the server can fail over.
//! - `ByHand` (feature `by-hand`) is a table of redb without a store, to measure against.
//! - `context` (feature `context`) makes histories with tool calls and checks views of them.
//! - `disk` (feature `disk`) is a simulated disk under the redb store.
//! - `PostgresServer` (feature `postgres`) is a server that a test starts, kills and fills up.
#![allow(clippy::unwrap_used, clippy::panic, reason = "only tests use this crate")]

#[cfg(feature = "by-hand")]
mod by_hand;
mod clock;
#[cfg(feature = "context")]
pub mod context;
#[cfg(feature = "disk")]
pub mod disk;
mod faulty;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "steered")]
mod puppet;
#[cfg(feature = "steered")]
mod replicas;
mod through;
mod written;

#[cfg(feature = "by-hand")]
pub use by_hand::ByHand;
pub use clock::{ManualClock, Ticking};
pub use faulty::{Faults, Faulty};
#[cfg(feature = "postgres")]
pub use postgres::PostgresServer;
#[cfg(feature = "steered")]
pub use puppet::{Fault, Puppet, Script};
#[cfg(feature = "steered")]
pub use replicas::{Database, Replica};
pub use through::{Call, Through, Wrapper};
pub use written::Written;
