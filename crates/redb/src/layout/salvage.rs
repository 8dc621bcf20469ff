//! Reading past damage.

use super::find::{self, missing_head};
use super::read::Room;
use super::seqs::{Seqs, follows, out_of_order};
use super::snapshot::Snapshot;
use crate::error::{Fault, caught, contradiction};
use crate::tables::{Heads, Rows};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::rows;
use durable_session::store::{Damage, Order, ReadQuery, Row, Salvaged};
use std::ops::RangeInclusive;

impl Snapshot<'_> {
    pub(crate) fn salvage(
        &self,
        id: &SessionId,
        query: ReadQuery,
    ) -> Result<Option<Salvaged>, Fault> {
        let mut salvaged = Salvaged::default();
        let number = match find::number(&self.view, id) {
            Ok(None) => return Ok(None),
            Ok(Some(number)) => Some(number),
            Err(Fault::Refused(error)) => {
                salvaged.damage.push(Damage { seq: None, error });
                find::number_by_scan(&self.view, id)?
            }
            Err(fault) => return Err(fault),
        };
        let Some(number) = number else { return Ok(Some(salvaged)) };
        let mut seqs = None;
        match self.view.get::<Heads>(&number)? {
            None => salvaged.damage.push(Damage { seq: None, error: missing_head(id) }),
            Some(row) => match rows::decode_head(number, id, &row) {
                Err(error) => salvaged.damage.push(Damage { seq: None, error }),
                Ok(head_row) => {
                    salvaged.app = Some(Bytes::copy_from_slice(head_row.app));
                    salvaged.labels = Some(head_row.labels());
                    match find::current(&self.view, id, number, &head_row) {
                        Ok(current) => {
                            salvaged.head = Some(current.salted(self.salt));
                            let range = (query.first, query.last);
                            match Seqs::new(id, &head_row.head, &current, query.order, range) {
                                Ok(expected) => seqs = Some(expected),
                                Err(error) => salvaged.damage.push(Damage { seq: None, error }),
                            }
                        }
                        // The last message row carries the running head: without it the head is not
                        // known.
                        Err(Fault::Refused(error)) => {
                            salvaged.damage.push(Damage { seq: None, error });
                        }
                        Err(fault) => return Err(fault),
                    }
                }
            },
        }
        self.salvage_rows(id, number, query, seqs, &mut salvaged)?;
        Ok(Some(salvaged))
    }

    fn salvage_rows(
        &self,
        id: &SessionId,
        number: u64,
        query: ReadQuery,
        mut seqs: Option<Seqs>,
        salvaged: &mut Salvaged,
    ) -> Result<(), Fault> {
        if query.first > query.last {
            return Ok(());
        }
        let mut room = Room::new(query.max_messages, query.max_bytes);
        let mut page: Option<(u64, u64)> = None;
        let range = (number, query.first)..=(number, query.last);
        let mut walk = self.view.walk::<Rows>(range, query.order);
        let all = loop {
            let Some(entry) = walk.next()? else { break true };
            let body_bytes = rows::body_bytes(entry.len());
            if !room.take(body_bytes) {
                break false;
            }
            let ((_, seq), row) = entry.read()?;
            page = Some(page.map_or((seq, seq), |(low, high)| (low.min(seq), high.max(seq))));
            if let Some(Err(error)) = seqs.as_mut().map(|seqs| seqs.pass(id, seq, body_bytes)) {
                salvaged.damage.push(Damage { seq: None, error });
                seqs = None;
            }
            match rows::decode_message(id, number, seq, &row) {
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
        };
        salvaged.more = !all;
        if all && let Some(Err(error)) = seqs.map(|seqs| seqs.end(id)) {
            salvaged.damage.push(Damage { seq: None, error });
        }
        match page {
            Some((first, last)) => self.salvage_replies(id, number, first..=last, salvaged),
            None => Ok(()),
        }
    }

    fn salvage_replies(
        &self,
        id: &SessionId,
        number: u64,
        seqs: RangeInclusive<u64>,
        salvaged: &mut Salvaged,
    ) -> Result<(), Fault> {
        match caught(|| self.each_reply(id, number, seqs)) {
            Ok(Ok(replies)) => {
                for reply in replies {
                    match reply {
                        Ok(reply) => salvaged.replies.push(reply),
                        Err(error) => salvaged.damage.push(Damage { seq: error.seq(), error }),
                    }
                }
            }
            // The messages can be read all the same.
            Ok(Err(Fault::Redb(redb::Error::Corrupted(_)))) | Err(_) => {
                let what = "redb cannot read the pages of the session's open replies";
                salvaged
                    .damage
                    .push(Damage { seq: None, error: contradiction(what).in_session(id) });
            }
            Ok(Err(fault)) => return Err(fault),
        }
        Ok(())
    }
}
