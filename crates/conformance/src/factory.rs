//! What a backend gives the suite.

use async_trait::async_trait;
use durable_session::SessionId;
use durable_session::store::{SessionList, SessionStore};
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// Why a factory could not do what was asked. Any error fits.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Something that not every backend, or not every place a suite runs in, can do.
///
/// A case that needs a capability which the factory does not declare is reported as not applicable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// The store can be closed and opened again: [`Instance::reopen`].
    Reopen,
    /// A power loss can be simulated: [`Instance::crash_and_reopen`].
    Crash,
    /// Stored rows can be damaged: [`Instance::corrupt_message`] and [`Instance::corrupt_head`].
    Corrupt,
    /// Sessions can be listed: [`Instance::list`].
    List,
    /// Threads can be started here, each blocking on the store's futures.
    Threads,
    /// While nothing else is going on, the store accepts a commit on the first poll of its future, always.
    ///
    /// The contract leaves open which poll accepts; only with this can a test tell a lost commit from one never taken.
    AcceptsOnFirstPoll,
    /// The declared limits are small enough to be reached here: at most 64 MiB for a commit.
    ReachableLimits,
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Makes stores for the suite, each empty and independent of all others.
#[async_trait(?Send)]
pub trait Factory {
    /// What reports call this store, such as `redb`.
    fn name(&self) -> &'static str;

    /// What the instances can do beyond the store contract.
    fn capabilities(&self) -> &'static [Capability];

    /// A new, empty store.
    ///
    /// # Errors
    /// Whatever went wrong; the case then fails.
    async fn create(&self) -> Result<Box<dyn Instance>, BoxError>;
}

/// A store under test. It owns whatever the store needs, such as a temporary folder, and removes it when dropped.
///
/// Cases hold no handle from [`store`](Self::store) or [`list`](Self::list) while they call a `&mut self` method.
/// The defaults of those methods are for factories that do not declare the capability; no case calls them then.
#[async_trait(?Send)]
pub trait Instance {
    /// The store.
    fn store(&self) -> Arc<dyn SessionStore>;

    /// The listing of the same store ([`Capability::List`]).
    fn list(&self) -> Option<Arc<dyn SessionList>> {
        None
    }

    /// Closes the store cleanly and opens it again ([`Capability::Reopen`]).
    ///
    /// # Errors
    /// Whatever went wrong; the case then fails.
    async fn reopen(&mut self) -> Result<(), BoxError> {
        Err(undeclared(Capability::Reopen))
    }

    /// Loses everything that was not synced, as a power loss would, and opens the store again
    /// ([`Capability::Crash`]).
    ///
    /// # Errors
    /// Whatever went wrong; the case then fails.
    async fn crash_and_reopen(&mut self) -> Result<(), BoxError> {
        Err(undeclared(Capability::Crash))
    }

    /// Damages the stored row of a message, as a failing disk would ([`Capability::Corrupt`]).
    ///
    /// # Errors
    /// Whatever went wrong, also when there is no such row; the case then fails.
    async fn corrupt_message(&mut self, id: &SessionId, seq: u64) -> Result<(), BoxError> {
        let _ = (id, seq);
        Err(undeclared(Capability::Corrupt))
    }

    /// Damages the stored head of a session, which holds its app state too ([`Capability::Corrupt`]).
    ///
    /// # Errors
    /// Whatever went wrong, also when there is no such session; the case then fails.
    async fn corrupt_head(&mut self, id: &SessionId) -> Result<(), BoxError> {
        let _ = id;
        Err(undeclared(Capability::Corrupt))
    }
}

fn undeclared(capability: Capability) -> BoxError {
    format!("the factory declares {capability} and its instances do not implement it").into()
}
