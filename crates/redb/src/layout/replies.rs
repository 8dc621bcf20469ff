//! Open replies and their chunks.
//!
//! A reply row is there while a reply is open, and the chunk rows of a message only beside one. How
//! far a reply has come is told by its last chunk row, so that an extension writes one row.

use super::draft::Draft;
use super::find;
use super::snapshot::Snapshot;
use crate::error::{Fault, contradiction};
use crate::memtable::Stage;
use crate::tables::{ChunkPlace, Chunks, Place, Replies, Tags};
use crate::view::{Value, View};
use durable_session::SessionId;
use durable_session::rows::{self, ChunkRow, ReplyRow};
use durable_session::store::{
    ChunkPage, ChunkQuery, ExtendOutcome, Extension, OpenReply, Order, ReplyCounts, StoreError,
    StoreLimits,
};
use std::ops::RangeInclusive;

/// A reply that is open, and the last of its chunk rows.
pub(super) struct Found {
    pub(super) row: ReplyRow,
    last: Option<ChunkRow>,
}

impl Found {
    pub(super) fn counts(&self) -> ReplyCounts {
        ReplyCounts { chunks: self.last.as_ref().map_or(0, ChunkRow::end), beats: self.row.beats }
    }

    /// Of its chunks.
    fn bytes(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.bytes)
    }
}

/// The reply that is open on the message.
pub(super) fn find(
    view: &View<'_>,
    id: &SessionId,
    (number, seq): Place,
) -> Result<Option<Found>, Fault> {
    let Some(row) = view.get::<Replies>(&(number, seq))? else { return Ok(None) };
    let row = rows::decode_reply(id, number, seq, &row)?;
    let last = view.first::<Chunks>(all(number, seq), Order::Backward)?;
    let last = last.map(|(place, row)| decode_in(id, (number, seq), place, row)).transpose()?;
    Ok(Some(Found { row, last }))
}

fn all(number: u64, seq: u64) -> RangeInclusive<ChunkPlace> {
    (number, seq, 0)..=(number, seq, u64::MAX)
}

pub(crate) fn decode(
    id: &SessionId,
    (number, seq, offset): ChunkPlace,
    row: Value<'_>,
) -> Result<ChunkRow, StoreError> {
    rows::decode_chunks(id, number, seq, offset, &row.into())
}

/// Reads a chunk row of this reply. In a damaged file a search can end at another's.
fn decode_in(
    id: &SessionId,
    (number, seq): Place,
    place: ChunkPlace,
    row: Value<'_>,
) -> Result<ChunkRow, StoreError> {
    if (place.0, place.1) == (number, seq) {
        decode(id, place, row)
    } else {
        Err(not_in_line(id, seq, 0))
    }
}

/// Chunk rows are whole, but some between them are hidden by damage, or those of another reply are
/// among them.
pub(crate) fn not_in_line(id: &SessionId, seq: u64, offset: u64) -> StoreError {
    contradiction("chunks of the open reply are missing")
        .in_session(id)
        .at_seq(seq)
        .at_chunk(offset)
}

/// Which rows there are beside the messages of a range.
#[derive(Debug, Default)]
pub(super) struct Beside {
    tags: bool,
    pub(super) replies: bool,
    chunks: bool,
}

impl Beside {
    /// Nothing is decoded.
    pub(super) fn of(view: &View<'_>, number: u64, first: u64, last: u64) -> Result<Self, Fault> {
        let places = (number, first)..=(number, last);
        Ok(Self {
            tags: view.any::<Tags>(places.clone())?,
            replies: view.any::<Replies>(places)?,
            chunks: view.any::<Chunks>((number, first, 0)..=(number, last, u64::MAX))?,
        })
    }

    /// Removes them.
    pub(super) fn remove(&self, stage: &mut Stage, number: u64, first: u64, last: u64) {
        if self.tags {
            stage.remove::<Tags>((number, first), &(number, last));
        }
        if self.replies {
            stage.remove::<Replies>((number, first), &(number, last));
        }
        if self.chunks {
            stage.remove::<Chunks>((number, first, 0), &(number, last, u64::MAX));
        }
    }
}

impl Draft<'_> {
    /// Adds to an open reply; says whether it wrote anything.
    pub(crate) fn extend(
        &mut self,
        id: &SessionId,
        extension: &Extension,
        limits: &StoreLimits,
    ) -> Result<(ExtendOutcome, bool), Fault> {
        let number = match self.known.get(id) {
            Some(known) => Some(known.number),
            None => find::number(&self.view, id)?,
        };
        let Some(number) = number else { return Ok((ExtendOutcome::Ended, false)) };
        let seq = extension.seq;
        let found = find(&self.view, id, (number, seq))?;
        let Some(mut found) = found.filter(|found| found.row.opening.claim == extension.claim)
        else {
            return Ok((ExtendOutcome::Ended, false));
        };
        if extension.chunks.is_empty() {
            found.row.beats += 1;
            let row = rows::encode_reply(number, seq, &found.row);
            self.stage.put::<Replies>((number, seq), |out| out.extend_from_slice(&row));
            return Ok((ExtendOutcome::Extended(found.counts()), true));
        }
        let mut counts = found.counts();
        let Some(news) = extension.news(counts.chunks) else {
            return Ok((ExtendOutcome::Gap(counts), false));
        };
        if news.is_empty() {
            return Ok((ExtendOutcome::Extended(counts), false));
        }
        let bytes = found.bytes() + news.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        limits.check_reply(id, found.row.body_bytes + bytes)?;
        let offset = counts.chunks;
        self.stage.put::<Chunks>((number, seq, offset), |out| {
            rows::write_chunks(out, number, seq, offset, bytes, news);
        });
        counts.chunks += news.len() as u64;
        Ok((ExtendOutcome::Extended(counts), true))
    }
}

impl Snapshot<'_> {
    /// The replies that are open on the messages `seqs`.
    pub(super) fn replies_on(
        &self,
        id: &SessionId,
        number: u64,
        seqs: RangeInclusive<u64>,
    ) -> Result<Vec<OpenReply>, Fault> {
        self.each_reply(id, number, seqs)?
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(Fault::from)
    }

    /// The same, with what cannot be read named in its place.
    pub(super) fn each_reply(
        &self,
        id: &SessionId,
        number: u64,
        seqs: RangeInclusive<u64>,
    ) -> Result<Vec<Result<OpenReply, StoreError>>, Fault> {
        let mut open = Vec::new();
        let on = (number, *seqs.start())..=(number, *seqs.end());
        let mut replies = self.view.walk::<Replies>(on, Order::Forward);
        while let Some(entry) = replies.next()? {
            let place = entry.key;
            match find(&self.view, id, place) {
                Ok(found) => {
                    open.extend(
                        found.map(|found| Ok(found.row.open_reply(place.1, found.last.as_ref()))),
                    );
                }
                Err(Fault::Refused(error)) => open.push(Err(error)),
                Err(fault) => return Err(fault),
            }
        }
        Ok(open)
    }

    pub(crate) fn read_chunks(
        &self,
        id: &SessionId,
        query: ChunkQuery,
    ) -> Result<Option<ChunkPage>, Fault> {
        let view = &self.view;
        let Some(number) = find::number(view, id)? else { return Ok(None) };
        let seq = query.seq;
        let Some(row) = view.get::<Replies>(&(number, seq))? else { return Ok(None) };
        let row = rows::decode_reply(id, number, seq, &row)?;
        let last = self.last_readable(id, number, seq)?;
        let reply = row.open_reply(seq, last.as_ref());
        let mut page = ChunkPage { reply, chunks: Vec::new(), more: false };
        // The row that has the first chunk asked for, or would have it.
        let before = (number, seq, 0)..=(number, seq, query.offset);
        let Some((first, _)) = view.first::<Chunks>(before, Order::Backward)? else {
            if view.any::<Chunks>(all(number, seq))? {
                return Err(not_in_line(id, seq, 0).into());
            }
            return Ok(Some(page));
        };
        let mut bytes = 0_u64;
        let mut next = first.2;
        let mut walk = view.walk::<Chunks>(first..=(number, seq, u64::MAX), Order::Forward);
        while let Some(entry) = walk.next()? {
            if !page.chunks.is_empty() && page.chunks.len() >= query.max_chunks {
                page.more = true;
                break;
            }
            let place = entry.key;
            if place != (number, seq, next) {
                return Err(not_in_line(id, seq, next).into());
            }
            let row = match decode(id, place, entry.read()?.1) {
                Ok(row) => row,
                // It is not what the page would hold.
                Err(_) if !page.chunks.is_empty() && bytes >= query.max_bytes => {
                    page.more = true;
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            next = row.end();
            let skip =
                usize::try_from(query.offset.saturating_sub(row.offset)).unwrap_or(usize::MAX);
            for chunk in row.chunks.into_iter().skip(skip) {
                bytes = bytes.saturating_add(chunk.len() as u64);
                if !page.chunks.is_empty()
                    && (page.chunks.len() >= query.max_chunks || bytes > query.max_bytes)
                {
                    page.more = true;
                    return Ok(Some(page));
                }
                page.chunks.push(chunk);
            }
        }
        Ok(Some(page))
    }

    /// The last chunk row that can be read. With the last one damaged, chunks before it can be read
    /// all the same, and how far they go is what is known of the reply.
    fn last_readable(
        &self,
        id: &SessionId,
        number: u64,
        seq: u64,
    ) -> Result<Option<ChunkRow>, Fault> {
        let mut chunks = self.view.walk::<Chunks>(all(number, seq), Order::Backward);
        while let Some(entry) = chunks.next()? {
            let (place, row) = entry.read()?;
            if let Ok(row) = decode_in(id, (number, seq), place, row) {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }
}
