//! Reply rows: open replies without their chunks.

use super::chunk::ChunkRow;
use super::frame::{CHECKSUM, FORMAT, REPLY, address_beside, checksum, corrupt, integer, split};
use crate::SessionId;
use crate::store::{Claim, OpenReply, ReplyCounts, ReplyOpening, StoreError};

const HEADER: usize = 1 + 32 + 2 * 8;

/// A decoded reply row: an open reply without its chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyRow {
    /// The claim and the format that the reply was opened with.
    pub opening: ReplyOpening,
    /// The bytes of the body that the message was opened with.
    pub body_bytes: u64,
    /// The number of its beats.
    pub beats: u64,
}

impl ReplyRow {
    /// The open reply, given the last of its chunk rows.
    pub fn open_reply(self, seq: u64, last: Option<&ChunkRow>) -> OpenReply {
        OpenReply {
            seq,
            claim: self.opening.claim,
            format: self.opening.format,
            counts: ReplyCounts { chunks: last.map_or(0, ChunkRow::end), beats: self.beats },
            bytes: last.map_or(0, |row| row.bytes),
        }
    }
}

/// Writes the row of the reply that is open on the message at `seq`.
pub fn encode_reply(number: u64, seq: u64, reply: &ReplyRow) -> Vec<u8> {
    let ReplyRow { opening: ReplyOpening { claim, format }, body_bytes, beats } = reply;
    let mut row = Vec::with_capacity(HEADER + format.len() + CHECKSUM);
    row.push(FORMAT);
    row.extend_from_slice(&claim.to_bytes());
    row.extend_from_slice(&body_bytes.to_le_bytes());
    row.extend_from_slice(&beats.to_le_bytes());
    row.extend_from_slice(format.as_bytes());
    let sum = checksum(&row, &address_beside(number, seq, REPLY));
    row.extend_from_slice(&sum.to_le_bytes());
    row
}

/// Reads the row of the reply that is open on the message at `seq`.
///
/// # Errors
/// [`StoreErrorKind::Corrupt`](crate::store::StoreErrorKind::Corrupt) with `id` and `seq`.
pub fn decode_reply(
    id: &SessionId,
    number: u64,
    seq: u64,
    row: &[u8],
) -> Result<ReplyRow, StoreError> {
    let corrupt = |context| corrupt(id, context).at_seq(seq);
    let (content, sum) = split(row, HEADER).map_err(corrupt)?;
    if checksum(content, &address_beside(number, seq, REPLY)) != sum {
        return Err(corrupt("the checksum of the open reply's row does not match"));
    }
    let mut claim = [0; 32];
    claim.copy_from_slice(&content[1..33]);
    let format = std::str::from_utf8(&content[HEADER..])
        .map_err(|_| corrupt("the name of the open reply's format is not UTF-8"))?;
    Ok(ReplyRow {
        opening: ReplyOpening::new(Claim::from_bytes(claim), format),
        body_bytes: integer(content, 33),
        beats: integer(content, 41),
    })
}
