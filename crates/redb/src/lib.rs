//! The embedded store of [`durable_session`]: chat sessions in one file, by [redb](https://www.redb.org).
//!
//! - **Durable**: success means synced to the disk ([`RedbDurability`] chooses how).
//! - **Group commit**: while one transaction is being synced, later changes gather and form the next. There is no timer
//!   and no added wait.
//! - **No runtime needed**: the store has threads of its own and works under any executor.
//! - **Truthful**: a row that cannot be read is an error naming it; a failed sync is an unknown outcome; no panic of
//!   redb on a damaged file reaches the caller (unless the program is built with `panic = "abort"`).
//!
//! One process opens a file at a time; a second one gets [`OpenError::AlreadyOpen`], or waits for the file
//! ([`RedbStoreBuilder::wait_for_lock`]). Build one `ChatSessions` over a store and clone it: two over one store do
//! not see each other's changes.

mod backend;
mod backup;
mod bodies;
mod builder;
mod engine;
mod error;
mod layout;
mod open;
mod open_error;
mod readers;
mod salvage;
mod stats;
mod store;
mod verify;
mod writer;

pub use backup::Progress;
pub use builder::{RedbDurability, RedbStoreBuilder};
pub use open_error::{BackupError, OpenError};
pub use stats::Stats;
pub use store::RedbStore;
pub use verify::Verification;

/// The README's example, compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
