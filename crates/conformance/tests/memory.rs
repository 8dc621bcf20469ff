//! The memory store keeps the contract.

use async_trait::async_trait;
use durable_session::store::{SessionList, SessionStore};
use durable_session_conformance::{BoxError, Capability, Factory, Instance, conformance_tests};
use durable_session_memory::MemoryStore;
use std::sync::Arc;

struct Memory;

#[async_trait(?Send)]
impl Factory for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn capabilities(&self) -> &'static [Capability] {
        &[
            Capability::List,
            Capability::Threads,
            Capability::AcceptsOnFirstPoll,
            Capability::ReachableLimits,
        ]
    }

    async fn create(&self) -> Result<Box<dyn Instance>, BoxError> {
        Ok(Box::new(MemoryInstance(MemoryStore::new())))
    }
}

struct MemoryInstance(MemoryStore);

impl Instance for MemoryInstance {
    fn store(&self) -> Arc<dyn SessionStore> {
        Arc::new(self.0.clone())
    }

    fn list(&self) -> Option<Arc<dyn SessionList>> {
        Some(Arc::new(self.0.clone()))
    }
}

conformance_tests!(Memory);
