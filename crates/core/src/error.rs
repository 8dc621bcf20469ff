//! What can go wrong in a session.

use crate::store::{StoreError, StoreErrorKind, Version};
use crate::{InvalidMessage, SessionId};
use std::sync::Arc;

/// The app's state and the app's type do not go together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppStateError {
    /// The app state is not a JSON object.
    #[error("the app state must serialize to a JSON object")]
    NotAnObject,
    /// It has a field that belongs to the session itself.
    #[error("the app state must not have a field `{field}`: that name belongs to the session")]
    Reserved {
        /// The field.
        field: &'static str,
    },
    /// It is not the JSON that is stored as app state.
    #[error("the stored app state cannot be read: {0}")]
    Unreadable(#[from] crate::json::JsonError),
    /// It cannot be written as JSON.
    #[error("the app state cannot be written as JSON: {0}")]
    Encode(#[source] serde_json::Error),
    /// What is stored does not fit the app's type. Nothing is lost: messages still work, and a type that fits reads it.
    #[error("the stored app state does not fit the app's type: {0}")]
    Decode(#[source] serde_json::Error),
}

/// Which limit of a session was exceeded. All are set in [`Limits`](crate::Limits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LimitKind {
    /// The bytes of one message.
    MessageBytes,
    /// The bytes of the app state.
    AppBytes,
    /// The number of messages in a session.
    SessionMessages,
    /// The bytes of all messages in a session.
    SessionBytes,
    /// The bytes that one call wants to change at once.
    CommitBytes,
    /// The operations that one call wants to make at once.
    CommitOps,
}

impl std::fmt::Display for LimitKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::MessageBytes => "bytes in a message",
            Self::AppBytes => "bytes of app state",
            Self::SessionMessages => "messages in a session",
            Self::SessionBytes => "bytes in a session",
            Self::CommitBytes => "bytes in one call",
            Self::CommitOps => "operations in one call",
        })
    }
}

/// A call on a session failed. Unless it says that the outcome is unknown, nothing was changed. Cheap to clone.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The message is not one.
    #[error("session {session}: {source}")]
    InvalidMessage {
        /// The session.
        session: SessionId,
        /// What is wrong with it.
        source: Arc<InvalidMessage>,
    },
    /// The app state and the app's type do not go together.
    #[error("session {session}: {source}")]
    AppState {
        /// The session.
        session: SessionId,
        /// What does not fit.
        source: Arc<AppStateError>,
    },
    /// More than a configured limit; nothing was changed.
    #[error("session {session}: {is} {limit} are too many, the limit is {max}; nothing was changed")]
    TooLarge {
        /// The session.
        session: SessionId,
        /// Which limit.
        limit: LimitKind,
        /// What there would be.
        is: u64,
        /// What may be.
        max: u64,
    },
    /// The message's `id` belongs to another message among the last ones (clause C7); nothing was changed.
    #[error(
        "session {session}: the id of this message belongs to the message at seq {seq}, which says something else"
    )]
    IdReused {
        /// The session.
        session: SessionId,
        /// The message that has the id.
        seq: u64,
    },
    /// Some messages of a batch are stored already and others are not (clause C7); nothing was
    /// changed. A batch that was sent before is sent again whole; new messages are sent in a batch
    /// of their own.
    #[error(
        "session {session}: {known} of the {given} messages are stored already, the first of them at seq {seq}, and the \
         others are not; nothing was changed"
    )]
    PartlyKnown {
        /// The session.
        session: SessionId,
        /// Where the first of them that is stored already stands.
        seq: u64,
        /// How many of the batch are stored already.
        known: usize,
        /// How many messages the batch has.
        given: usize,
    },
    /// Two messages of one batch have the same `id` and say different things; nothing was changed.
    #[error(
        "session {session}: messages {first} and {second} of the batch (counted from 0) have the same id and say \
         different things; nothing was changed"
    )]
    IdGivenTwice {
        /// The session.
        session: SessionId,
        /// The index of the first of the two in the batch, from 0.
        first: usize,
        /// The index of the second.
        second: usize,
    },
    /// There is no message at this seq; nothing was changed.
    #[error("session {session}: there is no message at seq {seq}")]
    NoSuchMessage {
        /// The session.
        session: SessionId,
        /// The seq.
        seq: u64,
    },
    /// The session changed since the version that the caller named; nothing was changed.
    #[error("session {session}: it has changed since that version was read")]
    VersionChanged {
        /// The session.
        session: SessionId,
        /// The version there is now, `None` if the session does not exist.
        current: Option<Version>,
    },
    /// Other writers kept changing the session first; nothing was changed. Try again.
    #[error("session {session}: other writers kept changing it; nothing was changed, try again")]
    Contended {
        /// The session.
        session: SessionId,
    },
    /// The caller's own closure refused; nothing was changed.
    #[error("the change was refused: {0}")]
    Rejected(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// This [`ChatSessions`](crate::ChatSessions) has been closed.
    #[error("session {session}: the sessions have been closed")]
    Closed {
        /// The session.
        session: SessionId,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Error {
    /// Lets a closure given to `turn` refuse; the reason comes back as [`Error::Rejected`].
    pub fn rejected(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Rejected(Arc::from(reason.into()))
    }

    /// The kind, if it is the store that failed.
    pub fn store_kind(&self) -> Option<StoreErrorKind> {
        match self {
            Self::Store(e) => Some(e.kind()),
            _ => None,
        }
    }

    /// Whether the change may have been made all the same.
    pub fn outcome_unknown(&self) -> bool {
        self.store_kind() == Some(StoreErrorKind::OutcomeUnknown)
    }

    pub(crate) fn app(session: &SessionId, source: AppStateError) -> Self {
        Self::AppState { session: session.clone(), source: Arc::new(source) }
    }
}
