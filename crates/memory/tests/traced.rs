//! `Traced` keeps the contract and counts the operations.
#![allow(clippy::unwrap_used, missing_docs)]

use async_trait::async_trait;
use durable_session::SessionId;
use durable_session::store::{
    Commit, Expect, LoadQuery, Op, SessionList, SessionStore, StoreOperation, TailBounds, Traced,
};
use durable_session_conformance::{BoxError, Capability, Factory, Instance, conformance_tests};
use durable_session_memory::MemoryStore;
use futures_executor::block_on;
use std::sync::Arc;
use testkit::Ticking;

struct TracedMemory;

#[async_trait(?Send)]
impl Factory for TracedMemory {
    fn name(&self) -> &'static str {
        "traced memory"
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
        Ok(Box::new(TracedInstance(Traced::new(MemoryStore::new()))))
    }
}

struct TracedInstance(Traced<MemoryStore>);

impl Instance for TracedInstance {
    fn store(&self) -> Arc<dyn SessionStore> {
        Arc::new(self.0.clone())
    }

    fn list(&self) -> Option<Arc<dyn SessionList>> {
        Some(Arc::new(self.0.clone()))
    }
}

mod contract {
    super::conformance_tests!(super::TracedMemory);
}

fn id() -> SessionId {
    SessionId::new("session-secret").unwrap()
}

fn create(body: &'static str) -> Commit {
    Commit::new(Expect::absent(1), vec![Op::append(body.into())], 1)
}

#[test]
fn each_outcome_is_counted_with_its_duration() {
    let store = Traced::with_clock(MemoryStore::new(), Ticking::default());
    block_on(store.commit(&id(), create("secret-text"))).unwrap();
    block_on(store.commit(&id(), create("secret-text"))).unwrap();
    let limit = usize::try_from(store.limits().max_body_bytes).unwrap();
    let large = Op::append(vec![b'x'; limit + 1].into());
    let too_large = Commit::new(Expect::absent(1), vec![large], 1);
    block_on(store.commit(&id(), too_large)).unwrap_err();
    drop(store.commit(&id(), create("secret-text")));

    let counts = store.clone().counts(StoreOperation::Commit);
    assert_eq!((counts.done, counts.refused, counts.failed, counts.dropped), (1, 1, 1, 0));
    assert_eq!(counts.total_ms, 15);
    assert_eq!(store.counts(StoreOperation::Load).done, 0);
    block_on(store.load(&id(), LoadQuery::new(TailBounds::new(1, 1)))).unwrap();
    assert_eq!(store.counts(StoreOperation::Load).done, 1);
}
