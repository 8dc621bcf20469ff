//! The conformance suite for [`durable_session`] stores.
//!
//! A store is right when it keeps the clauses S1–S9 of its contract, and a chat session over it C1–C10. This suite is
//! one list of [`Case`]s, each named as a sentence and citing the clauses that promise what it asserts; it asserts
//! nothing else. Write a [`Factory`] for a store and run them:
//!
//! - under `cargo test`, with one `#[test]` per case: [`conformance_tests!`];
//! - anywhere else, such as inside a Worker: [`run_all`], or [`cases`] one by one. The suite builds for
//!   `wasm32-unknown-unknown` and needs neither an async runtime, nor threads, nor a clock.
//!
//! What a store cannot do, its factory does not declare as a [`Capability`]. Cases that need it are reported as not
//! applicable and counted apart.
//!
//! ```
//! use durable_session::store::{SessionList, SessionStore};
//! use durable_session_conformance::{BoxError, Capability, Factory, Instance};
//! use durable_session_memory::MemoryStore;
//! use std::sync::Arc;
//!
//! struct Memory;
//!
//! #[async_trait::async_trait(?Send)]
//! impl Factory for Memory {
//!     fn name(&self) -> &'static str {
//!         "memory"
//!     }
//!
//!     fn capabilities(&self) -> &'static [Capability] {
//!         &[Capability::List, Capability::Threads, Capability::AcceptsOnFirstPoll, Capability::ReachableLimits]
//!     }
//!
//!     async fn create(&self) -> Result<Box<dyn Instance>, BoxError> {
//!         Ok(Box::new(MemoryInstance(MemoryStore::new())))
//!     }
//! }
//!
//! struct MemoryInstance(MemoryStore);
//!
//! impl Instance for MemoryInstance {
//!     fn store(&self) -> Arc<dyn SessionStore> {
//!         Arc::new(self.0.clone())
//!     }
//!
//!     fn list(&self) -> Option<Arc<dyn SessionList>> {
//!         Some(Arc::new(self.0.clone()))
//!     }
//! }
//!
//! // One #[test] per case:
//! durable_session_conformance::conformance_tests!(Memory);
//! ```

mod case;
mod cases;
mod clause;
mod factory;
mod failure;
mod fixture;
mod harness;
mod hub;
mod list;
mod probe;
mod report;

pub use case::{Case, Outcome};
pub use clause::Clause;
pub use factory::{BoxError, Capability, Factory, Instance};
pub use failure::Failure;
pub use harness::__run_test;
pub use list::cases;
pub use report::{Counts, Report, run_all};
