//! Whose sessions a request may use: the service's hook, and the settings of the routes for it.

use crate::wire::refusal::Refusal;
use http::HeaderMap;
use std::fmt;
use std::sync::Arc;

/// The sender of a request, as the hook of
/// [`ApiBuilder::conversations`](crate::ApiBuilder::conversations) tells it from the headers.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Caller {
    /// A part of the service. It may use all sessions and ask for all owners.
    Service,
    /// An owner. It may use its own sessions and those without an owner, and ask only for itself. A
    /// session that it creates is its own.
    Owner(Arc<str>),
}

impl Caller {
    /// The owner with this name.
    ///
    /// ```
    /// use durable_session_http::Caller;
    ///
    /// let caller = Caller::owner("u-42");
    /// assert_eq!(format!("{caller:?}"), "Owner(4 bytes)");
    /// ```
    pub fn owner(name: &str) -> Self {
        Self::Owner(name.into())
    }

    /// Refuses what belongs to this owner, unless the caller may use it.
    pub(crate) fn check(&self, owner: &str) -> Result<(), Refusal> {
        match self {
            Self::Owner(own) if **own != *owner => {
                Err(Refusal::new(http::StatusCode::FORBIDDEN, "this belongs to somebody else"))
            }
            Self::Owner(_) | Self::Service => Ok(()),
        }
    }

    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Owner(name) => Some(name),
            Self::Service => None,
        }
    }
}

impl fmt::Debug for Caller {
    /// An owner is as secret as a message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service => f.write_str("Service"),
            Self::Owner(name) => write!(f, "Owner({} bytes)", name.len()),
        }
    }
}

/// The hook: who sends a request with these headers.
pub(crate) type CallerOf = Arc<dyn Fn(&HeaderMap) -> Result<Caller, Refusal> + Send + Sync>;

/// The routes for the conversations of a person.
#[derive(Clone)]
pub(crate) struct Conversations {
    /// The path in front of `/sessions` and `/owners`.
    pub(crate) base: String,
    pub(crate) caller: CallerOf,
}
