//! Requests: the writes of one session that callers wait for.

use super::response::Responder;
use durable_session::SessionId;
use durable_session::store::{
    Commit, CommitOutcome, DeleteIf, DeleteOutcome, ExtendOutcome, Extension, StoreError,
};

/// A write to one session, waiting for the writer.
pub(crate) struct Request {
    pub(crate) id: SessionId,
    pub(crate) write: Write,
    pub(crate) responder: Responder<Result<WriteOutcome, StoreError>>,
}

/// A call of the store that changes a session.
pub(crate) enum Write {
    Commit(Commit),
    Extend(Extension),
    Touch(u64),
    Delete(DeleteIf),
}

/// The outcome of a [`Write`].
#[derive(Debug, Clone, Copy)]
pub(crate) enum WriteOutcome {
    Committed(CommitOutcome),
    Extended(ExtendOutcome),
    Touched,
    Deleted(DeleteOutcome),
}

impl Write {
    /// Bytes of content, for the bounds of queue and batch.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Commit(commit) => commit.bytes(),
            Self::Extend(extension) => extension.bytes(),
            Self::Touch(_) | Self::Delete(_) => 0,
        }
    }
}
