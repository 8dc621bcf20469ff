//! The bytes of a batch. docs/log-format.md has the whole format.

use super::format::{ALIGN, Epoch, Position, field};
use xxhash_rust::xxh3::xxh3_64;

/// The bytes in front of a batch's payload. A caller of [`append`](super::Log::append) leaves them
/// free at the start of its buffer.
pub(crate) const HEADER: usize = 32;

/// The largest payload of a batch: its length has 32 bits, and room is left for the padding.
pub(crate) const MAX_PAYLOAD: usize = u32::MAX as usize - 2 * ALIGN;

/// Not text in any encoding, so that no text begins with it. The fourth byte is the kind.
const MAGIC: [u8; 3] = *b"\xD5\xC0B";

/// The kinds of batches. Only edits take a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The payload is edits.
    Edits = 0,
    /// Shows that the batch before it was acknowledged.
    Seal = 1,
    /// The last batch of a segment: the batch of this position is the first of another segment.
    Continues = 2,
}

/// The header of a batch, without its checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) kind: Kind,
    /// The position of a batch of edits; of the others, the position that comes next.
    pub(crate) position: Position,
    pub(crate) count: u32,
    pub(crate) payload_len: u32,
}

/// The bytes of a batch with `payload` bytes: header, payload and zeros up to [`ALIGN`].
pub(crate) const fn padded(payload: usize) -> usize {
    (HEADER + payload).next_multiple_of(ALIGN)
}

/// Fills in the header in front of the payload and the padding behind it.
///
/// The checksum covers epoch, header, payload and padding. The header has a check of its own, so
/// that a payload full of forged headers cannot make a scan compute a checksum for each of them.
pub(crate) fn encode(buffer: &mut [u8], header: &BatchHeader, epoch: Epoch) {
    buffer[0..3].copy_from_slice(&MAGIC);
    buffer[3] = header.kind as u8;
    buffer[4..8].copy_from_slice(&header.payload_len.to_le_bytes());
    buffer[8..16].copy_from_slice(&header.position.to_le_bytes());
    buffer[16..20].copy_from_slice(&header.count.to_le_bytes());
    let check = header_check(epoch, buffer);
    buffer[20..24].copy_from_slice(&check.to_le_bytes());
    let checksum = checksum(epoch, buffer);
    buffer[24..32].copy_from_slice(&checksum.to_le_bytes());
}

/// The header of the batch at the start of `bytes`, if its own check holds.
pub(crate) fn decode_header(bytes: &[u8], epoch: Epoch) -> Option<BatchHeader> {
    if bytes.len() < ALIGN || bytes[0..3] != MAGIC {
        return None;
    }
    let kind = match bytes[3] {
        0 => Kind::Edits,
        1 => Kind::Seal,
        2 => Kind::Continues,
        _ => return None,
    };
    let check = u32::from_le_bytes(field(bytes, 20));
    (check == header_check(epoch, bytes)).then(|| BatchHeader {
        kind,
        payload_len: u32::from_le_bytes(field(bytes, 4)),
        position: u64::from_le_bytes(field(bytes, 8)),
        count: u32::from_le_bytes(field(bytes, 16)),
    })
}

/// The batch at the start of `bytes`, if it is valid, and its length with padding.
pub(crate) fn decode(bytes: &[u8], epoch: Epoch) -> Option<(BatchHeader, usize)> {
    let header = decode_header(bytes, epoch)?;
    let len = padded(usize::try_from(header.payload_len).ok()?);
    let batch = bytes.get(..len)?;
    let stored = u64::from_le_bytes(field(bytes, 24));
    (stored == checksum(epoch, batch)).then_some((header, len))
}

fn header_check(epoch: Epoch, batch: &[u8]) -> u32 {
    let mut input = [0; 36];
    input[..16].copy_from_slice(&epoch.0);
    input[16..].copy_from_slice(&batch[..20]);
    // The low half of the hash.
    u32::from_le_bytes(field(&xxh3_64(&input).to_le_bytes(), 0))
}

fn checksum(epoch: Epoch, batch: &[u8]) -> u64 {
    let mut input = [0; 48];
    input[..16].copy_from_slice(&epoch.0);
    input[16..40].copy_from_slice(&batch[..24]);
    input[40..].copy_from_slice(&xxh3_64(&batch[HEADER..]).to_le_bytes());
    xxh3_64(&input)
}
