//! What an error of the driver says about a change.

use durable_session::store::{StoreError, StoreErrorKind};
use std::error::Error as _;
use tokio_postgres::error::{DbError, Severity, SqlState};

/// Why a step did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server refused the statement and goes on. Nothing was changed.
    Refused(StoreError),
    /// The connection is of no use any more. A statement that was sent may have been executed.
    Broken(StoreError),
    /// A row, or a limit, refuses the request. The connection can be used after a rollback.
    Request(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Request(error)
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(refusal) if !ends_the_connection(refusal) => Self::Refused(refused(refusal)),
            Some(refusal) => Self::Broken(lost().with_source(Refusal::of(refusal))),
            None if error.is_closed() || is_io(&error) => Self::Broken(lost().with_source(error)),
            // Parameters or rows that do not fit their types: a bug.
            None => Self::Refused(
                StoreError::new(StoreErrorKind::Internal, "the driver refused a statement")
                    .with_source(error),
            ),
        }
    }
}

impl Failure {
    /// The error if no part of the change can have been made.
    pub(crate) fn nothing_changed(self) -> StoreError {
        match self {
            Self::Refused(error) | Self::Broken(error) | Self::Request(error) => error,
        }
    }

    /// The error if the statement that failed can have made the change.
    pub(crate) fn perhaps_changed(self) -> StoreError {
        match self {
            Self::Refused(error) | Self::Request(error) => error,
            Self::Broken(error) => unknown(error),
        }
    }

    pub(crate) fn is_broken(&self) -> bool {
        matches!(self, Self::Broken(_))
    }
}

/// A change whose statement was sent, and whose answer did not come.
pub(crate) fn unknown(cause: StoreError) -> StoreError {
    let context = "the connection to the server ended before it answered";
    StoreError::new(StoreErrorKind::OutcomeUnknown, context).with_source(cause)
}

pub(crate) fn unavailable(context: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, context)
}

/// A connection that was not made. Nothing was changed, whatever the reason is.
pub(crate) fn not_connected(error: tokio_postgres::Error) -> StoreError {
    let unavailable = unavailable("could not connect to the server");
    match error.as_db_error() {
        Some(refusal) => unavailable.with_source(Refusal::of(refusal)),
        None => unavailable.with_source(error),
    }
}

fn lost() -> StoreError {
    unavailable("the connection to the server ended")
}

pub(crate) fn too_slow() -> Failure {
    Failure::Broken(unavailable("the server did not answer in time"))
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    error.source().is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
}

fn ends_the_connection(refusal: &DbError) -> bool {
    let code = refusal.code();
    matches!(refusal.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
        || *code == SqlState::ADMIN_SHUTDOWN
        || *code == SqlState::CRASH_SHUTDOWN
        || *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
        || code.code() == "57P05"
        || code.code().starts_with("08")
}

fn refused(refusal: &DbError) -> StoreError {
    let code = refusal.code();
    let class = code.code().get(..2).unwrap_or_default();
    let (kind, context) = match class {
        _ if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
            (StoreErrorKind::Unavailable, "the role has no right to this")
        }
        _ if *code == SqlState::DISK_FULL => {
            (StoreErrorKind::Unavailable, "the server's disk is full")
        }
        _ if *code == SqlState::READ_ONLY_SQL_TRANSACTION => {
            (StoreErrorKind::Unavailable, "the server takes no writes")
        }
        "XX" if *code == SqlState::DATA_CORRUPTED || *code == SqlState::INDEX_CORRUPTED => {
            (StoreErrorKind::Corrupt, "the server found damage in its own files")
        }
        "3F" | "42" => {
            (StoreErrorKind::Unavailable, "the tables or functions of the store are not there")
        }
        "40" | "53" | "55" | "57" | "58" => {
            (StoreErrorKind::Unavailable, "the server refused the statement for now")
        }
        _ => (StoreErrorKind::Internal, "the server refused the statement"),
    };
    StoreError::new(kind, context).with_source(Refusal::of(refusal))
}

/// A refusal by the server, without its details: these can quote stored values.
#[derive(Debug)]
struct Refusal {
    severity: String,
    code: String,
}

impl Refusal {
    fn of(refusal: &DbError) -> Self {
        Self { severity: refusal.severity().to_owned(), code: refusal.code().code().to_owned() }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PostgreSQL answered {} {}", self.severity, self.code)
    }
}

impl std::error::Error for Refusal {}
