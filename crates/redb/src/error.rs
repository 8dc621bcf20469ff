//! What can go wrong in an open store, from redb's errors and panics to what callers see.

pub(crate) use crate::open_error::{BackupError, OpenError};
use durable_session::store::{StoreError, StoreErrorKind};
use std::any::Any;
use std::error::Error;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Why work inside a transaction stopped.
#[derive(Debug)]
pub(crate) enum Fault {
    /// One request is refused on its own grounds; the transaction is as it was before.
    Refused(StoreError),
    /// redb failed.
    Redb(redb::Error),
    /// redb panicked; this is what it said.
    Panic(String),
}

/// What a fault means beyond the request that met it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// What this request reads is damaged; others may be well.
    Request,
    /// Not a row but the file is damaged: searching it may miss rows, and writing to it may destroy more.
    File,
    /// Reading or writing failed: redb refuses all further work until it is opened again.
    Store,
}

impl Fault {
    pub(crate) fn scope(&self) -> Scope {
        match self {
            Self::Redb(
                redb::Error::Io(_)
                | redb::Error::Backend(_)
                | redb::Error::Unsupported
                | redb::Error::PreviousIo
                | redb::Error::LockPoisoned(_)
                | redb::Error::DatabaseClosed,
            ) => Scope::Store,
            Self::Panic(_) | Self::Redb(redb::Error::Corrupted(_)) => Scope::File,
            Self::Refused(error) if is_contradiction(error) => Scope::File,
            Self::Refused(_) | Self::Redb(_) => Scope::Request,
        }
    }

    /// What opening a store says of it.
    pub(crate) fn on_opening(self) -> OpenError {
        match self {
            Self::Redb(error) => OpenError::redb(error),
            Self::Refused(error) => OpenError::damaged(error.to_string()),
            Self::Panic(message) => OpenError::damaged(format!("redb panicked on it ({message})")),
        }
    }

    /// As an answer to a caller whose change, if it was one, certainly did not happen.
    pub(crate) fn unchanged(self, doing: &'static str) -> StoreError {
        match self {
            Self::Refused(error) => error,
            Self::Panic(message) => StoreError::new(
                StoreErrorKind::Corrupt,
                format!("{doing}: redb panicked, as it does on a damaged file ({message})"),
            ),
            Self::Redb(error) => {
                let (kind, what) = match &error {
                    redb::Error::Corrupted(_) => (StoreErrorKind::Corrupt, "redb finds the file corrupted"),
                    // Trying again would not help: a page refers to what is not there.
                    redb::Error::Io(e) if e.kind() == ErrorKind::UnexpectedEof => {
                        (StoreErrorKind::Corrupt, "the file is damaged: it ends before what it refers to")
                    }
                    redb::Error::DatabaseClosed => (StoreErrorKind::Closed, "the database has been closed"),
                    redb::Error::ValueTooLarge(_) => {
                        (StoreErrorKind::TooLarge, "redb takes no value this large")
                    }
                    _ if self_is_store_wide(&error) => (StoreErrorKind::Unavailable, "the storage failed"),
                    _ => (StoreErrorKind::Internal, "redb failed"),
                };
                StoreError::new(kind, format!("{doing}: {what}")).with_source(error)
            }
        }
    }
}

/// Rows that are whole in themselves do not fit together. Kept as the source of the error that tells so.
#[derive(Debug, thiserror::Error)]
#[error("the rows contradict each other: the file is damaged, and not only one row of it")]
struct Contradiction;

pub(crate) fn contradiction(what: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, what).with_source(Contradiction)
}

pub(crate) fn is_contradiction(error: &StoreError) -> bool {
    error.source().is_some_and(<dyn Error>::is::<Contradiction>)
}

fn self_is_store_wide(error: &redb::Error) -> bool {
    matches!(
        error,
        redb::Error::Io(_)
            | redb::Error::Backend(_)
            | redb::Error::Unsupported
            | redb::Error::PreviousIo
            | redb::Error::LockPoisoned(_)
    )
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

macro_rules! from_redb {
    ($($error:ty),*) => {$(
        impl From<$error> for Fault {
            fn from(error: $error) -> Self {
                Self::Redb(error.into())
            }
        }
    )*};
}
from_redb!(
    redb::Error,
    redb::DatabaseError,
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError
);

/// Runs work on redb so that no panic of it gets further: a damaged file can make redb panic.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| panic_text(&*panic))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

pub(crate) fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Closed, "the store was closed; nothing was changed")
}
