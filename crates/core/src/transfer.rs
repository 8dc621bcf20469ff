//! Sessions as lines of JSON, from any store to any other, while both are in use.
//!
//! A line is `{"id":"…","state":{…}}`; the state is what clients see: messages, the app's fields, two times. Seqs are the
//! store's own and are not carried over: an imported session is numbered from 1.
//!
//! ```
//! # use durable_session::{transfer, Message, ChatSessions, JsonObject};
//! # use durable_session_memory::MemoryStore;
//! # futures_executor::block_on(async {
//! # let (from, to) = (MemoryStore::new(), MemoryStore::new());
//! # let sessions = ChatSessions::<JsonObject>::builder(from.clone()).build();
//! # sessions.session("s-1".parse()?).add_message(Message::user("hi")).await?;
//! let mut export = transfer::Export::new(&from, &from);
//! while let Some(line) = export.next().await? {
//!     transfer::import(&to, &line).await?;
//! }
//! # let copied = ChatSessions::<JsonObject>::builder(to).build().session("s-1".parse()?).get_state().await?;
//! # assert_eq!(copied.messages, [Message::user("hi")]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

use crate::json::JsonObject;
use crate::pages;
use crate::state::{self, ChatSessionState};
use crate::store::{
    Commit, CommitOutcome, Expect, Head, ListQuery, ListedSession, Op, Row, SessionList, SessionStore,
    StoreError, StoreErrorKind, TailBounds,
};
use crate::{Message, SessionId};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::VecDeque;

/// How often an export of one session begins again because the session was rewritten meanwhile.
const ATTEMPTS: u32 = 32;
/// What one commit of an import carries at most, if the store takes as much.
const COMMIT_OPS: usize = 1024;
const COMMIT_BYTES: u64 = 1 << 20;

/// One session as a line, without its line end; `None` if it does not exist. Does not count as using the session.
///
/// # Errors
/// [`StoreErrorKind::Corrupt`] if a part cannot be read; [`StoreErrorKind::Unavailable`] if the session was rewritten
/// faster than it could be read; otherwise as the I/O fails.
pub async fn export(store: &dyn SessionStore, id: &SessionId) -> Result<Option<String>, StoreError> {
    for _ in 0..ATTEMPTS {
        let Some(loaded) = store.load(id, TailBounds { max_messages: 1, max_bytes: 0 }).await? else {
            return Ok(None);
        };
        let head = loaded.head;
        if let Some(rows) = pages::rows(store, id, &head, 1, head.next_seq - 1).await? {
            return line(id, &head, &loaded.app, &rows).map(Some);
        }
    }
    Err(StoreError::new(
        StoreErrorKind::Unavailable,
        "the session was rewritten faster than it could be read",
    )
    .in_session(id))
}

fn line<'a>(id: &SessionId, head: &Head, app: &[u8], rows: &'a [Row]) -> Result<String, StoreError> {
    let corrupt = |what| StoreError::new(StoreErrorKind::Corrupt, what).in_session(id);
    let app = std::str::from_utf8(app).map_err(|_| corrupt("the app state is not UTF-8"))?;
    let text = |row: &'a Row| match std::str::from_utf8(&row.body) {
        // A line is one line: white space in the text of a message is never needed.
        Ok(text) if text.contains(['\n', '\r']) => Ok(Cow::Owned(text.replace(['\n', '\r'], " "))),
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(_) => Err(corrupt("the message is not UTF-8").at_seq(row.seq)),
    };
    let bytes = rows.iter().map(|row| row.body.len() + 1).sum();
    let app = app.replace(['\n', '\r'], " ");
    let state =
        state::write_json(rows.iter().map(text), bytes, &app, head.created_at, head.last_accessed_at)?;
    // A session id needs no escapes but for quotation marks.
    let id = serde_json::to_string(id).map_err(|e| corrupt("the id cannot be written").with_source(e))?;
    Ok(format!("{{\"id\":{id},\"state\":{state}}}"))
}

/// Exports session after session of a store.
#[derive(Debug)]
pub struct Export<'a, S: ?Sized, L: ?Sized> {
    store: &'a S,
    list: &'a L,
    query: Option<ListQuery>,
    page: VecDeque<ListedSession>,
}

impl<'a, S: SessionStore, L: SessionList + ?Sized> Export<'a, S, L> {
    /// Everything in `store`; `list` is the same store again.
    pub fn new(store: &'a S, list: &'a L) -> Self {
        Self { store, list, query: Some(ListQuery::all(256)), page: VecDeque::new() }
    }

    /// The next session's line, `None` at the end. After an error about one session the next call goes on with the
    /// session after it.
    ///
    /// # Errors
    /// As [`export`], and if the listing fails.
    pub async fn next(&mut self) -> Result<Option<String>, StoreError> {
        loop {
            if let Some(listed) = self.page.pop_front() {
                listed.head?;
                // One that was deleted since it was listed is simply not there any more.
                match export(self.store, &listed.id).await? {
                    Some(line) => return Ok(Some(line)),
                    None => continue,
                }
            }
            let Some(query) = &mut self.query else { return Ok(None) };
            let page = self.list.list(query).await?;
            self.page = page.sessions.into();
            match page.next {
                Some(next) => query.after = Some(next),
                None => self.query = None,
            }
        }
    }
}

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// Messages that it stored.
    pub stored: u64,
    /// Messages that were there already, from an import that did not finish.
    pub found: u64,
}

/// Why a line was not imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// It is not a line of an export.
    #[error("this is not an exported session: {0}")]
    NotASession(#[source] serde_json::Error),
    /// The session exists and is not the beginning of the imported one. It is left as it is.
    #[error("session {session} exists already and has another content; it was left as it is")]
    Exists {
        /// The session.
        session: SessionId,
    },
    /// The store failed. Importing the same line again goes on where this stopped.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Deserialize)]
struct Line {
    id: SessionId,
    state: ChatSessionState<JsonObject>,
}

/// Takes in one line. Doing so twice stores it once; one that was interrupted goes on where it stopped.
///
/// # Errors
/// [`ImportError`]; what was stored before is unchanged.
pub async fn import(store: &dyn SessionStore, line: &str) -> Result<Imported, ImportError> {
    let Line { id, state } = serde_json::from_str(line).map_err(ImportError::NotASession)?;
    let at = state.last_accessed_at;
    let bodies: Vec<_> = state.messages.iter().map(Message::body).collect();
    let (mut expect, found) = match present(store, &id, &state).await? {
        None => (Expect::Absent { created_at: state.created_at }, 0),
        Some(Some((head, found))) => (Expect::Version(head.version), found),
        Some(None) => return Err(ImportError::Exists { session: id }),
    };
    let mut next = found;
    let limits = store.limits();
    let max_ops = COMMIT_OPS.min(limits.max_commit_ops).max(1);
    let max_bytes = COMMIT_BYTES.min(limits.max_commit_bytes);
    while next < bodies.len() || matches!(expect, Expect::Absent { .. }) {
        let mut ops = Vec::new();
        if matches!(expect, Expect::Absent { .. }) {
            ops.push(Op::SetApp(state.app.to_string().into()));
        }
        let mut bytes = 0;
        while let Some(body) = bodies.get(next) {
            bytes += body.len() as u64;
            if !ops.is_empty() && (ops.len() == max_ops || bytes > max_bytes) {
                break;
            }
            ops.push(Op::Append(body.clone()));
            next += 1;
        }
        match store.commit(&id, Commit { expect, ops, at }).await? {
            CommitOutcome::Committed(head) => expect = Expect::Version(head.version),
            CommitOutcome::Conflict { .. } | CommitOutcome::NoSuchSeq { .. } => {
                return Err(ImportError::Exists { session: id });
            }
        }
    }
    Ok(Imported { stored: (bodies.len() - found) as u64, found: found as u64 })
}

/// `None` if the session is absent, `Some(None)` if it has another content, else how much of `state` it has.
#[allow(clippy::option_option)] // three answers, used once
async fn present(
    store: &dyn SessionStore,
    id: &SessionId,
    state: &ChatSessionState<JsonObject>,
) -> Result<Option<Option<(Head, usize)>>, StoreError> {
    let Some(loaded) = store.load(id, TailBounds { max_messages: 1, max_bytes: 0 }).await? else {
        return Ok(None);
    };
    let head = loaded.head;
    let Some(rows) = pages::rows(store, id, &head, 1, head.next_seq - 1).await? else {
        return Ok(Some(None));
    };
    let app = String::from_utf8_lossy(&loaded.app);
    let same = head.created_at == state.created_at
        && crate::json::equal(&app, &state.app.to_string())
        && rows.len() <= state.messages.len()
        && rows.iter().zip(&state.messages).all(|(row, message)| {
            std::str::from_utf8(&row.body).is_ok_and(|text| crate::json::equal(text, message.as_json()))
        });
    Ok(Some(same.then_some((head, rows.len()))))
}
