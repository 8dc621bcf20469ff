//! Exports the sessions of a store as lines of JSON.

use crate::SessionId;
use crate::pages::{self, PAGE_BYTES, PAGE_MESSAGES};
use crate::state;
use crate::store::{
    ChunkQuery, Labels, ListQuery, ListedSession, LoadQuery, Loaded, OpenReply, Row, SessionList,
    SessionStore, StoreError, StoreErrorKind, TailBounds,
};
use std::borrow::Cow;
use std::collections::VecDeque;

/// How often an export of one session starts again because the session was rewritten meanwhile.
const ATTEMPTS: u32 = 32;

/// Exports one session as a line without a line end; `None` if the session does not exist.
///
/// An export does not count as a use of the session. An open reply has at least the chunks that it
/// had when the export of its session began.
///
/// # Errors
/// [`StoreErrorKind::Corrupt`] if a row cannot be read, or if a chunk of an open reply is not JSON,
/// which a line cannot hold. [`StoreErrorKind::Unavailable`] if the session was rewritten faster
/// than it could be read. Another kind if the I/O fails.
///
/// ```
/// use durable_session::{ChatSessions, JsonObject, Message, transfer};
/// use durable_session_memory::MemoryStore;
///
/// # futures_executor::block_on(async {
/// let (store, id) = (MemoryStore::new(), "s-1".parse()?);
/// let sessions: ChatSessions = ChatSessions::builder(store.clone()).build();
/// sessions.session("s-1".parse()?).add_message(Message::user("hi")).await?;
/// let line = transfer::export(&store, &id).await?.ok_or("no such session")?;
/// assert!(line.starts_with(r#"{"id":"s-1","#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub async fn export(
    store: &dyn SessionStore,
    id: &SessionId,
) -> Result<Option<String>, StoreError> {
    for _ in 0..ATTEMPTS {
        let Some(loaded) = store.load(id, LoadQuery::new(TailBounds::new(1, 0))).await?.loaded()
        else {
            return Ok(None);
        };
        let last = loaded.head.next_seq - 1;
        let Some(rows) = pages::rows(store, id, &loaded.head, 1, last).await? else { continue };
        if let Some(replies) = replies(store, id, &loaded.replies, &rows).await? {
            return line(id, &loaded, &rows, &replies).map(Some);
        }
    }
    Err(StoreError::new(
        StoreErrorKind::Unavailable,
        "the session was rewritten faster than it could be read",
    )
    .in_session(id))
}

/// The open replies as a JSON array, or an empty text without open replies; `None` if a reply ended
/// meanwhile.
async fn replies(
    store: &dyn SessionStore,
    id: &SessionId,
    open: &[OpenReply],
    rows: &[Row],
) -> Result<Option<String>, StoreError> {
    let mut json = String::new();
    for reply in open {
        let corrupt =
            |text| StoreError::new(StoreErrorKind::Corrupt, text).in_session(id).at_seq(reply.seq);
        let index = rows
            .binary_search_by_key(&reply.seq, |row| row.seq)
            .map_err(|_| corrupt("a reply is open on a message that does not exist"))?;
        let format = serde_json::to_string(&*reply.format).map_err(|e| {
            corrupt("the name of the reply's format cannot be written").with_source(e)
        })?;
        json.push(if json.is_empty() { '[' } else { ',' });
        // An import numbers the messages of the line from 1.
        json.extend([
            "{\"seq\":",
            &(index + 1).to_string(),
            ",\"format\":",
            &format,
            ",\"chunks\":[",
        ]);
        let mut offset = 0;
        while offset < reply.counts.chunks {
            let query =
                ChunkQuery::from(reply.seq, offset).max_chunks(PAGE_MESSAGES).max_bytes(PAGE_BYTES);
            let page = store.read_chunks(id, query).await?;
            let Some(page) =
                page.filter(|page| page.reply.claim == reply.claim && !page.chunks.is_empty())
            else {
                return Ok(None);
            };
            for chunk in &page.chunks {
                let text =
                    std::str::from_utf8(chunk).ok().filter(|text| crate::json::check(text).is_ok());
                let text = text.ok_or_else(|| corrupt("the chunk is not JSON").at_chunk(offset))?;
                if offset > 0 {
                    json.push(',');
                }
                json.push_str(&one_line(text));
                offset += 1;
            }
        }
        json.push_str("]}");
    }
    if !json.is_empty() {
        json.push(']');
    }
    Ok(Some(json))
}

/// Replaces line ends. Valid JSON has them only as white space between tokens.
fn one_line(json: &str) -> Cow<'_, str> {
    if json.contains(['\n', '\r']) {
        Cow::Owned(json.replace(['\n', '\r'], " "))
    } else {
        Cow::Borrowed(json)
    }
}

fn line<'a>(
    id: &SessionId,
    loaded: &Loaded,
    rows: &'a [Row],
    replies: &str,
) -> Result<String, StoreError> {
    let corrupt = |text| StoreError::new(StoreErrorKind::Corrupt, text).in_session(id);
    let written =
        |json: serde_json::Result<String>, text| json.map_err(|e| corrupt(text).with_source(e));
    let head = &loaded.head;
    let app =
        std::str::from_utf8(&loaded.app).map_err(|_| corrupt("the app state is not UTF-8"))?;
    let text = |row: &'a Row| match std::str::from_utf8(&row.body) {
        Ok(text) => Ok(one_line(text)),
        Err(_) => Err(corrupt("the message is not UTF-8").at_seq(row.seq)),
    };
    let bytes = rows.iter().map(|row| row.body.len() + 1).sum();
    let (created_at, last_accessed_at) = (head.created_at, head.last_accessed_at);
    let state = state::write_json(
        rows.iter().map(text),
        bytes,
        &one_line(app),
        created_at,
        last_accessed_at,
    )?;
    // A session id may have quotation marks, which need escapes.
    let id = written(serde_json::to_string(id), "the id cannot be written")?;
    let labels = written(labels(&loaded.labels), "the labels cannot be written")?;
    let replies =
        if replies.is_empty() { String::new() } else { format!(",\"replies\":{replies}") };
    Ok(format!(
        "{{\"id\":{id},\"changedAt\":{}{labels},\"state\":{state}{replies}}}",
        head.changed_at
    ))
}

/// The labels as a field of the line with a leading comma; empty without labels.
fn labels(labels: &Labels) -> serde_json::Result<String> {
    let mut fields = Vec::new();
    for (name, label) in [("owner", labels.get_owner()), ("title", labels.get_title())] {
        if let Some(label) = label {
            fields.push(format!("\"{name}\":{}", serde_json::to_string(label)?));
        }
    }
    Ok(if fields.is_empty() {
        String::new()
    } else {
        format!(",\"labels\":{{{}}}", fields.join(","))
    })
}

/// Exports the sessions of a store one by one.
///
/// The [module](crate::transfer) has an example.
#[derive(Debug)]
pub struct Export<'a, S: ?Sized, L: ?Sized> {
    store: &'a S,
    list: &'a L,
    query: Option<ListQuery>,
    page: VecDeque<ListedSession>,
}

impl<'a, S: SessionStore, L: SessionList + ?Sized> Export<'a, S, L> {
    /// An export of all sessions in `store`. `list` is the same store.
    pub fn new(store: &'a S, list: &'a L) -> Self {
        Self { store, list, query: Some(ListQuery::all(256)), page: VecDeque::new() }
    }

    /// The line of the next session; `None` at the end. After an error about one session, the next
    /// call continues with the session after it.
    ///
    /// # Errors
    /// Like [`export`], and if the listing fails.
    pub async fn next(&mut self) -> Result<Option<String>, StoreError> {
        loop {
            if let Some(listed) = self.page.pop_front() {
                listed.head?;
                // A session that was deleted since the listing is skipped.
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
