//! Reading past damage.

use super::read::{Room, walk};
use super::seqs::{Seqs, follows, out_of_order};
use super::{Blob, Counting, Found, Index, Place, Tables, Tail, derive, missing_head, newer};
use crate::error::Fault;
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::rows;
use durable_session::store::{Damage, Order, ReadQuery, Row, Salvaged};
use redb::ReadableTable;

impl<I, H, R> Tables<I, H, R>
where
    I: ReadableTable<Blob, Blob>,
    H: ReadableTable<u64, Blob>,
    R: ReadableTable<Place, Blob>,
{
    pub(crate) fn salvage(
        &self,
        id: &SessionId,
        query: ReadQuery,
        tail: &Tail,
    ) -> Result<Option<Salvaged>, Fault> {
        let mut salvaged =
            Salvaged { head: None, app: None, rows: Vec::new(), damage: Vec::new(), more: false };
        let number = match self.index.number(id) {
            Ok(None) => return Ok(None),
            Ok(Some(number)) => Some(number),
            Err(Fault::Refused(error)) => {
                salvaged.damage.push(Damage { seq: None, error });
                self.index.number_by_scan(id)?
            }
            Err(fault) => return Err(fault),
        };
        let Some(number) = number else { return Ok(Some(salvaged)) };
        // With a head row that cannot be read, all that is logged counts.
        let (mut next_seq, mut seqs) = (0, None);
        match self.index.heads.get(number)? {
            None => salvaged.damage.push(Damage { seq: None, error: missing_head(id) }),
            Some(row) => match rows::decode_head(number, id, row.value()) {
                Err(error) => salvaged.damage.push(Damage { seq: None, error }),
                Ok(stored) => {
                    next_seq = stored.head.next_seq;
                    let newest = tail.newest(number);
                    // An older app state is better than none.
                    let head_row = newer(id, number, stored, newest.head);
                    salvaged.app = Some(Bytes::copy_from_slice(head_row.as_ref().unwrap_or(&stored).app));
                    let current = head_row
                        .map_err(Fault::from)
                        .and_then(|head_row| derive(&self.rows, newest.message, id, number, &head_row));
                    match current {
                        Ok(current) => {
                            salvaged.head = Some(current);
                            let found = Found { number, stored: stored.head, current };
                            match Seqs::new(id, &found, query.order, query.first, query.last) {
                                Ok(expected) => seqs = Some(expected),
                                Err(error) => salvaged.damage.push(Damage { seq: None, error }),
                            }
                        }
                        // The last message row carries the running head: without it the head is not known.
                        Err(Fault::Refused(error)) => salvaged.damage.push(Damage { seq: None, error }),
                        Err(fault) => return Err(fault),
                    }
                }
            },
        }
        self.salvage_rows(id, number, query, tail.since(number, next_seq), seqs, &mut salvaged)?;
        Ok(Some(salvaged))
    }

    fn salvage_rows(
        &self,
        id: &SessionId,
        number: u64,
        query: ReadQuery,
        tail: Option<Counting<'_>>,
        mut seqs: Option<Seqs>,
        salvaged: &mut Salvaged,
    ) -> Result<(), Fault> {
        if query.first > query.last {
            return Ok(());
        }
        let mut room = Room::new(query.max_messages, query.max_bytes);
        let all = walk(&self.rows, tail, number, query.first..=query.last, query.order, |seq, row| {
            if !room.take(rows::body_bytes(row.len())) {
                return Ok(false);
            }
            if let Some(Err(error)) =
                seqs.as_mut().map(|seqs| seqs.pass(id, seq, rows::body_bytes(row.len())))
            {
                salvaged.damage.push(Damage { seq: None, error });
                seqs = None;
            }
            match rows::decode_message(id, number, seq, row) {
                Ok(message) => {
                    let last = salvaged.rows.last().map(|row| row.seq);
                    salvaged.rows.push(Row { seq, body: Bytes::copy_from_slice(message.body) });
                    if last.is_some_and(|last| !follows(query.order, last, seq)) {
                        salvaged.damage.push(Damage { seq: None, error: out_of_order(id, seq) });
                        salvaged.rows.sort_by_key(|row| row.seq);
                        salvaged.rows.dedup_by_key(|row| row.seq);
                        if query.order == Order::Backward {
                            salvaged.rows.reverse();
                        }
                    }
                }
                Err(error) => salvaged.damage.push(Damage { seq: Some(seq), error }),
            }
            Ok(true)
        })?;
        salvaged.more = !all;
        if all && let Some(Err(error)) = seqs.map(|seqs| seqs.end(id)) {
            salvaged.damage.push(Damage { seq: None, error });
        }
        Ok(())
    }
}

impl<I, H> Index<I, H>
where
    I: ReadableTable<Blob, Blob>,
    H: ReadableTable<u64, Blob>,
{
    /// Finds a session whose number row is damaged by its head row. Walks all heads: only for repair.
    pub(super) fn number_by_scan(&self, id: &SessionId) -> Result<Option<u64>, Fault> {
        for entry in self.heads.iter()? {
            let (number, row) = entry?;
            if rows::decode_head(number.value(), id, row.value()).is_ok() {
                return Ok(Some(number.value()));
            }
        }
        Ok(None)
    }
}
