//! The one error type of all stores.

use crate::SessionId;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// What a caller can do about a [`StoreError`]. A kind exists only where a caller would act differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// Nothing was changed; trying again later may work.
    Unavailable,
    /// The change may or may not have become durable. Read what is stored before trying again.
    OutcomeUnknown,
    /// More than the store takes; nothing was changed and trying again will not help.
    TooLarge,
    /// Something stored cannot be read. Salvage reads what can; an operator must decide.
    Corrupt,
    /// The store has been closed, by its owner or to protect what is stored. Open it again.
    Closed,
    /// A bug in the store, or a state that it cannot explain.
    Internal,
}

impl StoreErrorKind {
    /// What to do, in a few words.
    fn advice(self) -> &'static str {
        match self {
            Self::Unavailable => "nothing was changed; try again later",
            Self::OutcomeUnknown => "it may or may not be stored; read before trying again",
            Self::TooLarge => "nothing was changed; send less",
            Self::Corrupt => "salvage returns what can be read",
            Self::Closed => "open the store again",
            Self::Internal => "nothing more is known; please report it",
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

/// An operation on a store failed. Opaque; [`kind`](Self::kind) says what to do. Cheap to clone.
#[derive(Clone)]
pub struct StoreError(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: StoreErrorKind,
    context: Cow<'static, str>,
    session: Option<SessionId>,
    seq: Option<u64>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// An error of `kind`; `context` says what was being done and what happened. Put no message text and no session id in
    /// it: it goes into logs. [`in_session`](Self::in_session) names the session, by its fingerprint.
    pub fn new(kind: StoreErrorKind, context: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Inner { kind, context: context.into(), session: None, seq: None, source: None }))
    }

    /// Names the session; the text shows its [fingerprint](SessionId::fingerprint).
    pub fn in_session(mut self, id: &SessionId) -> Self {
        Arc::make_mut(&mut self.0).session = Some(id.clone());
        self
    }

    /// Names the message.
    pub fn at_seq(mut self, seq: u64) -> Self {
        Arc::make_mut(&mut self.0).seq = Some(seq);
        self
    }

    /// Keeps the error that caused this one. Its text must not be in `context`, too: logs print an error and then
    /// its sources.
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Arc::make_mut(&mut self.0).source = Some(Arc::from(source.into()));
        self
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> StoreErrorKind {
        self.0.kind
    }

    /// The session it is about, if it is about one.
    pub fn session(&self) -> Option<&SessionId> {
        self.0.session.as_ref()
    }

    /// The message it is about, if it is about one.
    pub fn seq(&self) -> Option<u64> {
        self.0.seq
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
    use super::*;

    #[test]
    fn an_error_says_what_happened_to_which_session_and_what_to_do() {
        let e = StoreError::new(StoreErrorKind::Corrupt, "the row's checksum does not match")
            .in_session(&SessionId::new("s-1").unwrap())
            .at_seq(7)
            .with_source("deep reason");
        assert_eq!(
            e.to_string(),
            "stored data is corrupt (session 6a840baf5d8c3ff2, seq 7): the row's checksum does not match; \
             salvage returns what can be read"
        );
        assert_eq!(e.clone().source().unwrap().to_string(), "deep reason");
    }
}
