//! Open replies: their rows, their chunks, and extensions.

use super::failure::{corrupt, failed};
use crate::sql::{Columns, Sql, SqlError, blob, integer};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::rows::{self, ChunkRow, ReplyRow};
use durable_session::store::{
    ChunkPage, ChunkQuery, ExtendOutcome, Extension, OpenReply, ReplyCounts, StoreError,
    StoreErrorKind, StoreLimits,
};
use std::ops::ControlFlow;

const READ: &str = "could not read the session's open replies";
const EXTEND: &str = "could not write the extension";

/// The replies that are open on messages from `first` to `last`, by seq.
pub(super) fn open(
    sql: &Sql,
    id: &SessionId,
    number: u64,
    first: u64,
    last: u64,
) -> Result<Vec<OpenReply>, StoreError> {
    let found = open_or_damaged(sql, id, number, first, last)?;
    found.into_iter().map(|(_, reply)| reply).collect()
}

/// Like [`open`], but each reply with its seq, and a damaged one as its error.
#[allow(clippy::type_complexity)]
pub(super) fn open_or_damaged(
    sql: &Sql,
    id: &SessionId,
    number: u64,
    first: u64,
    last: u64,
) -> Result<Vec<(u64, Result<OpenReply, StoreError>)>, StoreError> {
    let mut rows = Vec::new();
    sql.each(
        "SELECT seq, row FROM durable_session_replies WHERE n = ? AND seq BETWEEN ? AND ? \
         ORDER BY seq",
        vec![integer(number), integer(first), integer(last)],
        |mut row| {
            rows.push(keyed(&mut row)?);
            Ok::<_, SqlError>(ControlFlow::Continue(()))
        },
    )
    .map_err(failed(id, READ))?;
    let mut replies = Vec::with_capacity(rows.len());
    for (seq, row) in rows {
        let reply = rows::decode_reply(id, number, seq, &row).and_then(|reply| {
            let last = last_chunks(sql, id, number, seq)?;
            Ok(reply.open_reply(seq, last.as_ref()))
        });
        match reply {
            Err(e) if e.kind() != StoreErrorKind::Corrupt => return Err(e),
            reply => replies.push((seq, reply)),
        }
    }
    Ok(replies)
}

/// The reply that is open on the message, without its chunks.
pub(super) fn at(
    sql: &Sql,
    id: &SessionId,
    number: u64,
    seq: u64,
) -> Result<Option<ReplyRow>, StoreError> {
    let row = sql
        .first(
            "SELECT row FROM durable_session_replies WHERE n = ? AND seq = ?",
            vec![integer(number), integer(seq)],
        )
        .and_then(|row| row.map(|mut row| row.blob(0)).transpose())
        .map_err(failed(id, READ))?;
    row.map(|row| rows::decode_reply(id, number, seq, &row)).transpose()
}

/// The chunks of the reply's last extension. Their row has the counts of all chunks and bytes.
pub(super) fn last_chunks(
    sql: &Sql,
    id: &SessionId,
    number: u64,
    seq: u64,
) -> Result<Option<ChunkRow>, StoreError> {
    let last = sql
        .first(
            "SELECT offset, row FROM durable_session_chunks WHERE n = ? AND seq = ? \
             ORDER BY offset DESC LIMIT 1",
            vec![integer(number), integer(seq)],
        )
        .and_then(|row| row.map(|mut row| keyed(&mut row)).transpose())
        .map_err(failed(id, READ))?;
    last.map(|(offset, row)| rows::decode_chunks(id, number, seq, offset, &row)).transpose()
}

/// A row with the key before it.
fn keyed(row: &mut Columns) -> Result<(u64, Bytes), SqlError> {
    Ok((row.integer(0)?, row.blob(1)?.into()))
}

/// Writes the row of a reply, or replaces it.
pub(super) fn write(sql: &Sql, number: u64, seq: u64, reply: &ReplyRow) -> Result<(), SqlError> {
    sql.run(
        "INSERT INTO durable_session_replies (n, seq, row) VALUES (?, ?, ?)
         ON CONFLICT (n, seq) DO UPDATE SET row = excluded.row",
        vec![integer(number), integer(seq), blob(rows::encode_reply(number, seq, reply))],
    )
}

/// Removes the replies on messages from `first` to `last`, without reading their rows.
pub(super) fn remove(sql: &Sql, number: u64, first: u64, last: u64) -> Result<(), SqlError> {
    sql.run(
        "DELETE FROM durable_session_replies WHERE n = ? AND seq BETWEEN ? AND ?",
        vec![integer(number), integer(first), integer(last)],
    )
}

/// Removes the chunks of replies on messages from `first` to `last`, without reading their rows.
pub(super) fn remove_chunks(sql: &Sql, number: u64, first: u64, last: u64) -> Result<(), SqlError> {
    sql.run(
        "DELETE FROM durable_session_chunks WHERE n = ? AND seq BETWEEN ? AND ?",
        vec![integer(number), integer(first), integer(last)],
    )
}

/// Adds to the open reply; `number` is the session's.
pub(super) fn extend(
    sql: &Sql,
    id: &SessionId,
    number: u64,
    extension: &Extension,
    limits: StoreLimits,
) -> Result<ExtendOutcome, StoreError> {
    let seq = extension.seq;
    let Some(mut reply) = at(sql, id, number, seq)? else { return Ok(ExtendOutcome::Ended) };
    if reply.opening.claim != extension.claim {
        return Ok(ExtendOutcome::Ended);
    }
    let last = last_chunks(sql, id, number, seq)?;
    let mut counts =
        ReplyCounts { chunks: last.as_ref().map_or(0, ChunkRow::end), beats: reply.beats };
    if extension.chunks.is_empty() {
        reply.beats += 1;
        counts.beats = reply.beats;
        write(sql, number, seq, &reply).map_err(failed(id, EXTEND))?;
        return Ok(ExtendOutcome::Extended(counts));
    }
    let Some(news) = extension.news(counts.chunks) else { return Ok(ExtendOutcome::Gap(counts)) };
    if news.is_empty() {
        return Ok(ExtendOutcome::Extended(counts));
    }
    let before = last.map_or(0, |row| row.bytes);
    limits.check_reply(id, reply.body_bytes.saturating_add(before).saturating_add(bytes(news)))?;
    sql.transaction(|| write_chunks(sql, number, seq, counts.chunks, before, news))
        .map_err(failed(id, EXTEND))?;
    counts.chunks += news.len() as u64;
    Ok(ExtendOutcome::Extended(counts))
}

fn bytes(chunks: &[Bytes]) -> u64 {
    chunks.iter().map(|chunk| chunk.len() as u64).sum()
}

/// Writes one row, or several if the chunks and their lengths do not fit into one.
fn write_chunks(
    sql: &Sql,
    number: u64,
    seq: u64,
    mut offset: u64,
    mut bytes_before: u64,
    mut chunks: &[Bytes],
) -> Result<(), SqlError> {
    while !chunks.is_empty() {
        let (now, later) = chunks.split_at(fitting(chunks));
        bytes_before += bytes(now);
        let row = rows::encode_chunks(number, seq, offset, bytes_before, now);
        sql.run(
            "INSERT INTO durable_session_chunks (n, seq, offset, row) VALUES (?, ?, ?, ?)",
            vec![integer(number), integer(seq), integer(offset), blob(row)],
        )?;
        offset += now.len() as u64;
        chunks = later;
    }
    Ok(())
}

/// The most bytes of chunks and their lengths in one row. A single chunk is smaller, since a chunk
/// has the limit of a message.
const MAX_CHUNK_ROW: u64 = 1_950_000;

/// How many of the chunks fit into one row, at least one.
fn fitting(chunks: &[Bytes]) -> usize {
    let mut bytes = 0;
    let fits = chunks.iter().take_while(|chunk| {
        bytes += 4 + chunk.len() as u64;
        bytes <= MAX_CHUNK_ROW
    });
    fits.count().max(1)
}

/// A page of the chunks of the open reply.
pub(super) fn page(
    sql: &Sql,
    id: &SessionId,
    number: u64,
    query: &ChunkQuery,
) -> Result<Option<ChunkPage>, StoreError> {
    let seq = query.seq;
    let Some(reply) = at(sql, id, number, seq)? else { return Ok(None) };
    let mut page = Chunks::new(query);
    sql.each(
        "SELECT offset, row FROM durable_session_chunks
         WHERE n = ? AND seq = ? AND offset >= COALESCE((
             SELECT MAX(offset) FROM durable_session_chunks WHERE n = ? AND seq = ? AND offset <= ?
         ), 0) ORDER BY offset",
        vec![integer(number), integer(seq), integer(number), integer(seq), integer(query.offset)],
        |mut row| {
            if page.is_full() {
                page.more = true;
                return Ok(ControlFlow::Break(()));
            }
            let (offset, row) = keyed(&mut row).map_err(failed(id, READ))?;
            let in_line =
                page.last.as_ref().map_or(offset <= query.offset, |last| last.end() == offset);
            if !in_line {
                let fault = "chunks of the open reply are missing before these";
                return Err(corrupt(id, fault).at_seq(seq).at_chunk(offset));
            }
            match rows::decode_chunks(id, number, seq, offset, &row) {
                Err(_) if page.has_all_bytes() => {
                    page.more = true;
                    Ok::<_, StoreError>(ControlFlow::Break(()))
                }
                row => Ok(page.take(row?)),
            }
        },
    )
    .map_err(|e| e.in_session(id))?;
    let last = last_readable_chunks(sql, id, number, seq)?;
    Ok(Some(ChunkPage {
        reply: reply.open_reply(seq, last.as_ref()),
        chunks: page.taken,
        more: page.more,
    }))
}

/// The last row of chunks that can be read. It counts the reply's readable chunks, even if damaged
/// rows follow.
fn last_readable_chunks(
    sql: &Sql,
    id: &SessionId,
    number: u64,
    seq: u64,
) -> Result<Option<ChunkRow>, StoreError> {
    let mut last = None;
    sql.each(
        "SELECT offset, row FROM durable_session_chunks WHERE n = ? AND seq = ? \
         ORDER BY offset DESC",
        vec![integer(number), integer(seq)],
        |mut row| {
            let (offset, row) = keyed(&mut row)?;
            last = rows::decode_chunks(id, number, seq, offset, &row).ok();
            let found = last.is_some();
            Ok::<_, SqlError>(if found {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        },
    )
    .map_err(failed(id, READ))?;
    Ok(last)
}

/// A page of chunks in the making.
struct Chunks<'a> {
    query: &'a ChunkQuery,
    taken: Vec<Bytes>,
    bytes: u64,
    more: bool,
    /// The last row that was read.
    last: Option<ChunkRow>,
}

impl<'a> Chunks<'a> {
    fn new(query: &'a ChunkQuery) -> Self {
        Self { query, taken: Vec::new(), bytes: 0, more: false, last: None }
    }

    fn is_full(&self) -> bool {
        self.taken.len() >= self.query.max_chunks.max(1)
    }

    /// Whether only empty chunks still fit.
    fn has_all_bytes(&self) -> bool {
        !self.taken.is_empty() && self.bytes >= self.query.max_bytes
    }

    fn take(&mut self, row: ChunkRow) -> ControlFlow<()> {
        let before = self.query.offset.saturating_sub(row.offset);
        for chunk in row.chunks.iter().skip(usize::try_from(before).unwrap_or(usize::MAX)) {
            let bytes = self.bytes.saturating_add(chunk.len() as u64);
            if !self.taken.is_empty() && (self.is_full() || bytes > self.query.max_bytes) {
                self.more = true;
                break;
            }
            self.bytes = bytes;
            self.taken.push(chunk.clone());
        }
        self.last = Some(row);
        if self.more { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Chunks, fitting};
    use bytes::Bytes;
    use durable_session::rows::{self, ChunkRow};
    use durable_session::store::ChunkQuery;

    fn chunks(texts: &[&'static str]) -> Vec<Bytes> {
        texts.iter().copied().map(Bytes::from).collect()
    }

    #[test]
    fn an_extension_has_one_row_unless_it_is_too_large_for_one() {
        assert_eq!(fitting(&chunks(&["a", "b", ""])), 3);
        let many = vec![Bytes::from(vec![b'x'; 26]); 65_536];
        let first = fitting(&many);
        assert_eq!(first, 65_000);
        assert_eq!(fitting(&many[first..]), 536);
        let row = rows::encode_chunks(1, 1, 0, 26 * 65_000, &many[..first]);
        assert!(row.len() < 2_000_000, "{}", row.len());
        let largest = Bytes::from(vec![b'x'; 1_950_000 - 1024]);
        assert_eq!(fitting(&[largest.clone(), largest]), 1);
    }

    #[test]
    fn a_page_takes_chunks_from_the_middle_of_a_row_up_to_its_bounds() {
        let row =
            |offset, texts: &[&'static str]| ChunkRow { offset, bytes: 0, chunks: chunks(texts) };
        let rows = || [row(0, &["a", "bb"]), row(2, &["ccc"]), row(3, &["", "d"])];
        let all = ChunkQuery::from(1, 0);
        for (query, expected, more) in [
            (all, &["a", "bb", "ccc", "", "d"][..], false),
            (ChunkQuery::from(1, 1), &["bb", "ccc", "", "d"], false),
            (ChunkQuery::from(1, 1).max_chunks(2), &["bb", "ccc"], true),
            (all.max_chunks(0), &["a"], true),
            (all.max_bytes(0), &["a"], true),
            (all.max_bytes(3), &["a", "bb"], true),
            (all.max_bytes(6), &["a", "bb", "ccc", ""], true),
            (ChunkQuery::from(1, 4), &["d"], false),
            (ChunkQuery::from(1, 5), &[], false),
        ] {
            let mut page = Chunks::new(&query);
            for row in rows().into_iter().filter(|row| row.end() > query.offset) {
                if page.is_full() {
                    page.more = true;
                    break;
                }
                if page.take(row).is_break() {
                    break;
                }
            }
            assert_eq!((page.taken, page.more), (chunks(expected), more), "{query:?}");
        }
    }
}
