//! A store whose calls fail when a test says so.

use crate::{Call, Through, Wrapper};
use async_trait::async_trait;
use durable_session::SessionId;
use durable_session::store::{
    ListPage, ListQuery, SessionList, SessionStore, StoreError, StoreErrorKind,
};
use std::fmt;
use std::sync::{Arc, Mutex};

/// The calls that fail.
type Hits = Arc<dyn Fn(Call, &SessionId) -> bool + Send + Sync>;

/// A kind of error, and the calls on a session that fail with it; `None`: every call, also one that
/// is on no single session.
type Fault = (StoreErrorKind, Option<Hits>);

/// The faults of a [`Faulty`] store. A clone has the same faults.
#[derive(Clone)]
pub struct Faults<S> {
    inner: S,
    injected: Arc<Mutex<Option<Fault>>>,
}

/// A store whose calls fail when a test says so. Calls that do not fail go to the inner store.
pub type Faulty<S> = Through<Faults<S>>;

impl<S: SessionStore> Through<Faults<S>> {
    /// A store over `inner` that works until it is told to fail.
    pub fn over(inner: S) -> Self {
        Self(Faults { inner, injected: Arc::default() })
    }
}

impl<S> Faults<S> {
    /// From now on every call fails with an error of this kind; with `None`, none fails.
    pub fn fail(&self, kind: impl Into<Option<StoreErrorKind>>) {
        match kind.into() {
            Some(kind) => *self.injected.lock().unwrap() = Some((kind, None)),
            None => *self.injected.lock().unwrap() = None,
        }
    }

    /// From now on those calls fail that `hits` chooses.
    pub fn fail_if(
        &self,
        kind: StoreErrorKind,
        hits: impl Fn(Call, &SessionId) -> bool + Send + Sync + 'static,
    ) {
        *self.injected.lock().unwrap() = Some((kind, Some(Arc::new(hits))));
    }
}

impl<S> fmt::Debug for Faults<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}

#[async_trait]
impl<S: SessionStore> Wrapper for Faults<S> {
    type Inner = S;

    fn inner(&self) -> &S {
        &self.inner
    }

    fn before(&self, call: Call, id: &SessionId) -> Result<(), StoreError> {
        let injected = self.injected.lock().unwrap().clone();
        match injected {
            Some((kind, hits)) if hits.as_ref().is_none_or(|hits| hits(call, id)) => {
                Err(StoreError::new(kind, "the test injected this fault"))
            }
            _ => Ok(()),
        }
    }

    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError>
    where
        S: SessionList,
    {
        let injected = self.injected.lock().unwrap().clone();
        match injected {
            Some((kind, None)) => Err(StoreError::new(kind, "the test injected this fault")),
            _ => self.inner.list(query).await,
        }
    }
}
