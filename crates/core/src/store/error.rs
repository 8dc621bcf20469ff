//! The one error type of all stores.

use crate::SessionId;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// The kind of a [`StoreError`]. Each kind asks for another reaction of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// Nothing was changed. A later retry may succeed.
    Unavailable,
    /// The change may or may not have become durable. Read the session before you retry.
    OutcomeUnknown,
    /// A limit of the store would be exceeded. Nothing was changed, and a retry cannot succeed.
    TooLarge,
    /// Stored bytes are damaged. Salvage returns the readable rows; an operator must decide.
    Corrupt,
    /// The store was closed, by its owner or to protect the stored data. Open it again.
    Closed,
    /// A bug in the store, or a state that the store does not expect.
    Internal,
}

impl StoreErrorKind {
    /// The reaction, in a few words.
    fn advice(self) -> &'static str {
        match self {
            Self::Unavailable => "nothing was changed; try again later",
            Self::OutcomeUnknown => "the change may or may not be stored; read before trying again",
            Self::TooLarge => "nothing was changed; send less",
            Self::Corrupt => "salvage returns the readable rows",
            Self::Closed => "open the store again",
            Self::Internal => "please report it",
        }
    }
}

impl fmt::Display for StoreErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unavailable => "store unavailable",
            Self::OutcomeUnknown => "outcome unknown",
            Self::TooLarge => "too large for the store",
            Self::Corrupt => "stored data is corrupt",
            Self::Closed => "store closed",
            Self::Internal => "internal store error",
        })
    }
}

/// An operation on a store failed. [`kind`](Self::kind) tells the caller how to react.
///
/// The text names the session by its [fingerprint](crate::Fingerprint). Cheap to clone.
///
/// ```
/// use durable_session::SessionId;
/// use durable_session::store::{StoreError, StoreErrorKind};
///
/// let id = SessionId::new("session-1763264606917-w2j2kfd45")?;
/// let error = StoreError::new(StoreErrorKind::Unavailable, "the disk is full").in_session(&id);
/// assert_eq!(
///     error.to_string(),
///     "store unavailable (session 03772da38ebbfa9f): the disk is full; \
///      nothing was changed; try again later"
/// );
/// # Ok::<(), durable_session::InvalidSessionId>(())
/// ```
#[derive(Clone)]
pub struct StoreError(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: StoreErrorKind,
    context: Cow<'static, str>,
    session: Option<SessionId>,
    seq: Option<u64>,
    chunk: Option<u64>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// An error of `kind`. `context` describes the operation and its failure.
    ///
    /// Put no message text and no session id into `context`: it goes into logs.
    /// [`in_session`](Self::in_session) names the session by its fingerprint.
    pub fn new(kind: StoreErrorKind, context: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Inner {
            kind,
            context: context.into(),
            session: None,
            seq: None,
            chunk: None,
            source: None,
        }))
    }

    /// Names the session; the text shows its [fingerprint](SessionId::fingerprint).
    pub fn in_session(mut self, id: &SessionId) -> Self {
        Arc::make_mut(&mut self.0).session = Some(id.clone());
        self
    }

    /// Names the message by its seq.
    ///
    /// ```
    /// use durable_session::store::{StoreError, StoreErrorKind};
    ///
    /// let error = StoreError::new(StoreErrorKind::Corrupt, "the checksum does not match");
    /// assert_eq!(error.at_seq(7).seq(), Some(7));
    /// ```
    pub fn at_seq(mut self, seq: u64) -> Self {
        Arc::make_mut(&mut self.0).seq = Some(seq);
        self
    }

    /// Names the chunk of the message's open reply, by its offset.
    pub fn at_chunk(mut self, offset: u64) -> Self {
        Arc::make_mut(&mut self.0).chunk = Some(offset);
        self
    }

    /// Keeps the error that caused this one. Do not repeat its text in `context`: logs print an
    /// error and then its sources.
    ///
    /// ```
    /// use durable_session::ErrorChain;
    /// use durable_session::store::{StoreError, StoreErrorKind};
    ///
    /// let cause = std::io::Error::other("no space left on device");
    /// let error = StoreError::new(StoreErrorKind::Unavailable, "writing failed");
    /// let error = error.with_source(cause);
    /// assert!(ErrorChain(&error).to_string().ends_with(": no space left on device"));
    /// ```
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Arc::make_mut(&mut self.0).source = Some(Arc::from(source.into()));
        self
    }

    /// The kind, by which a caller decides how to react.
    pub fn kind(&self) -> StoreErrorKind {
        self.0.kind
    }

    /// The session, if the error names one.
    pub fn session(&self) -> Option<&SessionId> {
        self.0.session.as_ref()
    }

    /// The seq of the message, if the error names one.
    pub fn seq(&self) -> Option<u64> {
        self.0.seq
    }

    /// The offset of the chunk in the message's open reply, if the error names one.
    pub fn chunk(&self) -> Option<u64> {
        self.0.chunk
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.kind)?;
        if let Some(session) = &self.0.session {
            write!(f, " (session {}", session.fingerprint())?;
            if let Some(seq) = self.0.seq {
                write!(f, ", seq {seq}")?;
            }
            if let Some(chunk) = self.0.chunk {
                write!(f, ", chunk {chunk}")?;
            }
            f.write_str(")")?;
        }
        write!(f, ": {}; {}", self.0.context, self.0.kind.advice())
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreError")
            .field("kind", &self.0.kind)
            .field("context", &self.0.context)
            .field("session", &self.0.session)
            .field("seq", &self.0.seq)
            .field("chunk", &self.0.chunk)
            .field("source", &self.0.source)
            .finish()
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|e| e as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::{StoreError, StoreErrorKind};
    use crate::SessionId;
    use std::error::Error;

    #[test]
    fn the_text_names_kind_session_message_and_reaction() {
        let e = StoreError::new(StoreErrorKind::Corrupt, "the row's checksum does not match")
            .in_session(&SessionId::new("s-1").unwrap())
            .at_seq(7)
            .with_source("deep reason");
        assert_eq!(
            e.to_string(),
            "stored data is corrupt (session 6a840baf5d8c3ff2, seq 7): \
             the row's checksum does not match; salvage returns the readable rows"
        );
        let chunk = e.clone().at_chunk(12);
        assert_eq!((chunk.seq(), chunk.chunk()), (Some(7), Some(12)));
        assert!(chunk.to_string().contains(", seq 7, chunk 12)"), "{chunk}");
        assert_eq!(e.clone().source().unwrap().to_string(), "deep reason");
    }
}
