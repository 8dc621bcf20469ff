//! Chunk rows: the chunks that one extension added to an open reply.

use super::frame::{CHECKSUM, FORMAT, address_beside, checksum, corrupt, integer, split};
use crate::SessionId;
use crate::store::StoreError;
use crate::store::shown::Chunks;
use bytes::Bytes;
use std::fmt;

pub(super) const HEADER: usize = 1 + 4 + 8;

/// A decoded chunk row: the chunks of one extension. `Debug` shows their number and bytes only.
#[derive(Clone, PartialEq, Eq)]
pub struct ChunkRow {
    /// The offset of the first chunk.
    pub offset: u64,
    /// The bytes of all chunks of the reply up to the last of this row.
    pub bytes: u64,
    /// The chunks; never empty.
    pub chunks: Vec<Bytes>,
}

impl ChunkRow {
    /// The offset after the last chunk.
    pub fn end(&self) -> u64 {
        self.offset + self.chunks.len() as u64
    }
}

impl fmt::Debug for ChunkRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, bytes, chunks } = self;
        f.debug_struct("ChunkRow")
            .field("offset", offset)
            .field("bytes", bytes)
            .field("chunks", &Chunks(chunks))
            .finish()
    }
}

/// Writes the row of `chunks`, which begin at `offset` in the reply on the message at `seq`.
/// `bytes` counts all chunks of the reply, these included.
pub fn encode_chunks(number: u64, seq: u64, offset: u64, bytes: u64, chunks: &[Bytes]) -> Vec<u8> {
    let mut row = Vec::new();
    write_chunks(&mut row, number, seq, offset, bytes, chunks);
    row
}

/// Like [`encode_chunks`], but adds the row to `out`.
pub fn write_chunks(
    out: &mut Vec<u8>,
    number: u64,
    seq: u64,
    offset: u64,
    bytes: u64,
    chunks: &[Bytes],
) {
    let content: usize = chunks.iter().map(|chunk| 4 + chunk.len()).sum();
    let start = out.len();
    out.reserve(HEADER + content + CHECKSUM);
    out.push(FORMAT);
    // A store checks an extension against its limits before it writes this row. The limits are
    // below 4 GiB.
    #[allow(clippy::cast_possible_truncation)]
    let length = |length: usize| (length as u32).to_le_bytes();
    out.extend_from_slice(&length(chunks.len()));
    out.extend_from_slice(&bytes.to_le_bytes());
    for chunk in chunks {
        out.extend_from_slice(&length(chunk.len()));
    }
    for chunk in chunks {
        out.extend_from_slice(chunk);
    }
    let sum = checksum(&out[start..], &address_beside(number, seq, offset));
    out.extend_from_slice(&sum.to_le_bytes());
}

/// Reads the row of the chunks from `offset` on.
///
/// # Errors
/// [`StoreErrorKind::Corrupt`](crate::store::StoreErrorKind::Corrupt) with `id`, `seq` and
/// `offset`.
pub fn decode_chunks(
    id: &SessionId,
    number: u64,
    seq: u64,
    offset: u64,
    row: &Bytes,
) -> Result<ChunkRow, StoreError> {
    let corrupt = |context| corrupt(id, context).at_seq(seq).at_chunk(offset);
    let (content, sum) = split(row, HEADER).map_err(corrupt)?;
    if checksum(content, &address_beside(number, seq, offset)) != sum {
        return Err(corrupt("the checksum of the reply's chunk row does not match"));
    }
    let wrong_lengths = || corrupt("the lengths of the reply's chunks do not fit into their row");
    let length = |at: usize| {
        let bytes = content.get(at..at + 4).ok_or_else(wrong_lengths)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize)
    };
    let count = length(1)?;
    let lengths = content.len().saturating_sub(HEADER) / 4;
    if count == 0 || count > lengths {
        return Err(wrong_lengths());
    }
    let mut at = HEADER + 4 * count;
    let mut chunks = Vec::with_capacity(count);
    for n in 0..count {
        let end = at + length(HEADER + 4 * n)?;
        if end > content.len() {
            return Err(wrong_lengths());
        }
        chunks.push(row.slice(at..end));
        at = end;
    }
    if at != content.len() {
        return Err(wrong_lengths());
    }
    Ok(ChunkRow { offset, bytes: integer(content, 5), chunks })
}
