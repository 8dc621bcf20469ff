//! The traits that connect a store to the suite.

use async_trait::async_trait;
use durable_session::SessionId;
use durable_session::store::{SessionList, SessionStore};
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// The error of a factory or an instance: any error type.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// An ability that some stores, or some environments of the suite, do not have.
///
/// A case that needs a capability is reported as not applicable if the factory does not declare it.
///
/// ```
/// use durable_session_conformance::{Capability, cases};
///
/// let declared = [Capability::Reopen, Capability::List];
/// let applicable =
///     cases().iter().filter(|case| case.needs().iter().all(|need| declared.contains(need)));
/// println!("{} of {} cases apply", applicable.count(), cases().len());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// The store can be closed and opened again: [`Instance::reopen`].
    Reopen,
    /// A power loss can be simulated: [`Instance::crash_and_reopen`].
    Crash,
    /// Stored rows can be damaged: [`Instance::corrupt_message`], [`Instance::corrupt_head`] and
    /// [`Instance::corrupt_chunk`].
    Corrupt,
    /// Stored rows can be put in the wrong place: [`Instance::misplace_message`].
    Misplace,
    /// The store can be backed up and restored: [`Instance::back_up`] and
    /// [`Instance::restore_backup`].
    Backup,
    /// Sessions can be listed: [`Instance::list`].
    List,
    /// The environment has threads, and a thread may block on the store's futures.
    Threads,
    /// An idle store always accepts a commit on the first poll of its future.
    ///
    /// The contract does not say which poll accepts a commit. Only with this capability can a case
    /// tell a lost commit from one that was never accepted.
    AcceptsOnFirstPoll,
    /// No declared limit of bodies, app state and commits is above 64 MiB, so that cases can reach
    /// them.
    ReachableLimits,
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Makes stores for the suite, each empty and independent of all others.
///
/// ```
/// use async_trait::async_trait;
/// use durable_session::store::SessionStore;
/// use durable_session_conformance::{BoxError, Capability, Factory, Instance};
/// use durable_session_memory::MemoryStore;
/// use std::sync::Arc;
///
/// struct Memory;
/// struct MemoryInstance(MemoryStore);
///
/// #[async_trait(?Send)]
/// impl Factory for Memory {
///     fn name(&self) -> &'static str {
///         "memory"
///     }
///
///     fn capabilities(&self) -> &'static [Capability] {
///         &[Capability::AcceptsOnFirstPoll, Capability::ReachableLimits]
///     }
///
///     async fn create(&self) -> Result<Box<dyn Instance>, BoxError> {
///         Ok(Box::new(MemoryInstance(MemoryStore::new())))
///     }
/// }
///
/// impl Instance for MemoryInstance {
///     fn store(&self) -> Arc<dyn SessionStore> {
///         Arc::new(self.0.clone())
///     }
/// }
/// ```
#[async_trait(?Send)]
pub trait Factory {
    /// The name of the store in reports, such as `redb`.
    fn name(&self) -> &'static str;

    /// The capabilities of the store and of the environment.
    fn capabilities(&self) -> &'static [Capability];

    /// A new, empty store.
    ///
    /// # Errors
    /// Any error; the case then fails with it.
    async fn create(&self) -> Result<Box<dyn Instance>, BoxError>;
}

/// A store under test. It owns the resources of the store, such as a temporary folder, and removes
/// them when dropped.
///
/// A case holds no handle from [`store`](Self::store) or [`list`](Self::list) while it calls a
/// `&mut self` method. No case calls a method whose capability the factory does not declare; the
/// default implementations fail.
///
/// ```
/// use async_trait::async_trait;
/// use durable_session::store::SessionStore;
/// use durable_session_conformance::{BoxError, Instance};
/// # use durable_session_memory::MemoryStore;
/// use std::path::{Path, PathBuf};
/// use std::sync::Arc;
///
/// struct OnDisk {
///     path: PathBuf,
///     /// `None` only while the store is being opened again.
///     store: Option<Arc<dyn SessionStore>>,
/// }
///
/// # fn open(_: &Path) -> Result<MemoryStore, BoxError> {
/// #     Ok(MemoryStore::new())
/// # }
/// #[async_trait(?Send)]
/// impl Instance for OnDisk {
///     fn store(&self) -> Arc<dyn SessionStore> {
///         self.store.clone().expect("the store is open")
///     }
///
///     /// For `Capability::Reopen`.
///     async fn reopen(&mut self) -> Result<(), BoxError> {
///         self.store = None; // closes it
///         self.store = Some(Arc::new(open(&self.path)?));
///         Ok(())
///     }
/// }
/// ```
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
    /// Any error; the case then fails with it.
    async fn reopen(&mut self) -> Result<(), BoxError> {
        Err(undeclared(Capability::Reopen))
    }

    /// Loses all writes that were not synced, as a power loss does, and opens the store again
    /// ([`Capability::Crash`]).
    ///
    /// # Errors
    /// Any error; the case then fails with it.
    async fn crash_and_reopen(&mut self) -> Result<(), BoxError> {
        Err(undeclared(Capability::Crash))
    }

    /// Damages the stored message at `seq`, as a failing disk does ([`Capability::Corrupt`]).
    ///
    /// # Errors
    /// Any error, also if there is no such message; the case then fails with it.
    async fn corrupt_message(&mut self, id: &SessionId, seq: u64) -> Result<(), BoxError> {
        let _ = (id, seq);
        Err(undeclared(Capability::Corrupt))
    }

    /// Damages the stored head of a session, which holds its app state too
    /// ([`Capability::Corrupt`]).
    ///
    /// # Errors
    /// Any error, also if there is no such session; the case then fails with it.
    async fn corrupt_head(&mut self, id: &SessionId) -> Result<(), BoxError> {
        let _ = id;
        Err(undeclared(Capability::Corrupt))
    }

    /// Damages the stored chunk at `offset` of the reply that is open at `seq`
    /// ([`Capability::Corrupt`]). The other chunks of its extension may be damaged with it.
    ///
    /// # Errors
    /// Any error, also if there is no such chunk; the case then fails with it.
    async fn corrupt_chunk(
        &mut self,
        id: &SessionId,
        seq: u64,
        offset: u64,
    ) -> Result<(), BoxError> {
        let _ = (id, seq, offset);
        Err(undeclared(Capability::Corrupt))
    }

    /// Copies the stored bytes of the message at `seq` of `from`, unchanged, over those of the
    /// message at `seq` of `to` ([`Capability::Misplace`]).
    ///
    /// # Errors
    /// Any error, also if one of the two messages does not exist; the case then fails with it.
    async fn misplace_message(
        &mut self,
        from: &SessionId,
        to: &SessionId,
        seq: u64,
    ) -> Result<(), BoxError> {
        let _ = (from, to, seq);
        Err(undeclared(Capability::Misplace))
    }

    /// Backs the open store up as its documentation says, replacing the last backup
    /// ([`Capability::Backup`]).
    ///
    /// # Errors
    /// Any error; the case then fails with it.
    async fn back_up(&mut self) -> Result<(), BoxError> {
        Err(undeclared(Capability::Backup))
    }

    /// Closes the store, puts the last backup in its place and opens it, as its documentation says
    /// ([`Capability::Backup`]).
    ///
    /// # Errors
    /// Any error, also if there is no backup; the case then fails with it.
    async fn restore_backup(&mut self) -> Result<(), BoxError> {
        Err(undeclared(Capability::Backup))
    }
}

fn undeclared(capability: Capability) -> BoxError {
    format!(
        "the factory declares {capability}, but its instances do not implement the method for it"
    )
    .into()
}
