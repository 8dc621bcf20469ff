//! The conformance suite for [`durable_session`] stores.
//!
//! The contract has clauses S1–S12 for stores and C1–C10 for chat sessions over a store. The
//! suite is a list of [`Case`]s. The name of a case is the behaviour that it checks, and the case
//! cites the clauses that promise this behaviour. Write a [`Factory`] for your store and run the
//! cases:
//!
//! - under `cargo test`, with one `#[test]` per case: [`conformance_tests!`];
//! - anywhere else, such as inside a Worker: [`run_all`], or [`cases`] one by one. The suite builds
//!   for `wasm32-unknown-unknown` and needs no async runtime, no threads and no clock.
//!
//! A factory declares the optional abilities of its store, such as being opened again, as
//! [`Capability`] values. A case that needs an undeclared capability is reported as not applicable.
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
//!         use Capability::{AcceptsOnFirstPoll, List, ReachableLimits, Threads};
//!         &[List, Threads, AcceptsOnFirstPoll, ReachableLimits]
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
mod dropped;
mod factory;
mod failure;
mod fixture;
mod harness;
mod list;
mod probe;
mod registry;
mod replying;
mod report;
mod writing;

pub use case::{Case, Outcome};
pub use clause::Clause;
pub use factory::{BoxError, Capability, Factory, Instance};
pub use failure::Failure;
pub use harness::__run_test;
pub use list::cases;
pub use report::{Counts, Report, run_all};
