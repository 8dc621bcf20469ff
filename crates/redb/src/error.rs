//! Errors of an open store: from redb's errors and panics to the errors of callers.

pub(crate) use crate::open_error::{BackupError, OpenError};
use durable_session::store::{StoreError, StoreErrorKind};
use std::any::Any;
use std::error::Error;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The reason why work inside a transaction stopped.
#[derive(Debug)]
pub(crate) enum Fault {
    /// One request is refused; the transaction is as it was before.
    Refused(StoreError),
    /// redb failed.
    Redb(redb::Error),
    /// redb panicked, with this message.
    Panic(String),
}

/// The reach of a fault beyond the request that met it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// A row that this request reads is damaged; other requests may succeed.
    Request,
    /// The file is damaged beyond a row: searching it may miss rows, and writing to it may destroy
    /// more.
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
            Self::Panic(_) => Scope::File,
            Self::Redb(error) if is_damage(error) => Scope::File,
            Self::Refused(error) if is_contradiction(error) => Scope::File,
            Self::Refused(_) | Self::Redb(_) => Scope::Request,
        }
    }

    /// The error of opening a store that met this fault.
    pub(crate) fn on_opening(self) -> OpenError {
        match self {
            Self::Redb(error) => OpenError::redb(error),
            Self::Refused(error) => OpenError::damaged(error.to_string()),
            Self::Panic(message) => OpenError::damaged(format!("redb panicked ({message})")),
        }
    }

    /// The error of a call that certainly changed nothing.
    pub(crate) fn unchanged(self, doing: &'static str) -> StoreError {
        match self {
            Self::Refused(error) => error,
            Self::Panic(message) => StoreError::new(
                StoreErrorKind::Corrupt,
                format!("{doing}: redb panicked ({message}); the file is damaged"),
            ),
            Self::Redb(error) => {
                let (kind, text) = match &error {
                    error if is_damage(error) => (StoreErrorKind::Corrupt, "the file is damaged"),
                    // Trying again would not help: a page refers to a place past the end.
                    redb::Error::Io(e) if e.kind() == ErrorKind::UnexpectedEof => (
                        StoreErrorKind::Corrupt,
                        "the file is damaged: it is shorter than its pages say",
                    ),
                    redb::Error::DatabaseClosed => {
                        (StoreErrorKind::Closed, "the database was closed")
                    }
                    redb::Error::ValueTooLarge(_) => {
                        (StoreErrorKind::TooLarge, "a row is larger than redb allows")
                    }
                    _ if is_store_wide(&error) => {
                        (StoreErrorKind::Unavailable, "the storage failed")
                    }
                    _ => (StoreErrorKind::Internal, "redb failed"),
                };
                StoreError::new(kind, format!("{doing}: {text}")).with_source(error)
            }
        }
    }
}

/// Undamaged rows contradict each other. The source of the error that names the contradiction.
#[derive(Debug, thiserror::Error)]
#[error("the rows contradict each other: the damage is not limited to one row")]
struct Contradiction;

pub(crate) fn contradiction(text: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, text).with_source(Contradiction)
}

pub(crate) fn is_contradiction(error: &StoreError) -> bool {
    error.source().is_some_and(<dyn Error>::is::<Contradiction>)
}

/// Whether redb found damage. Every store has the same tables: a table that is missing or has
/// another type is damage, too.
fn is_damage(error: &redb::Error) -> bool {
    matches!(
        error,
        redb::Error::Corrupted(_)
            | redb::Error::TableDoesNotExist(_)
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TableIsNotMultimap(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TypeDefinitionChanged { .. }
    )
}

fn is_store_wide(error: &redb::Error) -> bool {
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

/// Runs work on redb and catches its panics: a damaged file can make redb panic.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| panic_text(&*panic))
}

/// Runs a part of opening: a panic of redb is damage.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, OpenError>) -> Result<T, OpenError> {
    caught(work)
        .unwrap_or_else(|message| Err(OpenError::damaged(format!("redb panicked ({message})"))))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

pub(crate) fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Closed, "the store is closed; nothing was changed")
}
