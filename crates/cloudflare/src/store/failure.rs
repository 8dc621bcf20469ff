//! Failures of statements and of stored rows, as errors of the contract that name the session.

use crate::sql::SqlError;
use durable_session::store::{StoreError, StoreErrorKind};
use durable_session::{InvalidSessionId, SessionId};

/// A statement failed; `doing` is the first part of the error's text.
pub(super) fn failed(id: &SessionId, doing: &'static str) -> impl FnOnce(SqlError) -> StoreError {
    move |e| e.into_store(doing).in_session(id)
}

/// A stored row contradicts another one.
pub(super) fn corrupt(id: &SessionId, fault: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, fault).in_session(id)
}

/// A stored session id is not valid.
pub(super) fn corrupt_id(e: InvalidSessionId) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, "stored session id is not valid").with_source(e)
}
