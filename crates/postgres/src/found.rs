//! A session as the server has it: its head row and its last message row.

use crate::error::Failure;
use crate::known::Entry;
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::rows::{self, ChunkRow, LARGE_BODY};
use durable_session::store::{
    Head, Labels, NewMessage, OpenReply, Salt, StoreError, StoreErrorKind,
};
use tokio_postgres::Row;

/// Sessions of an owner are found by a time that is at most so much older than that of their last
/// change, in milliseconds. So an append rarely changes an index.
pub(crate) const LISTED_WITHIN: u64 = 60_000;

#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) number: u64,
    pub(crate) mark: i64,
    /// The head as the head row has it, without the appends since.
    pub(crate) stored: Head,
    pub(crate) current: Head,
    pub(crate) labels: Labels,
}

impl Found {
    /// Decodes the head row. `last` is the last message row, without its content if it is large:
    /// whoever writes a large message also writes the head row.
    pub(crate) fn decode(
        id: &SessionId,
        number: i64,
        mark: i64,
        head: &[u8],
        last: Option<(i64, Option<&[u8]>)>,
    ) -> Result<Self, StoreError> {
        let number = unsigned(number);
        let row = rows::decode_head(number, id, head)?;
        let current = match last {
            // Only messages past the end of the head row were appended since.
            Some((seq, body)) if unsigned(seq) >= row.head.next_seq => {
                let seq = unsigned(seq);
                let body = body.ok_or_else(|| {
                    let context = "a large message has no head row that knows of it";
                    StoreError::new(StoreErrorKind::Corrupt, context).in_session(id).at_seq(seq)
                })?;
                row.current(Some(&rows::decode_message(id, number, seq, body)?))
            }
            _ => row.head,
        };
        Ok(Self { number, mark, stored: row.head, current, labels: row.labels() })
    }

    /// What the store remembers of it.
    pub(crate) fn entry(&self, salt: Salt) -> Entry {
        let listed_at = self.labels.get_owner().map(|_| self.stored.changed_at);
        Entry { salt, number: self.number, mark: self.mark, head: self.current, listed_at }
    }
}

/// Decodes an open reply and the last row of its chunks.
pub(crate) fn open_reply(
    id: &SessionId,
    number: u64,
    seq: u64,
    reply: &[u8],
    last: Option<(i64, &[u8])>,
) -> Result<OpenReply, StoreError> {
    let reply = rows::decode_reply(id, number, seq, reply)?;
    let last = last.map(|(first, row)| chunk_row(id, number, seq, first, row)).transpose()?;
    Ok(reply.open_reply(seq, last.as_ref()))
}

pub(crate) fn chunk_row(
    id: &SessionId,
    number: u64,
    seq: u64,
    first: i64,
    row: &[u8],
) -> Result<ChunkRow, StoreError> {
    rows::decode_chunks(id, number, seq, unsigned(first), &Bytes::copy_from_slice(row))
}

/// Whether a message is read by its tag row, because its own row is large.
pub(crate) fn is_large(message: &NewMessage) -> bool {
    message.body.len() > LARGE_BODY
}

/// A number of ours as the server stores it. Larger ones do not occur there, so a bound beyond them
/// is as good as the largest.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A stored number. None is negative.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// The columns of a row that reads return.
pub(crate) struct Part<'a> {
    pub(crate) kind: i32,
    pub(crate) seq: i64,
    pub(crate) place: Option<i64>,
    pub(crate) a: Option<&'a [u8]>,
    pub(crate) b: Option<&'a [u8]>,
}

impl<'a> Part<'a> {
    pub(crate) fn of(row: &'a Row) -> Result<Self, Failure> {
        Ok(Self {
            kind: row.try_get(0)?,
            seq: row.try_get::<_, Option<i64>>(1)?.unwrap_or_default(),
            place: row.try_get(2)?,
            a: row.try_get(3)?,
            b: row.try_get(4)?,
        })
    }
}
