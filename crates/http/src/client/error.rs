//! The errors of calls to a service.

use crate::base_url::InvalidBaseUrl;
use durable_session::env::RandomError;
use durable_session::json::JsonError;
use http::StatusCode;
use std::error::Error;
use std::sync::Arc;

/// A call to a service failed, after all its tries. Contains no message and no session id. Cheap to
/// clone.
///
/// ```
/// use durable_session_http::client::{ChatSessionClient, ClientError};
///
/// # async fn example(chat: ChatSessionClient) -> Result<(), ClientError> {
/// match chat.remove(3, None).await {
///     Err(error) if error.is_not_found() => println!("there is no message 3"),
///     Err(error) if error.may_have_happened() => println!("perhaps removed: {error}"),
///     result => result?,
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The base URL is not valid.
    #[error(transparent)]
    InvalidBaseUrl(#[from] InvalidBaseUrl),
    /// The version is not one of a service: it has characters other than visible ASCII.
    #[error("the version is not valid: it has characters other than visible ASCII")]
    InvalidVersion,
    /// The value cannot be written as JSON.
    #[error("the value cannot be written as JSON")]
    Unwritable(#[source] JsonError),
    /// The system has no randomness for the id of a message.
    #[error("a message id cannot be made")]
    Random(#[source] RandomError),
    /// The service cannot be reached, or the connection broke. If it broke, the change may have
    /// been made.
    #[error("the service cannot be reached")]
    Unreachable {
        /// Whether the request may have reached the service.
        sent: bool,
        /// The failure of the connection.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The service did not respond in time. The change may have been made.
    #[error("the service did not respond in time")]
    TimedOut,
    /// The service refused the call.
    #[error("the service refused: {status}: {reason}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// The service's reason, from `{"error":"…"}`.
        reason: String,
    },
    /// The response does not follow the protocol.
    #[error("the response of the service does not follow the protocol")]
    Malformed(#[source] Arc<dyn Error + Send + Sync>),
}

impl ClientError {
    pub(super) fn unreachable(e: reqwest::Error) -> Self {
        if e.is_builder() {
            // The request could not be built, so the service was not called.
            return InvalidBaseUrl::client(e.without_url()).into();
        }
        if e.is_timeout() && !e.is_connect() {
            return Self::TimedOut;
        }
        // The URL has the session id.
        Self::Unreachable { sent: !e.is_connect(), source: Arc::new(e.without_url()) }
    }

    pub(super) fn malformed(e: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Malformed(Arc::from(e.into()))
    }

    /// Whether the change may have been made in spite of the error.
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Unreachable { sent, .. } => *sent,
            Self::TimedOut | Self::Malformed(_) => true,
            Self::Refused { status, .. } => status.is_server_error(),
            _ => false,
        }
    }

    /// Whether the same call may succeed later.
    ///
    /// ```
    /// # use durable_session_http::client::ClientError;
    /// # fn example(error: &ClientError) {
    /// if error.is_transient() {
    ///     println!("try again later: {error}");
    /// }
    /// # }
    /// ```
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut => true,
            Self::Refused { status, .. } => matches!(status.as_u16(), 429 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// Whether the service refused because another message has this `id` (409).
    pub fn is_id_reused(&self) -> bool {
        self.has_status(StatusCode::CONFLICT)
    }

    /// Whether there is no such message, or no such route for clients (404).
    pub fn is_not_found(&self) -> bool {
        self.has_status(StatusCode::NOT_FOUND)
    }

    /// Whether the cursor has expired: its message was removed, or the session deleted (410).
    pub fn is_gone(&self) -> bool {
        self.has_status(StatusCode::GONE)
    }

    /// Whether the session has changed since the version was read (412).
    pub fn is_version_changed(&self) -> bool {
        self.has_status(StatusCode::PRECONDITION_FAILED)
    }

    fn has_status(&self, wanted: StatusCode) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == wanted)
    }
}
