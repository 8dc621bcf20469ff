//! Loads, pages and chunks. Each is one statement, so it sees one moment.

use crate::connection::Connection;
use crate::error::Failure;
use crate::found::{Found, Part, chunk_row, open_reply, signed, unsigned};
use crate::known::Entry;
use crate::shared::Shared;
use crate::transaction::Parameters;
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::rows;
use durable_session::store::{
    ChunkPage, ChunkQuery, Damage, IdTag, LoadOutcome, LoadQuery, Loaded, OpenReply, Order, Page,
    ReadQuery, Row, Salvaged, StoreError, StoreErrorKind, Tagged,
};
use tokio_postgres::types::Type;

/// The kinds of rows that the functions for reads return. The first row is the head, of kind 0.
const MESSAGE: i32 = 1;
const TAG: i32 = 2;
const REPLY: i32 = 3;
const LAST: i32 = 4;
const UNCHANGED: i32 = 5;
const MORE: i32 = 6;
const CHUNKS: i32 = 7;

pub(crate) async fn load(
    connection: &Connection,
    shared: &Shared,
    id: &SessionId,
    query: LoadQuery,
) -> Result<LoadOutcome, Failure> {
    let known = query.known.and_then(|version| {
        let entry = shared.known(id, connection.salt)?;
        (entry.head.version.salted(connection.salt) == version).then_some(entry)
    });
    let (number, mark, next) = (
        known.map(|entry| signed(entry.number)),
        known.map(|entry| entry.mark),
        known.map(|entry| signed(entry.head.next_seq)),
    );
    let id_text = id.as_str();
    let max_messages = signed(query.tail.max_messages as u64);
    let max_bytes = signed(query.tail.max_bytes);
    let parameters: Parameters<'_> = vec![
        (&id_text, Type::TEXT),
        (&number, Type::INT8),
        (&mark, Type::INT8),
        (&next, Type::INT8),
        (&max_messages, Type::INT8),
        (&max_bytes, Type::INT8),
    ];
    let rows = connection.query(&shared.sql.load, &parameters).await?;
    let mut parts = rows.iter().map(Part::of).collect::<Result<Vec<_>, _>>()?.into_iter();
    let Some(top) = parts.next() else { return Ok(LoadOutcome::Absent) };
    if top.kind == UNCHANGED {
        return Ok(LoadOutcome::Unchanged);
    }
    let parts: Vec<_> = parts.collect();
    let last = parts.iter().find(|part| part.kind == MESSAGE);
    let found = decode_head(id, &top, last)?;
    let number = found.number;
    // What is read from here on is what the store remembers.
    let entry: Entry = found.entry(connection.salt);
    if query.known == Some(found.current.version.salted(connection.salt)) {
        shared.know(id, entry);
        return Ok(LoadOutcome::Unchanged);
    }
    let mut loaded = Loaded {
        head: found.current.salted(connection.salt),
        labels: found.labels,
        app: app_of(id, number, &top)?,
        tail: Vec::new(),
        tags: Vec::new(),
        replies: Vec::new(),
    };
    for part in &parts {
        let seq = unsigned(part.seq);
        match part.kind {
            MESSAGE => {
                let message = rows::decode_message(id, number, seq, part.a.unwrap_or_default())?;
                loaded.tail.push(Row { seq, body: Bytes::copy_from_slice(message.body) });
                loaded.tags.push(Tagged { seq, tag: message.tag });
            }
            TAG => loaded.tags.extend(tag_of(id, number, part).map(|tag| Tagged { seq, tag })),
            REPLY => loaded.replies.push(reply_of(id, number, part)?),
            _ => {}
        }
    }
    loaded.tags.truncate(durable_session::store::TAGGED_MESSAGES);
    loaded.tail.reverse();
    loaded.tags.reverse();
    shared.know(id, entry);
    Ok(LoadOutcome::Loaded(loaded))
}

pub(crate) async fn read(
    connection: &Connection,
    shared: &Shared,
    id: &SessionId,
    query: ReadQuery,
) -> Result<Option<Page>, Failure> {
    let rows = page(connection, shared, id, query, false).await?;
    let parts = rows.iter().map(Part::of).collect::<Result<Vec<_>, _>>()?;
    let Some(top) = parts.first() else { return Ok(None) };
    let found = decode_head(id, top, parts.iter().find(|part| part.kind == LAST))?;
    let head = found.current.salted(connection.salt);
    let mut page = Page { head, rows: Vec::new(), replies: Vec::new(), more: false };
    for part in &parts {
        match part.kind {
            MESSAGE => page.rows.push(message_of(id, found.number, part)?),
            REPLY => page.replies.push(reply_of(id, found.number, part)?),
            MORE => page.more = true,
            _ => {}
        }
    }
    Ok(Some(page))
}

pub(crate) async fn salvage(
    connection: &Connection,
    shared: &Shared,
    id: &SessionId,
    query: ReadQuery,
) -> Result<Option<Salvaged>, Failure> {
    let rows = page(connection, shared, id, query, true).await?;
    let parts = rows.iter().map(Part::of).collect::<Result<Vec<_>, _>>()?;
    let Some(top) = parts.first() else { return Ok(None) };
    let mut salvaged = Salvaged::default();
    let number = unsigned(top.seq);
    let last = parts.iter().find(|part| part.kind == LAST);
    match decode_head(id, top, None) {
        Ok(stored) => {
            salvaged.labels = Some(stored.labels);
            match app_of(id, number, top) {
                Ok(app) => salvaged.app = Some(app),
                Err(error) => salvaged.damage.push(Damage { seq: None, error }),
            }
            match decode_head(id, top, last) {
                Ok(found) => salvaged.head = Some(found.current.salted(connection.salt)),
                // The last message row carries the running head. Without it the head is unknown.
                Err(error) => salvaged.damage.push(Damage { seq: None, error }),
            }
        }
        Err(error) => salvaged.damage.push(Damage { seq: None, error }),
    }
    for part in &parts {
        let seq = Some(unsigned(part.seq));
        match part.kind {
            MESSAGE => match message_of(id, number, part) {
                Ok(row) => salvaged.rows.push(row),
                Err(error) => salvaged.damage.push(Damage { seq, error }),
            },
            REPLY => match reply_of(id, number, part) {
                Ok(reply) => salvaged.replies.push(reply),
                Err(error) => salvaged.damage.push(Damage { seq, error }),
            },
            MORE => salvaged.more = true,
            _ => {}
        }
    }
    Ok(Some(salvaged))
}

async fn page(
    connection: &Connection,
    shared: &Shared,
    id: &SessionId,
    query: ReadQuery,
    with_app: bool,
) -> Result<Vec<tokio_postgres::Row>, Failure> {
    let id_text = id.as_str();
    let (low, high) = (signed(query.first), signed(query.last));
    let backward = query.order == Order::Backward;
    let (max_messages, max_bytes) = (signed(query.max_messages as u64), signed(query.max_bytes));
    let parameters: Parameters<'_> = vec![
        (&id_text, Type::TEXT),
        (&low, Type::INT8),
        (&high, Type::INT8),
        (&backward, Type::BOOL),
        (&max_messages, Type::INT8),
        (&max_bytes, Type::INT8),
        (&with_app, Type::BOOL),
    ];
    connection.query(&shared.sql.page, &parameters).await
}

pub(crate) async fn read_chunks(
    connection: &Connection,
    shared: &Shared,
    id: &SessionId,
    query: ChunkQuery,
) -> Result<Option<ChunkPage>, Failure> {
    let id_text = id.as_str();
    let (seq_column, offset) = (signed(query.seq), signed(query.offset));
    let max_chunks = signed(query.max_chunks.max(1) as u64);
    let max_bytes = signed(query.max_bytes);
    let parameters: Parameters<'_> = vec![
        (&id_text, Type::TEXT),
        (&seq_column, Type::INT8),
        (&offset, Type::INT8),
        (&max_chunks, Type::INT8),
        (&max_bytes, Type::INT8),
    ];
    let rows = connection.query(&shared.sql.chunks, &parameters).await?;
    let parts = rows.iter().map(Part::of).collect::<Result<Vec<_>, _>>()?;
    let Some(top) = parts.first() else { return Ok(None) };
    let Some(reply) = parts.iter().find(|part| part.kind == REPLY) else { return Ok(None) };
    let number = unsigned(top.seq);
    let reply = match reply_of(id, number, reply) {
        Err(error) if error.chunk().is_some() => {
            readable_reply(connection, shared, id, number, query.seq, reply).await?
        }
        reply => reply?,
    };
    let mut page = ChunkPage { reply, chunks: Vec::new(), more: false };
    let mut bytes = 0_u64;
    for part in &parts {
        if part.kind == MORE {
            page.more = true;
        }
        if part.kind != CHUNKS {
            continue;
        }
        let first = part.place.unwrap_or_default();
        let row = match chunk_row(id, number, query.seq, first, part.a.unwrap_or_default()) {
            Ok(row) => row,
            // The page is full without the damaged chunks.
            Err(_)
                if !page.chunks.is_empty()
                    && (page.chunks.len() >= query.max_chunks || bytes >= query.max_bytes) =>
            {
                page.more = true;
                return Ok(Some(page));
            }
            Err(error) => return Err(error.into()),
        };
        let skip = usize::try_from(query.offset.saturating_sub(row.offset)).unwrap_or(usize::MAX);
        for chunk in row.chunks.into_iter().skip(skip) {
            bytes = bytes.saturating_add(chunk.len() as u64);
            let full = page.chunks.len() >= query.max_chunks || bytes > query.max_bytes;
            if full && !page.chunks.is_empty() {
                page.more = true;
                return Ok(Some(page));
            }
            page.chunks.push(chunk);
        }
    }
    Ok(Some(page))
}

/// A reply whose last chunks are damaged ends before them.
async fn readable_reply(
    connection: &Connection,
    shared: &Shared,
    id: &SessionId,
    number: u64,
    seq: u64,
    part: &Part<'_>,
) -> Result<OpenReply, Failure> {
    let reply = rows::decode_reply(id, number, seq, part.a.unwrap_or_default())?;
    let (number_column, seq_column) = (signed(number), signed(seq));
    let mut before = part.place.unwrap_or_default();
    loop {
        let parameters: Parameters<'_> =
            vec![(&number_column, Type::INT8), (&seq_column, Type::INT8), (&before, Type::INT8)];
        let rows = connection.query(&shared.sql.chunks_back, &parameters).await?;
        let Some(row) = rows.first() else { return Ok(reply.open_reply(seq, None)) };
        before = row.try_get(0)?;
        if let Ok(last) = chunk_row(id, number, seq, before, row.try_get(1)?) {
            return Ok(reply.open_reply(seq, Some(&last)));
        }
    }
}

fn decode_head(
    id: &SessionId,
    top: &Part<'_>,
    last: Option<&Part<'_>>,
) -> Result<Found, StoreError> {
    let last = last.map(|part| (part.seq, part.a));
    let (mark, head) = (top.place.unwrap_or_default(), top.a.unwrap_or_default());
    Found::decode(id, top.seq, mark, head, last)
}

/// The app state. A session that never had one has no row of it.
fn app_of(id: &SessionId, number: u64, top: &Part<'_>) -> Result<Bytes, StoreError> {
    let app = top.b.map(|row| rows::decode_app(id, number, row)).transpose()?;
    Ok(app.map_or_else(Bytes::new, Bytes::copy_from_slice))
}

fn message_of(id: &SessionId, number: u64, part: &Part<'_>) -> Result<Row, StoreError> {
    let seq = unsigned(part.seq);
    let message = rows::decode_message(id, number, seq, part.a.unwrap_or_default())?;
    Ok(Row { seq, body: Bytes::copy_from_slice(message.body) })
}

/// The tag of a message before the tail; `None` if it cannot be read.
fn tag_of(id: &SessionId, number: u64, part: &Part<'_>) -> Option<IdTag> {
    let seq = unsigned(part.seq);
    match (part.a, part.b) {
        (_, Some(tag)) => rows::decode_tag(id, number, seq, tag).ok(),
        (Some(row), None) => rows::decode_message(id, number, seq, row).ok().map(|row| row.tag),
        (None, None) => None,
    }
}

fn reply_of(id: &SessionId, number: u64, part: &Part<'_>) -> Result<OpenReply, StoreError> {
    let last = match (part.place, part.b) {
        (Some(first), Some(row)) => Some((first, row)),
        (None, None) => None,
        _ => {
            let context = "a row of chunks has no content";
            return Err(StoreError::new(StoreErrorKind::Corrupt, context)
                .in_session(id)
                .at_seq(unsigned(part.seq)));
        }
    };
    open_reply(id, number, unsigned(part.seq), part.a.unwrap_or_default(), last)
}
