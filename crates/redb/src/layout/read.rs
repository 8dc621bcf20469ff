//! Loads and reads: rows in order, within bounds.

use super::seqs::Seqs;
use super::{Blob, Counting, Found, Place, Tables, Tail};
use crate::bodies::Bodies;
use crate::error::Fault;
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::rows::{self, HeadRow};
use durable_session::store::{Loaded, Order, Page, ReadQuery, Row, TailBounds};
use redb::ReadableTable;
use std::ops::{Bound, RangeInclusive};

/// Shows `visit` each message of a session, its seq and its row, until it wants no more: those among the rows and those in
/// a log. Says whether that was all of them.
///
/// It is no iterator: to hand each row out takes longer than to look at it where it is.
pub(crate) fn walk(
    rows: &impl ReadableTable<Place, Blob>,
    tail: Option<Counting<'_>>,
    number: u64,
    seqs: RangeInclusive<u64>,
    order: Order,
    mut visit: impl FnMut(u64, &[u8]) -> Result<bool, Fault>,
) -> Result<bool, Fault> {
    let logged = tail.map_or(&[][..], |tail| tail.rows).iter();
    let logged = logged.filter(|row| seqs.contains(&row.seq));
    let first = (number, *seqs.start());
    // What was folded a moment ago may still be there, too.
    let last = (number, tail.map_or(u64::MAX, |tail| tail.first.saturating_sub(1)).min(*seqs.end()));
    match order {
        Order::Forward => {
            let mut stored = rows.lower_bound(Bound::Included(first))?;
            while let Some((place, row)) = stored.next()? {
                let place = place.value();
                if place > last {
                    break;
                }
                if !visit(place.1, row.value())? {
                    return Ok(false);
                }
            }
            for row in logged {
                if !visit(row.seq, &row.row)? {
                    return Ok(false);
                }
            }
        }
        Order::Backward => {
            for row in logged.rev() {
                if !visit(row.seq, &row.row)? {
                    return Ok(false);
                }
            }
            let mut stored = rows.upper_bound(Bound::Included(last))?;
            while let Some((place, row)) = stored.prev()? {
                let place = place.value();
                if place < first {
                    break;
                }
                if !visit(place.1, row.value())? {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
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
        let query = ReadQuery {
            first: 0,
            last: u64::MAX,
            order: Order::Backward,
            max_messages: bounds.max_messages,
            max_bytes: bounds.max_bytes,
        };
        let (mut tail, _) = self.collect(id, &found, query, tail)?;
        tail.reverse();
        Ok(Some(Loaded { head: found.current, app, tail }))
    }

    pub(crate) fn read(&self, id: &SessionId, query: ReadQuery, tail: &Tail) -> Result<Option<Page>, Fault> {
        let Some((found, ())) = self.index.find(&self.rows, |n| tail.newest(n), id, |_| ())? else {
            return Ok(None);
        };
        let (rows, more) = if query.first > query.last {
            (Vec::new(), false)
        } else {
            self.collect(id, &found, query, tail)?
        };
        Ok(Some(Page { head: found.current, rows, more }))
    }

    /// Reads rows until there is no more room; says whether some are left.
    fn collect(
        &self,
        id: &SessionId,
        found: &Found,
        query: ReadQuery,
        tail: &Tail,
    ) -> Result<(Vec<Row>, bool), Fault> {
        let ReadQuery { first, last, order, .. } = query;
        let mut room = Room::new(query.max_messages, query.max_bytes);
        let mut seqs = Seqs::new(id, found, order, first, last)?;
        let mut bodies = Bodies::new(found.current.bytes.min(query.max_bytes));
        let tail = tail.since(found.number, found.stored.next_seq);
        let all = walk(&self.rows, tail, found.number, first..=last, order, |seq, row| {
            // By its length first: a row that the page would not hold is not decoded.
            if !room.take(rows::body_bytes(row.len())) {
                return Ok(false);
            }
            let message = rows::decode_message(id, found.number, seq, row)?;
            seqs.pass(id, seq, message.body.len() as u64)?;
            bodies.push(seq, message.body);
            Ok(true)
        })?;
        if all {
            seqs.end(id)?;
        }
        Ok((bodies.finish(), !all))
    }
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
            let [forward, mut backward] = [Order::Forward, Order::Backward].map(|order| {
                let mut seqs = Vec::new();
                let visit = |seq, _: &[u8]| {
                    seqs.push(seq);
                    Ok(true)
                };
                assert!(walk(&rows, tail.since(1, 1), 1, first..=last, order, visit).unwrap());
                seqs
            });
            backward.reverse();
            assert_eq!(forward, backward);
            forward
        };
        assert_eq!(seqs(0, u64::MAX), [1, 2, 3, 4, 5]);
        assert_eq!(seqs(2, 3), [2, 3]);
        assert_eq!(seqs(4, 9), [4, 5]);
        assert_eq!(seqs(1, 2), [1, 2]);
    }
}
