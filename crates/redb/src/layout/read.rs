//! Loads and reads: rows in order, within bounds.

use super::seqs::Seqs;
use super::{Blob, Place, Tables};
use crate::bodies::Bodies;
use crate::error::Fault;
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::rows;
use durable_session::store::{Loaded, Order, Page, ReadQuery, Row, TailBounds};
use redb::{AccessGuard, ReadableTable};

type Entry<'a> = Result<(AccessGuard<'a, Place>, AccessGuard<'a, Blob>), redb::StorageError>;

/// What still fits into an answer. At least one message always does.
pub(super) struct Room {
    messages: usize,
    bytes: u64,
    empty: bool,
}

impl Room {
    pub(super) fn new(max_messages: usize, max_bytes: u64) -> Self {
        Self { messages: max_messages.max(1), bytes: max_bytes, empty: true }
    }

    /// Takes the room for one message, or says that there is none.
    pub(super) fn take(&mut self, body_bytes: u64) -> bool {
        let fits = self.messages > 0 && (self.empty || body_bytes <= self.bytes);
        if fits {
            self.messages -= 1;
            self.bytes = self.bytes.saturating_sub(body_bytes);
            self.empty = false;
        }
        fits
    }
}

impl<I, H, R> Tables<I, H, R>
where
    I: ReadableTable<Blob, Blob>,
    H: ReadableTable<u64, Blob>,
    R: ReadableTable<Place, Blob>,
{
    pub(crate) fn load(&self, id: &SessionId, bounds: TailBounds) -> Result<Option<Loaded>, Fault> {
        let Some((found, app)) =
            self.index.find_with(&self.rows, id, |row| Bytes::copy_from_slice(row.app))?
        else {
            return Ok(None);
        };
        let mut room = Room::new(bounds.max_messages, bounds.max_bytes);
        let entries = self.rows.range((found.number, 0)..=(found.number, u64::MAX))?.rev();
        let seqs = Seqs::new(id, &found, Order::Backward, 1, u64::MAX)?;
        let mut bodies = Bodies::new(found.current.bytes.min(bounds.max_bytes));
        let (mut tail, _) = collect(id, found.number, seqs, entries, &mut room, &mut bodies)?;
        tail.reverse();
        Ok(Some(Loaded { head: found.current, app, tail }))
    }

    pub(crate) fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, Fault> {
        let Some(found) = self.index.find(&self.rows, id)? else { return Ok(None) };
        let mut room = Room::new(query.max_messages, query.max_bytes);
        let (rows, more) = match self.entries(found.number, query)? {
            None => (Vec::new(), false),
            Some(entries) => {
                let seqs = Seqs::new(id, &found, query.order, query.first, query.last)?;
                let mut bodies = Bodies::new(found.current.bytes.min(query.max_bytes));
                match query.order {
                    Order::Forward => collect(id, found.number, seqs, entries, &mut room, &mut bodies)?,
                    Order::Backward => {
                        collect(id, found.number, seqs, entries.rev(), &mut room, &mut bodies)?
                    }
                }
            }
        };
        Ok(Some(Page { head: found.current, rows, more }))
    }

    /// The stored rows of a query's range; `None` for an empty range.
    pub(super) fn entries(
        &self,
        number: u64,
        query: ReadQuery,
    ) -> Result<Option<redb::Range<'_, Place, Blob>>, Fault> {
        if query.first > query.last {
            return Ok(None);
        }
        Ok(Some(self.rows.range((number, query.first)..=(number, query.last))?))
    }
}

/// Reads rows until there is no more room; says whether some are left.
fn collect<'a>(
    id: &SessionId,
    number: u64,
    mut seqs: Seqs,
    entries: impl Iterator<Item = Entry<'a>>,
    room: &mut Room,
    bodies: &mut Bodies,
) -> Result<(Vec<Row>, bool), Fault> {
    let mut found = Vec::new();
    for entry in entries {
        let (place, row) = entry?;
        let seq = place.value().1;
        // By its length first: a row that the page would not hold is not decoded.
        if !room.take(rows::body_bytes(row.value().len())) {
            return Ok((found, true));
        }
        let message = rows::decode_message(id, number, seq, row.value())?;
        seqs.pass(id, seq, message.body.len() as u64)?;
        found.push(Row { seq, body: bodies.copy(message.body) });
    }
    seqs.end(id)?;
    Ok((found, false))
}
