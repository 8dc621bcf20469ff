//! Sessions of a store as lines of JSON.

use crate::SessionId;
use crate::pages;
use crate::state;
use crate::store::{
    Head, ListQuery, ListedSession, Row, SessionList, SessionStore, StoreError, StoreErrorKind, TailBounds,
};
use std::borrow::Cow;
use std::collections::VecDeque;

/// How often an export of one session begins again because the session was rewritten meanwhile.
const ATTEMPTS: u32 = 32;

/// One session as a line, without its line end; `None` if it does not exist. Does not count as
/// using the session.
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

    /// The next session's line, `None` at the end. After an error about one session the next call
    /// goes on with the session after it.
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
