//! A session at one moment, without its older messages.

use super::machine::View;
use crate::app::{self, AppState};
use crate::error::Error;
use crate::json::JsonObject;
use crate::store::{Labels, Version};
use crate::sync::Arc;
use crate::{Message, SessionId};
use std::fmt;
use std::marker::PhantomData;

/// The last durable state that was seen of a session: everything but the messages before its
/// window.
///
/// Costs the same for a session of any length (clause C9), and stays as it is while the session
/// goes on.
#[derive(Clone)]
pub struct Snapshot<A> {
    id: SessionId,
    view: Arc<View>,
    app: PhantomData<fn() -> A>,
}

impl<A: AppState> Snapshot<A> {
    pub(crate) fn new(id: SessionId, view: Arc<View>) -> Self {
        Self { id, view, app: PhantomData }
    }

    /// The session's id.
    pub fn session(&self) -> &SessionId {
        &self.id
    }

    /// The version; `None` if the session does not exist, and this is its initial state.
    pub fn version(&self) -> Option<Version> {
        self.view.version()
    }

    /// The version of the last change that was more than appending messages or ending a reply, if
    /// the session exists. While it and [`closed`](Self::closed) stay the same, the session only
    /// grew at its end.
    pub fn base(&self) -> Option<Version> {
        self.view.exists.then_some(self.view.head.base)
    }

    /// The version of the last change that ended a reply with its final message, if the session
    /// exists; its first version if none did.
    pub fn closed(&self) -> Option<Version> {
        self.view.exists.then_some(self.view.head.closed)
    }

    /// Whether the session is stored.
    pub fn exists(&self) -> bool {
        self.view.exists
    }

    /// How many messages the session has.
    pub fn message_count(&self) -> u64 {
        self.view.head.messages
    }

    /// The seqs of the messages that are being written by a reply. They read as they were opened.
    pub fn open_replies(&self) -> impl Iterator<Item = u64> {
        self.view.replies().iter().map(|reply| reply.seq)
    }

    /// The bytes of all its messages.
    pub fn message_bytes(&self) -> u64 {
        self.view.head.bytes
    }

    /// The seq that the next message gets.
    pub fn next_seq(&self) -> u64 {
        self.view.head.next_seq
    }

    /// When the session was created, Unix milliseconds; of one that does not exist, when it was
    /// looked up.
    pub fn created_at(&self) -> u64 {
        self.view.head.created_at
    }

    /// When its use was last written down, Unix milliseconds.
    pub fn last_accessed_at(&self) -> u64 {
        self.view.head.last_accessed_at
    }

    /// When messages or app state last changed, Unix milliseconds (S11); of a session that does not
    /// exist, when it was looked up.
    pub fn changed_at(&self) -> u64 {
        self.view.head.changed_at
    }

    /// The owner and the title of the session (S11).
    pub fn labels(&self) -> &Labels {
        &self.view.labels
    }

    /// The last messages with their seqs, oldest first: those in the window.
    ///
    /// ```
    /// # use durable_session::{Error, JsonObject, Snapshot};
    /// # fn example(snapshot: Snapshot<JsonObject>) -> Result<(), Error> {
    /// let last = snapshot.tail().next_back().map(|(seq, _)| seq);
    /// assert!(last < Some(snapshot.next_seq()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn tail(&self) -> impl DoubleEndedIterator<Item = (u64, &Message)> + ExactSizeIterator {
        self.view.messages()
    }

    /// The app state as the app's type.
    ///
    /// ```
    /// # use durable_session::{Error, JsonObject, Snapshot};
    /// # fn example(snapshot: Snapshot<JsonObject>) -> Result<(), Error> {
    /// let step = snapshot.app()?.get::<String>("step");
    /// # let _ = step;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::AppState`] if the stored app state does not fit `A`.
    pub fn app(&self) -> Result<A, Error> {
        app::decode(&self.view.app).map_err(|e| Error::app(&self.id, e))
    }

    /// The app state as the object that is stored.
    ///
    /// # Errors
    /// [`Error::AppState`] if the stored app state is not an object.
    pub fn app_json(&self) -> Result<JsonObject, Error> {
        JsonObject::parse_stored(&self.view.app).map_err(|e| Error::app(&self.id, e.into()))
    }
}

impl<A> fmt::Debug for Snapshot<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("session", &self.id)
            .field("head", &self.view.head)
            .finish_non_exhaustive()
    }
}
