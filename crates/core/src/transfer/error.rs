//! The error of importing a session.

use super::ReadError;
use super::times::TimeError;
use crate::SessionId;
use crate::store::{StoreError, StoreErrorKind};

/// A session was not imported. The text shows no message, app field, label or session id.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The text is not a line of an export. Nothing was stored.
    #[error("not an exported session: {0}")]
    NotASession(Box<str>),
    /// A time is in another unit or not plausible. Nothing was stored.
    #[error(transparent)]
    Time(#[from] TimeError),
    /// The session exists, and neither the stored nor the imported session is the beginning of the
    /// other. The stored session was not changed.
    #[error(
        "session {}: the stored session has other content; it was not changed",
        .session.fingerprint()
    )]
    Exists {
        /// The session.
        session: SessionId,
    },
    /// The record could not be read from the input.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store failed. Importing the same line again continues from there.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ImportError {
    /// Whether the error concerns more than this session: the store or the input failed.
    pub fn is_general(&self) -> bool {
        match self {
            Self::Read(e) => e.ends(),
            Self::Store(e) => {
                !matches!(e.kind(), StoreErrorKind::TooLarge | StoreErrorKind::Corrupt)
            }
            Self::NotASession(_) | Self::Time(_) | Self::Exists { .. } => false,
        }
    }
}
