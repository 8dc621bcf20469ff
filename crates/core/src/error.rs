//! What can go wrong in a session.

use crate::SessionId;
use crate::json::JsonError;
use crate::store::{StoreError, StoreErrorKind, Version};
use std::fmt;
use std::sync::Arc;

/// An error and its sources on one line, for a log: `what failed: why: why that`.
///
/// Errors of these crates do not repeat their source's text, so one alone may not say enough.
///
/// ```
/// use durable_session::{ErrorChain, Message};
///
/// let error = Message::from_json("{").unwrap_err();
/// assert_eq!(
///     ErrorChain(&error).to_string(),
///     "message is not valid JSON: EOF while parsing an object at line 1 column 1"
/// );
/// ```
#[derive(Debug, Clone, Copy)]
pub struct ErrorChain<'a>(pub &'a (dyn std::error::Error + 'static));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.0, f)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

/// The app's state and the app's type do not go together. Its text repeats nothing of the state but names of fields that
/// the type has.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppStateError {
    /// The app state is not a JSON object.
    #[error("app state does not serialize to a JSON object")]
    NotAnObject,
    /// It has a field that belongs to the session itself.
    #[error("app state has the field `{field}`, which is the session's own; rename it")]
    Reserved {
        /// The field.
        field: &'static str,
    },
    /// It is not the JSON that is stored as app state.
    #[error("stored app state is not valid JSON")]
    Unreadable(#[from] JsonError),
    /// It cannot be written as JSON.
    #[error("app state cannot be written as JSON")]
    Encode(#[source] JsonError),
    /// What is stored does not fit the app's type. Nothing is lost: messages still work, and a type that fits reads it.
    #[error("app state does not fit the app's type{}", at_field(.field.as_deref()))]
    Decode {
        /// The field that does not fit, if it is one of those that the type's default has.
        field: Option<Box<str>>,
        /// Why.
        source: JsonError,
    },
}

fn at_field(field: Option<&str>) -> String {
    field.map(|field| format!(" at its field `{field}`")).unwrap_or_default()
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

impl LimitKind {
    /// Says which limit `is` exceeds, and by what: `message is 20 bytes; the limit is 10`.
    pub fn exceeded(self, is: u64, max: u64) -> String {
        match self {
            Self::MessageBytes => format!("message is {is} bytes; the limit is {max}"),
            Self::AppBytes => format!("app state is {is} bytes; the limit is {max}"),
            Self::SessionMessages => format!("session would have {is} messages; the limit is {max}"),
            Self::SessionBytes => format!("session would have {is} bytes of messages; the limit is {max}"),
            Self::CommitBytes => format!("one call changes {is} bytes; the limit is {max}"),
            Self::CommitOps => format!("one call makes {is} operations; the limit is {max}"),
        }
    }
}

/// A call on a session failed. Unless it says that the outcome is unknown, nothing was changed. Cheap to clone.
///
/// Its text names the session by its [fingerprint](crate::Fingerprint), and repeats no message and no app state. Its
/// sources say why; [`ErrorChain`] shows all on one line.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The app state and the app's type do not go together.
    #[error("session {}: app state cannot be used", .session.fingerprint())]
    AppState {
        /// The session.
        session: SessionId,
        /// What does not fit.
        source: Arc<AppStateError>,
    },
    /// More than a configured limit; nothing was changed.
    #[error("session {}: {}", .session.fingerprint(), .limit.exceeded(*.is, *.max))]
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
        "session {}: the id of this message belongs to the message at seq {seq}, which says something else",
        .session.fingerprint()
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
        "session {}: {known} of the {given} messages are stored already, the first of them at seq {seq}, and the \
         others are not; nothing was changed",
        .session.fingerprint()
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
        "session {}: messages {first} and {second} of the batch (counted from 0) have the same id and say \
         different things; nothing was changed",
        .session.fingerprint()
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
    #[error("session {}: there is no message at seq {seq}", .session.fingerprint())]
    NoSuchMessage {
        /// The session.
        session: SessionId,
        /// The seq.
        seq: u64,
    },
    /// The session changed since the version that the caller named; nothing was changed.
    #[error("session {}: it has changed since that version was read; read it again", .session.fingerprint())]
    VersionChanged {
        /// The session.
        session: SessionId,
        /// The version there is now, `None` if the session does not exist.
        current: Option<Version>,
    },
    /// Other writers kept changing the session first; nothing was changed. Try again.
    #[error("session {}: other writers kept changing it; nothing was changed, try again", .session.fingerprint())]
    Contended {
        /// The session.
        session: SessionId,
    },
    /// The caller's own closure refused; nothing was changed. The reason is the source.
    #[error("the change was refused; nothing was changed")]
    Rejected(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// This [`ChatSessions`](crate::ChatSessions) has been closed.
    #[error("session {}: its `ChatSessions` has been closed", .session.fingerprint())]
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
