//! What can go wrong with a call to a service.

use crate::base::InvalidBase;
use durable_session::env::RandomError;
use durable_session::json::JsonError;
use http::StatusCode;
use std::error::Error;
use std::sync::Arc;

/// A call to a service failed, after every try it may have. Holds no message and no session id. Cheap to clone.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No service can be reached at this URL.
    #[error(transparent)]
    InvalidBase(#[from] InvalidBase),
    /// A version can hold visible ASCII only.
    #[error("this is not a version that a service gave")]
    InvalidVersion,
    /// What was given cannot be written as JSON.
    #[error("this cannot be written as JSON")]
    Unwritable(#[source] JsonError),
    /// There is no randomness to be had for a message's id.
    #[error("a message id cannot be made")]
    Random(#[source] RandomError),
    /// The service cannot be reached, or the connection broke. Whatever was to be changed may have been changed if it broke.
    #[error("the service cannot be reached")]
    Unreachable {
        /// Whether the request may have got there.
        sent: bool,
        /// Why.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The service did not answer in time. Whatever was to be changed may have been changed.
    #[error("the service did not answer in time")]
    TimedOut,
    /// The service refused.
    #[error("the service answered {status}: {reason}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// Its reason, from `{"error":"…"}`.
        reason: String,
    },
    /// The service's answer is not what the protocol says.
    #[error("the service's answer is not what was expected")]
    Malformed(#[source] Arc<dyn Error + Send + Sync>),
}

impl ClientError {
    pub(super) fn unreachable(e: reqwest::Error) -> Self {
        if e.is_builder() {
            // The URL was checked; that a request cannot be made of it says nothing about the service.
            return InvalidBase::client(e.without_url()).into();
        }
        if e.is_timeout() && !e.is_connect() {
            return Self::TimedOut;
        }
        // The URL holds the session's id.
        Self::Unreachable { sent: !e.is_connect(), source: Arc::new(e.without_url()) }
    }

    pub(super) fn malformed(e: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Malformed(Arc::from(e.into()))
    }

    /// Whether the change may have been made all the same.
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Unreachable { sent, .. } => *sent,
            Self::TimedOut | Self::Malformed(_) => true,
            Self::Refused { status, .. } => status.is_server_error(),
            _ => false,
        }
    }

    /// Whether the same call may work later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut => true,
            Self::Refused { status, .. } => matches!(status.as_u16(), 429 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// Another message has this message's `id` (409).
    pub fn is_id_reused(&self) -> bool {
        self.has_status(StatusCode::CONFLICT)
    }

    /// There is no such message, or the service has no such route for clients (404).
    pub fn is_not_found(&self) -> bool {
        self.has_status(StatusCode::NOT_FOUND)
    }

    /// The cursor is good for nothing any more: its message was removed, or the session deleted
    /// (410).
    pub fn is_gone(&self) -> bool {
        self.has_status(StatusCode::GONE)
    }

    /// The session has changed since the version was read (412).
    pub fn is_overtaken(&self) -> bool {
        self.has_status(StatusCode::PRECONDITION_FAILED)
    }

    fn has_status(&self, wanted: StatusCode) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == wanted)
    }
}
