//! Hints of changes that other openings of a store made. Not every store can give them, so they are
//! a separate trait.

use super::{SessionStore, StoreError};
use crate::SessionId;
use async_trait::async_trait;
use futures_core::stream::BoxStream;
use std::sync::Arc;

/// A hint that a session may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// This session may have changed: by a commit, by a delete, or by an extension of a reply.
    Session(SessionId),
    /// Hints may have been lost, for example with a connection. Any session may have changed.
    Missed,
}

/// A shared store that tells an opening of changes made through another one (S12).
///
/// # Contract
/// - A hint promises nothing. The receiver asks the store for the session. A hint of a session that
///   did not change costs a question.
/// - A hint may be lost, doubled, late or out of order. A lost hint delays the news until the next
///   question, and loses nothing. A store that knows that it lost hints sends [`Hint::Missed`].
/// - A store sends a hint only after the change is durable. Once the hint has come, each read that
///   begins later sees the change (S2).
/// - A store may leave out the changes of the receiver's own opening.
/// - Making hints may cost the writers something. A store may make them only while some opening has
///   an open stream.
///
/// [`ChatSessions::listen`](crate::ChatSessions::listen) reads the stream.
#[async_trait]
pub trait Hints: SessionStore {
    /// Opens a stream of the hints from now on. A change whose commit began after this call
    /// returned is in the stream, unless its hint is lost. The stream ends if the store is closed
    /// or if the stream cannot go on. The caller then opens another one.
    ///
    /// # Errors
    /// If the I/O fails.
    async fn hints(&self) -> Result<BoxStream<'static, Hint>, StoreError>;
}

#[async_trait]
impl<T: Hints + ?Sized> Hints for Arc<T> {
    async fn hints(&self) -> Result<BoxStream<'static, Hint>, StoreError> {
        (**self).hints().await
    }
}
