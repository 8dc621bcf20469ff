//! The errors of a session.

use crate::SessionId;
use crate::json::JsonError;
use crate::reply::ReplyEnd;
use crate::store::{StoreError, StoreErrorKind, Version};
use std::fmt;
use std::sync::Arc;

/// Displays an error and its sources on one line, for a log: `error: source: source of the source`.
///
/// Errors of these crates do not repeat the text of their source, so the error alone may not say
/// enough.
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

/// The app state and the app's type do not fit together.
///
/// Of the app state, the text repeats only names of fields that the type has.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppStateError {
    /// The app state is not a JSON object.
    #[error("app state is not a JSON object")]
    NotAnObject,
    /// The app state has a field with a name that the session reserves.
    #[error("app state has the field `{field}`; the session reserves this name, rename the field")]
    Reserved {
        /// The reserved name.
        field: &'static str,
    },
    /// The stored app state is not valid JSON.
    #[error("stored app state is not valid JSON")]
    Unreadable(#[from] JsonError),
    /// The app state cannot be written as JSON.
    #[error("app state cannot be written as JSON")]
    Encode(#[source] JsonError),
    /// The stored app state does not fit the app's type. Nothing is lost: messages still work, and
    /// a type that fits can read it.
    #[error("app state does not fit the app's type{}", at_field(.field.as_deref()))]
    Decode {
        /// The field that does not fit, if the default value of the type has this field.
        field: Option<Box<str>>,
        /// The reason.
        source: JsonError,
    },
}

fn at_field(field: Option<&str>) -> String {
    field.map(|field| format!(" at its field `{field}`")).unwrap_or_default()
}

/// A limit of a session that was exceeded.
///
/// [`Limits`](crate::Limits) sets the limits of messages, app state and sessions; the store
/// declares those of commits.
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
    /// The bytes that one call changes.
    CommitBytes,
    /// The operations that one call makes.
    CommitOps,
    /// The bytes of the owner of a session.
    OwnerBytes,
    /// The bytes of the title of a session.
    TitleBytes,
}

impl LimitKind {
    /// The text of an error about this limit: the value `is` exceeds `max`.
    ///
    /// ```
    /// use durable_session::LimitKind;
    ///
    /// let text = LimitKind::MessageBytes.exceeded(20, 10);
    /// assert_eq!(text, "message is 20 bytes; the limit is 10");
    /// ```
    pub fn exceeded(self, is: u64, max: u64) -> String {
        match self {
            Self::MessageBytes => format!("message is {is} bytes; the limit is {max}"),
            Self::AppBytes => format!("app state is {is} bytes; the limit is {max}"),
            Self::SessionMessages => {
                format!("session would have {is} messages; the limit is {max}")
            }
            Self::SessionBytes => {
                format!("session would have {is} bytes of messages; the limit is {max}")
            }
            Self::CommitBytes => format!("one call changes {is} bytes; the limit is {max}"),
            Self::CommitOps => format!("one call makes {is} operations; the limit is {max}"),
            Self::OwnerBytes => format!("owner is {is} bytes; the limit is {max}"),
            Self::TitleBytes => format!("title is {is} bytes; the limit is {max}"),
        }
    }
}

/// A call on a session failed. Nothing was changed, unless
/// [`outcome_unknown`](Self::outcome_unknown).
///
/// The text names the session by its [fingerprint](crate::Fingerprint) and repeats no message and
/// no app state. The sources give the reason; [`ErrorChain`] shows all of them on one line. Cheap
/// to clone.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The app state and the app's type do not fit together.
    #[error("session {}: app state cannot be used", .session.fingerprint())]
    AppState {
        /// The session.
        session: SessionId,
        /// The reason.
        source: Arc<AppStateError>,
    },
    /// A configured limit would be exceeded; nothing was changed.
    #[error("session {}: {}", .session.fingerprint(), .limit.exceeded(*.is, *.max))]
    TooLarge {
        /// The session.
        session: SessionId,
        /// The limit's kind.
        limit: LimitKind,
        /// The value that exceeds the limit.
        is: u64,
        /// The limit.
        max: u64,
    },
    /// One of the last 64 messages has the `id` of the new message and other content (clause C7);
    /// nothing was changed.
    #[error(
        "session {}: the message at seq {seq} has the id of the new message and other content",
        .session.fingerprint()
    )]
    IdReused {
        /// The session.
        session: SessionId,
        /// The stored message with this id.
        seq: u64,
    },
    /// Some messages of a batch are stored already and others are not (clause C7); nothing was
    /// changed. Send the stored batch again whole, or the new messages in a batch of their own.
    #[error(
        "session {}: {known} of the {given} messages are stored already, the first at seq {seq}; \
         nothing was changed, send new messages in a batch of their own",
        .session.fingerprint()
    )]
    PartlyKnown {
        /// The session.
        session: SessionId,
        /// The seq of the first message of the batch that is stored already.
        seq: u64,
        /// The number of messages of the batch that are stored already.
        known: usize,
        /// The number of messages in the batch.
        given: usize,
    },
    /// Two messages of one batch have the same `id` and different content; nothing was changed.
    #[error(
        "session {}: messages {first} and {second} of the batch (counted from 0) have the same id \
         and different content; nothing was changed",
        .session.fingerprint()
    )]
    IdGivenTwice {
        /// The session.
        session: SessionId,
        /// The index of the first message in the batch, from 0.
        first: usize,
        /// The index of the second message.
        second: usize,
    },
    /// The message is being written by a reply, so it cannot be replaced, nor opened again; nothing
    /// was changed. Stop the reply, wait for its end, or remove the message.
    #[error(
        "session {}: the message at seq {seq} is being written by a reply; nothing was changed, \
         stop the reply first",
        .session.fingerprint()
    )]
    ReplyOpen {
        /// The session.
        session: SessionId,
        /// The seq of the message.
        seq: u64,
    },
    /// The reply has ended, so it can neither grow nor end in another way; nothing was changed.
    #[error("session {}: the reply at seq {seq} was {how} before", .session.fingerprint())]
    ReplyEnded {
        /// The session.
        session: SessionId,
        /// The seq of its message.
        seq: u64,
        /// How it ended.
        how: ReplyEnd,
    },
    /// The reply's format refuses the message or the chunk; nothing was changed. The source is the
    /// reason.
    #[error("session {}: the reply's format refuses the message or chunk", .session.fingerprint())]
    Format {
        /// The session.
        session: SessionId,
        /// The reason.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// No format of this name is set up, so the reply can be neither opened nor closed here;
    /// nothing was changed. Give the format to [`Replies::format`](crate::Replies::format).
    #[error("session {}: no reply format `{format}` is set up", .session.fingerprint())]
    UnknownFormat {
        /// The session.
        session: SessionId,
        /// The name of the format.
        format: Arc<str>,
    },
    /// The session has no message at this seq; nothing was changed.
    #[error("session {}: there is no message at seq {seq}", .session.fingerprint())]
    NoSuchMessage {
        /// The session.
        session: SessionId,
        /// The seq.
        seq: u64,
    },
    /// The session is not at the version that the caller gave; nothing was changed.
    #[error(
        "session {}: the session has changed since the given version; read it again",
        .session.fingerprint()
    )]
    VersionChanged {
        /// The session.
        session: SessionId,
        /// The current version; `None` if the session does not exist.
        current: Option<Version>,
    },
    /// Other writers kept changing the session first; nothing was changed. Try again.
    #[error(
        "session {}: other writers kept changing the session; nothing was changed, try again",
        .session.fingerprint()
    )]
    Contended {
        /// The session.
        session: SessionId,
    },
    /// All sessions of an owner were being erased, this one among them, while the call was under
    /// way; the call changed nothing (clause C13). The same call begins a new session if it is made
    /// again.
    #[error("session {}: it was erased; the call changed nothing", .session.fingerprint())]
    Erased {
        /// The session.
        session: SessionId,
    },
    /// A session with this id exists already; nothing was changed.
    #[error("session {}: it exists already; nothing was changed", .session.fingerprint())]
    SessionExists {
        /// The session.
        session: SessionId,
    },
    /// The cursor is not one of this listing: it was altered, or belongs to the listing of another
    /// owner or in another order. List from the beginning.
    #[error("cursor does not belong to this listing; list from the beginning")]
    InvalidCursor,
    /// This [`ChatSessions`](crate::ChatSessions) cannot list sessions: give the store to
    /// [`ChatSessionsBuilder::listing`](crate::ChatSessionsBuilder::listing).
    #[error("sessions cannot be listed; give the store to `ChatSessionsBuilder::listing`")]
    NoListing,
    /// The caller's closure refused the change; nothing was changed. The source is the reason.
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
    /// Makes an [`Error::Rejected`], with which a closure given to `turn` refuses the change.
    ///
    /// ```
    /// use durable_session::Error;
    ///
    /// let error = Error::rejected("the tutor is away");
    /// assert!(matches!(error, Error::Rejected(_)) && !error.outcome_unknown());
    /// ```
    pub fn rejected(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Rejected(Arc::from(reason.into()))
    }

    /// The kind of the store's error, if the store failed.
    ///
    /// ```
    /// use durable_session::Error;
    /// use durable_session::store::{StoreError, StoreErrorKind};
    ///
    /// let error = Error::from(StoreError::new(StoreErrorKind::Closed, "the store is closed"));
    /// assert_eq!(error.store_kind(), Some(StoreErrorKind::Closed));
    /// ```
    pub fn store_kind(&self) -> Option<StoreErrorKind> {
        match self {
            Self::Store(e) => Some(e.kind()),
            _ => None,
        }
    }

    /// Whether the change may have become durable in spite of the error.
    ///
    /// ```
    /// use durable_session::Error;
    /// use durable_session::store::{StoreError, StoreErrorKind};
    ///
    /// let kind = StoreErrorKind::OutcomeUnknown;
    /// let error = Error::from(StoreError::new(kind, "the disk failed during a commit"));
    /// assert!(error.outcome_unknown());
    /// ```
    pub fn outcome_unknown(&self) -> bool {
        self.store_kind() == Some(StoreErrorKind::OutcomeUnknown)
    }

    pub(crate) fn app(session: &SessionId, source: AppStateError) -> Self {
        Self::AppState { session: session.clone(), source: Arc::new(source) }
    }
}
