//! The PostgreSQL store of [`durable_session`]: several processes write to the same sessions.
//!
//! - **Durable**: success means that the server synced the commit. Where the server does not sync,
//!   the store declares it
//!   ([`Durability::Unsynced`](durable_session::store::Durability::Unsynced)).
//! - **Group commit**: appends that wait become one statement.
//! - **No runtime needed**: the store has a thread of its own and works under any executor.
//! - **TLS** (feature `tls`, on by default): the certificate of the server is verified.
//! - **Truthful**: a connection that ends in the middle of a commit is an unknown outcome. Nothing
//!   is said about the session before the statement can change it no more.
//!
//! ```no_run
//! use durable_session::store::SessionStore;
//! use durable_session_postgres::PostgresStore;
//!
//! # async fn open() -> Result<(), durable_session::store::StoreError> {
//! let store = PostgresStore::builder("postgres://chat@localhost/chat").open().await?;
//! println!("{:?}", store.durability());
//! # Ok(())
//! # }
//! ```

mod builder;
mod change;
mod commit;
mod connection;
mod error;
mod found;
mod hints;
mod known;
mod list;
mod pool;
mod queue;
mod read;
mod shared;
mod sql;
mod stats;
mod store;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
mod tls;
mod transaction;
mod url;
mod writer;

pub use builder::PostgresStoreBuilder;
pub use stats::Stats;
pub use store::PostgresStore;

/// The README's example, compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
