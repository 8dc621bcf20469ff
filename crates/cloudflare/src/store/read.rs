//! Reading messages: the tail, a page, and what damage leaves readable.

use super::failure::failed;
use super::find::{self, Found};
use super::reply;
use crate::sql::{Columns, MAX_INTEGER, Sql, SqlError, integer};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::rows;
use durable_session::store::{
    Damage, Loaded, Order, Page, ReadQuery, Row, Salt, Salvaged, StoreError, StoreErrorKind,
    TAGGED_MESSAGES, Tagged, TailBounds,
};
use std::ops::ControlFlow;

/// The session with the tail within `bounds`; its version is without the store's salt.
pub(super) fn load(
    sql: &Sql,
    id: &SessionId,
    found: Found,
    bounds: TailBounds,
) -> Result<Loaded, StoreError> {
    let number = found.number;
    let query = ReadQuery::backward(0, MAX_INTEGER)
        .max_messages(bounds.max_messages)
        .max_bytes(bounds.max_bytes);
    let (mut tail, mut tags) = (Vec::new(), Vec::new());
    let more = walk(sql, id, number, &query, |seq, row| {
        let (body, tagged) = message(id, number, seq, row)?;
        tail.push(Row { seq, body });
        if tags.len() < TAGGED_MESSAGES {
            tags.push(tagged);
        }
        Ok(())
    })?;
    if more {
        older_tags(sql, id, number, &mut tags)?;
    }
    tail.reverse();
    tags.reverse();
    let replies = reply::open(sql, id, number, 0, MAX_INTEGER)?;
    Ok(Loaded {
        head: found.current,
        labels: found.row.labels,
        app: found.row.app,
        tail,
        tags,
        replies,
    })
}

/// Adds the tags of older messages, newest first, without reading rows of large messages.
///
/// A damaged message before the tail does not fail a load; only its tag is missing.
fn older_tags(
    sql: &Sql,
    id: &SessionId,
    number: u64,
    tags: &mut Vec<Tagged>,
) -> Result<(), StoreError> {
    let wanted = TAGGED_MESSAGES.saturating_sub(tags.len());
    let Some(oldest) = tags.last().map(|tagged| tagged.seq).filter(|_| wanted > 0) else {
        return Ok(());
    };
    sql.each(
        "SELECT seq, tag, CASE WHEN tag IS NULL THEN row END FROM durable_session_messages
         WHERE n = ? AND seq < ? ORDER BY seq DESC LIMIT ?",
        vec![integer(number), integer(oldest), integer(wanted as u64)],
        |mut columns| {
            let seq = columns.integer(0)?;
            let tag = match columns.blob_if_any(1)? {
                Some(row) => rows::decode_tag(id, number, seq, &row),
                None => rows::decode_message(id, number, seq, &columns.blob(2)?)
                    .map(|message| message.tag),
            };
            tags.extend(tag.ok().map(|tag| Tagged { seq, tag }));
            Ok::<_, SqlError>(ControlFlow::Continue(()))
        },
    )
    .map_err(failed(id, READ))
}

/// A page of messages; the head's version is without the store's salt.
pub(super) fn page(
    sql: &Sql,
    id: &SessionId,
    found: &Found,
    query: &ReadQuery,
) -> Result<Page, StoreError> {
    let number = found.number;
    let mut rows = Vec::new();
    let mut seqs = Seqs::default();
    let more = walk(sql, id, number, query, |seq, row| {
        seqs.take(seq);
        rows.push(Row { seq, body: message(id, number, seq, row)?.0 });
        Ok(())
    })?;
    let replies = match seqs.range() {
        Some((first, last)) => reply::open(sql, id, number, first, last)?,
        None => Vec::new(),
    };
    Ok(Page { head: found.current, rows, replies, more })
}

pub(super) fn salvage(
    sql: &Sql,
    salt: Salt,
    id: &SessionId,
    query: &ReadQuery,
) -> Result<Option<Salvaged>, StoreError> {
    let Some(numbered) = find::number_anyway(sql, id)? else { return Ok(None) };
    let mut salvaged = Salvaged::default();
    salvaged.damage.extend(numbered.damage.map(|error| Damage { seq: None, error }));
    let Some(number) = numbered.number else { return Ok(Some(salvaged)) };

    // A damaged last message hides the current head, but not labels and app state.
    let head = find::head_row(sql, id, number).and_then(|row| {
        salvaged.labels = Some(row.labels);
        salvaged.app = Some(row.app);
        find::current(sql, id, number, row.head)
    });
    match head {
        Ok(head) => salvaged.head = Some(head.salted(salt)),
        Err(error) if error.kind() == StoreErrorKind::Corrupt => {
            salvaged.damage.push(Damage { seq: None, error });
        }
        Err(e) => return Err(e),
    }

    let mut seqs = Seqs::default();
    salvaged.more = walk(sql, id, number, query, |seq, row| {
        seqs.take(seq);
        match message(id, number, seq, row) {
            Ok((body, _)) => salvaged.rows.push(Row { seq, body }),
            Err(error) => salvaged.damage.push(Damage { seq: Some(seq), error }),
        }
        Ok(())
    })?;
    if let Some((first, last)) = seqs.range() {
        for (seq, reply) in reply::open_or_damaged(sql, id, number, first, last)? {
            match reply {
                Ok(reply) => salvaged.replies.push(reply),
                Err(error) => salvaged.damage.push(Damage { seq: Some(seq), error }),
            }
        }
    }
    Ok(Some(salvaged))
}

/// The lowest and the highest seq of a page.
#[derive(Default)]
struct Seqs(Option<(u64, u64)>);

impl Seqs {
    fn take(&mut self, seq: u64) {
        let (first, last) = self.0.unwrap_or((seq, seq));
        self.0 = Some((first.min(seq), last.max(seq)));
    }

    fn range(&self) -> Option<(u64, u64)> {
        self.0
    }
}

const READ: &str = "could not read messages";

/// Gives the rows within the query's range and bounds to `take`; answers whether the range holds
/// more.
///
/// The bound of bytes is judged by the lengths of the rows, so a damaged row past it disturbs
/// nobody.
fn walk(
    sql: &Sql,
    id: &SessionId,
    number: u64,
    query: &ReadQuery,
    mut take: impl FnMut(u64, Vec<u8>) -> Result<(), StoreError>,
) -> Result<bool, StoreError> {
    if query.first > query.last {
        return Ok(false);
    }
    let statement = match query.order {
        Order::Forward => {
            "SELECT seq, row FROM durable_session_messages
             WHERE n = ? AND seq BETWEEN ? AND ? ORDER BY seq LIMIT ?"
        }
        Order::Backward => {
            "SELECT seq, row FROM durable_session_messages
             WHERE n = ? AND seq BETWEEN ? AND ? ORDER BY seq DESC LIMIT ?"
        }
    };
    let max_messages = (query.max_messages as u64).max(1);
    let values = vec![
        integer(number),
        integer(query.first),
        integer(query.last),
        integer(max_messages.saturating_add(1)),
    ];
    let (mut taken, mut bytes, mut more) = (0_u64, 0_u64, false);
    sql.each(statement, values, |mut columns| {
        let (seq, row) = seq_and_row(&mut columns).map_err(failed(id, READ))?;
        bytes = bytes.saturating_add(rows::body_bytes(row.len()));
        if taken > 0 && (taken >= max_messages || bytes > query.max_bytes) {
            more = true;
            return Ok(ControlFlow::Break(()));
        }
        taken += 1;
        take(seq, row)?;
        Ok(ControlFlow::Continue(()))
    })
    .map_err(|e: StoreError| e.in_session(id))?;
    Ok(more)
}

fn seq_and_row(columns: &mut Columns) -> Result<(u64, Vec<u8>), SqlError> {
    Ok((columns.integer(0)?, columns.blob(1)?))
}

/// The message in a row, and the tag of its id.
fn message(
    id: &SessionId,
    number: u64,
    seq: u64,
    row: Vec<u8>,
) -> Result<(Bytes, Tagged), StoreError> {
    let row = Bytes::from(row);
    let message = rows::decode_message(id, number, seq, &row)?;
    Ok((row.slice_ref(message.body), Tagged { seq, tag: message.tag }))
}
