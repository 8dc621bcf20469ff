//! The failure of a case.

use crate::BoxError;
use durable_session::ErrorChain;
use durable_session::store::StoreError;
use std::fmt;
use std::panic::Location;

/// The expectation of a case, the different finding, and its place in the suite.
///
/// ```
/// use durable_session_conformance::Failure;
///
/// let failure = Failure::new("the number of messages: expected 2, found 1");
/// assert!(failure.to_string().starts_with("the number of messages: expected 2, found 1 ("));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    message: String,
}

impl Failure {
    /// A failure with this message and the place of the caller.
    #[track_caller]
    pub fn new(message: impl fmt::Display) -> Self {
        let at = Location::caller();
        Self { message: format!("{message} ({}:{})", at.file(), at.line()) }
    }

    pub(crate) fn from_panic(payload: &(dyn std::any::Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        Self { message: format!("panicked: {text}") }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<StoreError> for Failure {
    #[track_caller]
    fn from(error: StoreError) -> Self {
        Self::new(format_args!("unexpected error: {}", ErrorChain(&error)))
    }
}

impl From<durable_session::Error> for Failure {
    #[track_caller]
    fn from(error: durable_session::Error) -> Self {
        Self::new(format_args!("unexpected error: {}", ErrorChain(&error)))
    }
}

impl From<BoxError> for Failure {
    #[track_caller]
    fn from(error: BoxError) -> Self {
        Self::new(format_args!("the factory failed: {}", ErrorChain(&*error)))
    }
}

/// Fails the case unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::Failure::new(format_args!($($message)+)));
        }
    };
}

/// Fails the case unless both are equal.
macro_rules! ensure_eq {
    ($found:expr, $expected:expr, $($message:tt)+) => {
        match (&$found, &$expected) {
            (found, expected) => {
                if *found != *expected {
                    return Err($crate::Failure::new(format_args!(
                        "{}: expected {:?}, found {:?}",
                        format_args!($($message)+), expected, found
                    )));
                }
            }
        }
    };
}

pub(crate) use {ensure, ensure_eq};
