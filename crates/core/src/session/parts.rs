//! Whole states and lists of messages as JSON text, part by part.

use super::actor::Watched;
use super::machine::{self, LongView, View};
use super::registry::Session;
use super::watcher::Watcher;
use crate::error::Error;
use crate::pages::{self, PAGE_BYTES, PAGE_MESSAGES};
use crate::state;
use crate::store::{Head, Order, ReadQuery, Row, Version};
use crate::sync::Arc;
use bytes::Bytes;
use std::fmt;
use std::future::{Future, poll_fn};
use std::ops::Range;
use std::pin::pin;
use std::task::{Poll, ready};

/// How much is read from the store at a time. A part has half of it or more.
const PART_BYTES: usize = 256 << 10;

/// The JSON text of a session's whole state, or of all its messages: all of one version, part by
/// part, so that a session of any size is read in little memory. Made by
/// [`ChatSession::state_parts`](crate::ChatSession::state_parts) and
/// [`ChatSession::message_parts`](crate::ChatSession::message_parts).
///
/// A session that fits into memory or into one load has one part. Otherwise the older messages are
/// read from the store when their part is asked for; messages that are added to the session
/// meanwhile change nothing.
///
/// ```
/// # async fn example(chat: durable_session::ChatSession) -> Result<(), durable_session::Error> {
/// let mut parts = chat.state_parts().await?;
/// let mut json = Vec::new();
/// while let Some(part) = parts.next().await? {
///     json.extend_from_slice(&part);
/// }
/// # Ok(())
/// # }
/// ```
pub struct JsonParts {
    session: Session,
    view: Arc<View>,
    form: Form,
    at: At,
    /// Read when it was made, so that a failure to read shows before anything of it is used.
    first: Option<Bytes>,
    /// Some message has been written, so the next one follows a comma.
    some: bool,
    /// Tells the changes of the session since; `None` if all messages are in memory.
    watcher: Option<Watcher>,
    /// The messages are known to be unchanged up to the version with this counter.
    unchanged: u64,
}

/// The form of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The whole state.
    State,
    /// A plain list of the messages.
    List,
}

/// The place of the text that is written next.
#[derive(Debug, Clone, Copy)]
enum At {
    /// The messages from this seq on that come before the window.
    Older(u64),
    /// The windowed messages from this index on.
    Window(usize),
    End,
}

/// Why there is no next part.
enum Stop {
    /// The session was rewritten, or is gone; its version now.
    Rewritten(Option<Version>),
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(e: E) -> Self {
        Self::Failed(e.into())
    }
}

impl JsonParts {
    /// Begins to read the session as it is now.
    pub(crate) async fn begin(session: &Session, form: Form) -> Result<Self, Error> {
        let mut seen = session.read_long_view().await?;
        let mut watcher = None;
        for _ in 0..session.registry.config.attempts {
            if seen.is_whole() && seen.view.head.bytes <= PAGE_BYTES {
                return Self::whole(session, &seen, form);
            }
            if watcher.is_none() {
                // Watched before it is read, so that no change of the state that is read is missed.
                watcher = Some(Watcher::new(session.clone()));
                seen = session.current_long_view().await?;
            }
            let (view, _) = seen.into_parts();
            let mut parts = Self::at_start(session, view, form);
            parts.watcher = watcher.take();
            match parts.read().await {
                Ok(first) => {
                    parts.first = first;
                    return Ok(parts);
                }
                Err(Stop::Failed(e)) => return Err(e),
                Err(Stop::Rewritten(_)) => {
                    watcher = parts.watcher.take();
                    session.refresh(&parts.view).await;
                    seen = session.current_long_view().await?;
                }
            }
        }
        Err(Error::Contended { session: session.actor.id.clone() })
    }

    fn at_start(session: &Session, view: Arc<View>, form: Form) -> Self {
        let unchanged = view.head.version.counter();
        let at = if view.is_whole() { At::Window(0) } else { At::Older(1) };
        let session = session.clone();
        Self { session, view, form, at, first: None, some: false, watcher: None, unchanged }
    }

    /// A session all of whose messages are at hand: one part.
    fn whole(session: &Session, seen: &LongView, form: Form) -> Result<Self, Error> {
        let mut parts = Self::at_start(session, Arc::clone(&seen.view), form);
        parts.first = Some(form.whole(session, seen)?.into());
        parts.at = At::End;
        Ok(parts)
    }

    /// The version that the text is of; `None` if the session does not exist.
    pub fn version(&self) -> Option<Version> {
        self.view.version()
    }

    /// Whether there is no further part.
    pub fn is_done(&self) -> bool {
        self.first.is_none() && matches!(self.at, At::End)
    }

    /// The next part; `None` after the last one. Each is UTF-8, and only all of them together are
    /// JSON.
    ///
    /// # Errors
    /// [`Error::VersionChanged`] if messages were replaced or removed, or the session deleted, and
    /// the rest of this version can no longer be read; [`Error::Store`]. The parts
    /// before are then of no use: begin again.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        match self.read().await {
            Ok(part) => Ok(part),
            Err(Stop::Failed(e)) => Err(e),
            Err(Stop::Rewritten(current)) => {
                Err(Error::VersionChanged { session: self.session.actor.id.clone(), current })
            }
        }
    }

    async fn read(&mut self) -> Result<Option<Bytes>, Stop> {
        let mut text = String::new();
        if !self.some && !matches!(self.at, At::End) {
            text.push_str(self.form.opening());
        }
        loop {
            match self.at {
                At::End => return Ok((!text.is_empty()).then(|| text.into())),
                // Another page would make it much larger.
                _ if text.len() >= PART_BYTES / 2 => return Ok(Some(text.into())),
                At::Older(first) => self.read_older(first, &mut text).await?,
                At::Window(index) => self.read_window(index, &mut text),
            }
        }
    }

    /// Adds a page of messages from before the window.
    async fn read_older(&mut self, first: u64, text: &mut String) -> Result<(), Stop> {
        let begin = self.view.first_seq().unwrap_or(self.view.head.next_seq);
        let query = ReadQuery {
            first,
            last: begin - 1,
            order: Order::Forward,
            max_messages: PAGE_MESSAGES,
            max_bytes: PART_BYTES as u64,
        };
        let session = self.session.clone();
        let id = &session.actor.id;
        let page = session.registry.store.read(id, query).await?.ok_or(Stop::Rewritten(None))?;
        if !self.is_unchanged_at(&page.head, first..begin).await {
            return Err(Stop::Rewritten(Some(page.head.version)));
        }
        text.reserve(page.rows.iter().map(|row| row.body.len() + 1).sum());
        for row in &page.rows {
            self.push(machine::text(id, row)?, text);
        }
        self.at = match page.rows.last() {
            Some(Row { seq, .. }) if page.more => At::Older(seq + 1),
            _ => At::Window(0),
        };
        Ok(())
    }

    /// Adds messages from the window until the part is full.
    fn read_window(&mut self, index: usize, text: &mut String) {
        let view = Arc::clone(&self.view);
        for (added, (_, message)) in view.messages().skip(index).enumerate() {
            if text.len() >= PART_BYTES / 2 {
                self.at = At::Window(index + added);
                return;
            }
            self.push(message.as_json(), text);
        }
        self.form.close(&view, text);
        self.at = At::End;
    }

    fn push(&mut self, message: &str, text: &mut String) {
        if self.some {
            text.push(',');
        }
        self.some = true;
        text.push_str(message);
    }

    /// Whether the messages with these seqs, all that are still to be read, are the same in a later
    /// state of the session: whether all that happened until then is known, and nothing of it
    /// replaced one of them or removed any. An app state that was set changes no message.
    async fn is_unchanged_at(&mut self, now: &Head, unread: Range<u64>) -> bool {
        if pages::continues(&self.view.head, now) {
            return true;
        }
        let incarnation = self.view.head.version.incarnation();
        let Some(watcher) = &mut self.watcher else { return false };
        if now.version.incarnation() != incarnation {
            return false;
        }
        while self.unchanged < now.version.counter() {
            // The rows may be of a commit that is about to be published: it is, once nothing is
            // pending any more.
            let mut drained = pin!(self.session.drain());
            let told = poll_fn(|cx| {
                if let Poll::Ready(told) = pin!(watcher.next()).poll(cx) {
                    return Poll::Ready(Some(told));
                }
                ready!(drained.as_mut().poll(cx));
                Poll::Ready(watcher.take())
            });
            let Some(Watched::Changed(change)) = told.await else { return false };
            let Some(version) = change.version.filter(|v| v.incarnation() == incarnation) else {
                return false;
            };
            let rewritten =
                change.rewritten || change.replaced.iter().any(|seq| unread.contains(seq));
            if rewritten && version.counter() > self.view.head.version.counter() {
                return false;
            }
            self.unchanged = self.unchanged.max(version.counter());
        }
        true
    }
}

impl Form {
    fn opening(self) -> &'static str {
        match self {
            Self::State => state::OPENING,
            Self::List => "[",
        }
    }

    fn close(self, view: &View, text: &mut String) {
        match self {
            Self::State => {
                state::close_json(
                    text,
                    &view.app,
                    view.head.created_at,
                    view.head.last_accessed_at,
                );
            }
            Self::List => text.push(']'),
        }
    }

    /// The text of a session all of whose messages are at hand.
    pub(crate) fn whole(self, session: &Session, seen: &LongView) -> Result<String, Error> {
        let (view, older) = (&seen.view, seen.older());
        let bytes =
            older.iter().map(|row| row.body.len()).chain(view.messages().map(|(_, m)| m.bytes()));
        let bytes: usize = bytes.map(|bytes| bytes + 1).sum();
        let mut text = String::with_capacity(bytes + view.app.len() + 128);
        let older = older.iter().map(|row| machine::text(&session.actor.id, row));
        let messages = older.chain(view.messages().map(|(_, message)| Ok(message.as_json())));
        text.push_str(self.opening());
        state::push_list(&mut text, messages)?;
        self.close(view, &mut text);
        Ok(text)
    }
}

impl fmt::Debug for JsonParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonParts")
            .field("form", &self.form)
            .field("head", &self.view.head)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}
