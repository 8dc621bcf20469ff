//! Loads and reads: rows in order, within bounds.

use super::find::{self, Found};
use super::seqs::Seqs;
use super::snapshot::Snapshot;
use crate::bodies::Bodies;
use crate::error::Fault;
use crate::tables::Rows;
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::rows::{self, HeadRow};
use durable_session::store::{
    LoadOutcome, LoadQuery, Loaded, Page, ReadQuery, Row, TAGGED_MESSAGES, Tagged,
};

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
            match self.bytes.checked_sub(body_bytes) {
                Some(left) => self.bytes = left,
                // Not even an empty one fits beside a first that is too large.
                None => self.messages = 0,
            }
            self.empty = false;
        }
        fits
    }
}

impl Snapshot<'_> {
    pub(crate) fn load(&self, id: &SessionId, query: LoadQuery) -> Result<LoadOutcome, Fault> {
        let take = |row: &HeadRow<'_>| (Bytes::copy_from_slice(row.app), row.labels());
        let Some((found, (app, labels))) = find::find(&self.view, id, take)? else {
            return Ok(LoadOutcome::Absent);
        };
        let head = found.current.salted(self.salt);
        if query.known == Some(head.version) {
            return Ok(LoadOutcome::Unchanged);
        }
        let rows = ReadQuery::backward(0, u64::MAX)
            .max_messages(query.tail.max_messages)
            .max_bytes(query.tail.max_bytes);
        let mut tags = Vec::with_capacity(TAGGED_MESSAGES);
        let (mut rows, more) = self.collect(id, &found, rows, |tagged| {
            if tags.len() < TAGGED_MESSAGES {
                tags.push(tagged);
            }
        })?;
        if let Some(oldest) = rows.last().filter(|_| more) {
            self.tags_before(id, &found, oldest.seq, &mut tags)?;
        }
        rows.reverse();
        tags.reverse();
        let replies = self.replies_on(id, found.number, 0..=u64::MAX)?;
        Ok(LoadOutcome::Loaded(Loaded { head, labels, app, tail: rows, tags, replies }))
    }

    pub(crate) fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, Fault> {
        let Some((found, ())) = find::find(&self.view, id, |_| ())? else { return Ok(None) };
        let (rows, more) = if query.first > query.last {
            (Vec::new(), false)
        } else {
            self.collect(id, &found, query, |_| {})?
        };
        let replies = match (rows.first(), rows.last()) {
            (Some(a), Some(b)) => {
                self.replies_on(id, found.number, a.seq.min(b.seq)..=a.seq.max(b.seq))?
            }
            _ => Vec::new(),
        };
        Ok(Some(Page { head: found.current.salted(self.salt), rows, replies, more }))
    }

    /// Reads rows until there is no more room, showing the tag of each to `tagged`; says whether
    /// some are left.
    fn collect(
        &self,
        id: &SessionId,
        found: &Found,
        query: ReadQuery,
        mut tagged: impl FnMut(Tagged),
    ) -> Result<(Vec<Row>, bool), Fault> {
        let ReadQuery { first, last, order, .. } = query;
        let number = found.number;
        let mut room = Room::new(query.max_messages, query.max_bytes);
        let mut seqs = Seqs::new(id, &found.stored, &found.current, order, (first, last))?;
        let mut bodies = Bodies::new(found.current.bytes.min(query.max_bytes));
        let mut walk = self.view.walk::<Rows>((number, first)..=(number, last), order);
        while let Some(entry) = walk.next()? {
            // By its length first: a row that the page would not hold is not decoded.
            if !room.take(rows::body_bytes(entry.len())) {
                return Ok((bodies.finish(), true));
            }
            let ((_, seq), row) = entry.read()?;
            let message = rows::decode_message(id, number, seq, &row)?;
            seqs.pass(id, seq, message.body.len() as u64)?;
            bodies.push(seq, message.body);
            tagged(Tagged { seq, tag: message.tag });
        }
        seqs.end(id)?;
        Ok((bodies.finish(), false))
    }
}
