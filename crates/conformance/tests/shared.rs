//! The whole suite on a store that declares itself shared: every read of a registry asks it.

use async_trait::async_trait;
use durable_session::store::{SessionList, SessionStore};
use durable_session_conformance::{BoxError, Capability, Factory, Instance, conformance_tests};
use std::sync::Arc;
use testkit::{Database, Replica};

struct Shared;

#[async_trait(?Send)]
impl Factory for Shared {
    fn name(&self) -> &'static str {
        "shared memory"
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
        Ok(Box::new(SharedInstance(Database::new().replica())))
    }
}

struct SharedInstance(Replica);

impl Instance for SharedInstance {
    fn store(&self) -> Arc<dyn SessionStore> {
        Arc::new(self.0.clone())
    }

    fn list(&self) -> Option<Arc<dyn SessionList>> {
        Some(Arc::new(self.0.clone()))
    }
}

conformance_tests!(Shared);
