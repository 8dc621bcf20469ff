//! Message rows, and the tag rows beside large ones.

use super::frame::{
    CHECKSUM, FORMAT, TAG, address, address_beside, checksum, corrupt, integer, split,
};
use crate::SessionId;
use crate::store::shown::Size;
use crate::store::{Head, IdTag, StoreError};
use std::fmt;

/// A message with a body of more bytes has a tag row in stores that would have to read the whole
/// message row for the tag.
pub const LARGE_BODY: usize = 4096;

const HEADER: usize = 1 + 6 * 8;
const TAG_ROW: usize = 1 + 8 + CHECKSUM;

/// How many bytes a message row has beyond its body.
pub const MESSAGE_OVERHEAD: usize = HEADER + CHECKSUM;

/// A decoded message row. `Debug` shows the length of the body only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MessageRow<'a> {
    /// The message's seq.
    pub seq: u64,
    /// The counter of the version whose commit wrote the body.
    pub counter: u64,
    /// The number of messages in the session after the append.
    pub messages: u64,
    /// The bytes of all messages in the session after the append.
    pub bytes: u64,
    /// The session's `last_accessed_at` after the append, Unix milliseconds.
    pub last_accessed_at: u64,
    /// The session's `changed_at` after the append, Unix milliseconds.
    pub changed_at: u64,
    /// The tag of the message's id.
    pub tag: IdTag,
    /// The message's body.
    pub body: &'a [u8],
}

impl fmt::Debug for MessageRow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq, counter, messages, bytes, last_accessed_at, changed_at, tag, body } = self;
        f.debug_struct("MessageRow")
            .field("seq", seq)
            .field("counter", counter)
            .field("messages", messages)
            .field("bytes", bytes)
            .field("last_accessed_at", last_accessed_at)
            .field("changed_at", changed_at)
            .field("tag", tag)
            .field("body", &Size(body.len()))
            .finish()
    }
}

/// Writes the row of the message at `seq`. `head` is the running head just after the append of this
/// message or, for a replaced message, the head after its commit.
pub fn encode_message(number: u64, head: &Head, seq: u64, tag: IdTag, body: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(MESSAGE_OVERHEAD + body.len());
    write_message(&mut row, number, head, seq, tag, body);
    row
}

/// Like [`encode_message`], but adds the row to `out`.
pub fn write_message(
    out: &mut Vec<u8>,
    number: u64,
    head: &Head,
    seq: u64,
    tag: IdTag,
    body: &[u8],
) {
    let start = out.len();
    out.reserve(MESSAGE_OVERHEAD + body.len());
    out.push(FORMAT);
    let fields = [
        head.version.counter(),
        head.messages,
        head.bytes,
        head.last_accessed_at,
        head.changed_at,
        tag.to_bits(),
    ];
    for field in fields {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(body);
    let sum = checksum(&out[start..], &address(number, seq));
    out.extend_from_slice(&sum.to_le_bytes());
}

/// Reads the message row at `seq` of session `id`, whose number is `number`.
///
/// # Errors
/// [`StoreErrorKind::Corrupt`](crate::store::StoreErrorKind::Corrupt) with `id` and `seq`, for a
/// wrong checksum, length or format version.
pub fn decode_message<'a>(
    id: &SessionId,
    number: u64,
    seq: u64,
    row: &'a [u8],
) -> Result<MessageRow<'a>, StoreError> {
    let corrupt = |context| corrupt(id, context).at_seq(seq);
    let (content, sum) = split(row, HEADER).map_err(corrupt)?;
    if checksum(content, &address(number, seq)) != sum {
        return Err(corrupt("the message row's checksum does not match"));
    }
    Ok(MessageRow {
        seq,
        counter: integer(content, 1),
        messages: integer(content, 9),
        bytes: integer(content, 17),
        last_accessed_at: integer(content, 25),
        changed_at: integer(content, 33),
        tag: IdTag::from_bits(integer(content, 41)),
        body: &content[HEADER..],
    })
}

/// The length of the body in a message row of `row_bytes`, without decoding the row. A removal
/// subtracts it from the session's bytes (S4).
pub fn body_bytes(row_bytes: usize) -> u64 {
    row_bytes.saturating_sub(MESSAGE_OVERHEAD) as u64
}

/// Writes the tag row beside the message at `seq`, which has a [`LARGE_BODY`].
pub fn encode_tag(number: u64, seq: u64, tag: IdTag) -> [u8; TAG_ROW] {
    let mut row = [0; TAG_ROW];
    row[0] = FORMAT;
    row[1..9].copy_from_slice(&tag.to_bits().to_le_bytes());
    let sum = checksum(&row[..9], &address_beside(number, seq, TAG));
    row[9..].copy_from_slice(&sum.to_le_bytes());
    row
}

/// Reads the tag row beside the message at `seq`.
///
/// # Errors
/// [`StoreErrorKind::Corrupt`](crate::store::StoreErrorKind::Corrupt) with `id` and `seq`.
pub fn decode_tag(id: &SessionId, number: u64, seq: u64, row: &[u8]) -> Result<IdTag, StoreError> {
    let corrupt = |context| corrupt(id, context).at_seq(seq);
    let (content, sum) = split(row, TAG_ROW - CHECKSUM).map_err(corrupt)?;
    if row.len() != TAG_ROW || checksum(content, &address_beside(number, seq, TAG)) != sum {
        return Err(corrupt("the checksum of the message's tag row does not match"));
    }
    Ok(IdTag::from_bits(integer(content, 1)))
}
