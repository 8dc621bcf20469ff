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
    /// A client without a login. It may use every session whose id it knows, and ask only for the
    /// owner that it names, if it names one. A session that it creates belongs to that owner. The
    /// name is all that protects the list: let clients draw it at random, as they draw session ids.
    Guest(Option<Arc<str>>),
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

    /// A client without a login, with the owner that it names.
    ///
    /// ```
    /// use durable_session_http::Caller;
    ///
    /// let caller = Caller::guest(Some("owner-7d3kq5"));
    /// assert_eq!(format!("{caller:?}"), "Guest(12 bytes)");
    /// ```
    pub fn guest(owner: Option<&str>) -> Self {
        Self::Guest(owner.map(Into::into))
    }

    /// Refuses what belongs to this owner, unless the caller may use it.
    pub(crate) fn check(&self, owner: &str) -> Result<(), Refusal> {
        if matches!(self, Self::Service) || self.name() == Some(owner) {
            return Ok(());
        }
        Err(Refusal::new(http::StatusCode::FORBIDDEN, "this belongs to somebody else"))
    }

    /// The owner of the sessions that this caller creates.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Owner(name) => Some(name),
            Self::Guest(name) => name.as_deref(),
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
            Self::Guest(name) => match name {
                Some(name) => write!(f, "Guest({} bytes)", name.len()),
                None => f.write_str("Guest"),
            },
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
