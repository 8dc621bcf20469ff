//! Loads and reads: rows in order, within bounds.

use super::seqs::Seqs;
use super::{Blob, Found, Place, Tables, Tail};
use crate::bodies::Bodies;
use crate::error::Fault;
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::rows::{self, HeadRow};
use durable_session::store::{Loaded, Order, Page, ReadQuery, Row, TailBounds};
use redb::{AccessGuard, ReadableTable};
use std::ops::RangeInclusive;

/// The row of a message, wherever it is.
pub(crate) enum Stored<'a> {
    Row(AccessGuard<'a, Blob>),
    Logged(&'a [u8]),
}

impl Stored<'_> {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Row(row) => row.value(),
            Self::Logged(row) => row,
        }
    }
}

/// A message's seq and its row.
type Entry<'a> = Result<(u64, Stored<'a>), redb::StorageError>;

/// The messages of a session: those among the rows, then those in a log.
pub(crate) fn entries<'a, R: ReadableTable<Place, Blob>>(
    rows: &'a R,
    tail: Option<&'a Tail>,
    number: u64,
    seqs: RangeInclusive<u64>,
) -> Result<impl DoubleEndedIterator<Item = Entry<'a>>, Fault> {
    let (first, last) = seqs.into_inner();
    let stored = match tail {
        // What was folded a moment ago may still be there, too.
        Some(tail) if tail.first <= last => rows.range((number, first)..(number, tail.first.max(first)))?,
        _ => rows.range((number, first)..=(number, last))?,
    };
    let stored = stored.map(|entry| entry.map(|(place, row)| (place.value().1, Stored::Row(row))));
    let logged = tail.map_or(&[][..], |tail| &tail.rows).iter();
    let logged = logged.filter(move |row| (first..=last).contains(&row.seq));
    Ok(stored.chain(logged.map(|logged| Ok((logged.seq, Stored::Logged(&logged.row))))))
}

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
    pub(crate) fn load(
        &self,
        id: &SessionId,
        bounds: TailBounds,
        tail: &Tail,
    ) -> Result<Option<Loaded>, Fault> {
        let take = |row: &HeadRow<'_>| Bytes::copy_from_slice(row.app);
        let Some((found, app)) = self.index.find(&self.rows, |n| tail.newest(n), id, take)? else {
            return Ok(None);
        };
        let mut room = Room::new(bounds.max_messages, bounds.max_bytes);
        let entries = self.entries(&found, tail, 0..=u64::MAX)?.rev();
        let seqs = Seqs::new(id, &found, Order::Backward, 1, u64::MAX)?;
        let mut bodies = Bodies::new(found.current.bytes.min(bounds.max_bytes));
        let (mut tail, _) = collect(id, found.number, seqs, entries, &mut room, &mut bodies)?;
        tail.reverse();
        Ok(Some(Loaded { head: found.current, app, tail }))
    }

    pub(crate) fn read(&self, id: &SessionId, query: ReadQuery, tail: &Tail) -> Result<Option<Page>, Fault> {
        let Some((found, ())) = self.index.find(&self.rows, |n| tail.newest(n), id, |_| ())? else {
            return Ok(None);
        };
        let mut room = Room::new(query.max_messages, query.max_bytes);
        let (rows, more) = if query.first > query.last {
            (Vec::new(), false)
        } else {
            let entries = self.entries(&found, tail, query.first..=query.last)?;
            let seqs = Seqs::new(id, &found, query.order, query.first, query.last)?;
            let mut bodies = Bodies::new(found.current.bytes.min(query.max_bytes));
            match query.order {
                Order::Forward => collect(id, found.number, seqs, entries, &mut room, &mut bodies)?,
                Order::Backward => collect(id, found.number, seqs, entries.rev(), &mut room, &mut bodies)?,
            }
        };
        Ok(Some(Page { head: found.current, rows, more }))
    }

    fn entries<'a>(
        &'a self,
        found: &Found,
        tail: &'a Tail,
        seqs: RangeInclusive<u64>,
    ) -> Result<impl DoubleEndedIterator<Item = Entry<'a>>, Fault> {
        entries(&self.rows, tail.since(found.number, found.stored.next_seq), found.number, seqs)
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
        let (seq, row) = entry?;
        // By its length first: a row that the page would not hold is not decoded.
        if !room.take(rows::body_bytes(row.bytes().len())) {
            return Ok((found, true));
        }
        let message = rows::decode_message(id, number, seq, row.bytes())?;
        seqs.pass(id, seq, message.body.len() as u64)?;
        found.push(Row { seq, body: bodies.copy(message.body) });
    }
    seqs.end(id)?;
    Ok((found, false))
}

#[cfg(test)]
mod tests {
    use super::super::{Logged, ROWS, log::Part};
    use super::*;
    use redb::{Database, ReadableDatabase};

    /// Between a transaction that folds and the moment at which its effects are shown.
    #[test]
    fn what_was_folded_a_moment_ago_is_read_once() {
        let db = Database::builder().create_with_backend(redb::backends::InMemoryBackend::new()).unwrap();
        let txn = db.begin_write().unwrap();
        for seq in 1..=4 {
            txn.open_table(ROWS).unwrap().insert((1, seq), &b"stored"[..]).unwrap();
        }
        txn.commit().unwrap();
        let rows = db.begin_read().unwrap().open_table(ROWS).unwrap();
        let mut logged = Logged::default();
        let id = SessionId::new("s").unwrap();
        for seq in 3..=5 {
            logged.recovered(&Part { id: id.clone(), number: 1, seq, row: b"logged".as_slice().into() });
        }
        let tail = logged.tail(&id, 0..=u64::MAX, 9, true);
        let seqs = |first, last| {
            let entries = entries(&rows, Some(&tail), 1, first..=last).unwrap();
            entries.map(|entry| entry.unwrap().0).collect::<Vec<_>>()
        };
        assert_eq!(seqs(0, u64::MAX), [1, 2, 3, 4, 5]);
        assert_eq!(seqs(2, 3), [2, 3]);
        assert_eq!(seqs(4, 9), [4, 5]);
        assert_eq!(seqs(1, 2), [1, 2]);
    }
}
