//! The bytes of a segment's header. docs/log-format.md has the whole format.

use durable_session::env::{Random, RandomError};
use std::fmt;
use xxhash_rust::xxh3::xxh3_64;

/// The number of a batch, from 1, never used again over the life of a store.
pub(crate) type Position = u64;

/// Batches begin at multiples of this, and no header crosses one.
pub(crate) const ALIGN: usize = 64;

/// Where the first batch of a segment begins. The header has a sector of its own, which no write of
/// a batch can tear.
pub(crate) const FIRST: usize = 512;

/// The format that this build writes and reads.
pub(crate) const FORMAT: u32 = 1;

/// Not text in any encoding, so that no text begins with it.
const MAGIC: [u8; 4] = *b"\xD5WAL";

/// The identity of a store's log: in the header of every segment, and in the redb file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogId(pub(crate) [u8; 16]);

impl LogId {
    /// The id of a store that has no log yet.
    pub(crate) const UNDRAWN: Self = Self([0; 16]);

    /// A new id.
    pub(crate) fn draw(random: &dyn Random) -> Result<Self, RandomError> {
        loop {
            let mut id = Self::UNDRAWN;
            random.fill(&mut id.0)?;
            if id != Self::UNDRAWN {
                return Ok(id);
            }
        }
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogId({:032x})", u128::from_be_bytes(self.0))
    }
}

/// Drawn each time a segment begins to be used, and mixed into the checksums of its batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Epoch(pub(crate) [u8; 16]);

impl Epoch {
    pub(crate) fn draw(random: &dyn Random) -> Result<Self, RandomError> {
        let mut epoch = [0; 16];
        random.fill(&mut epoch)?;
        Ok(Self(epoch))
    }
}

/// The first bytes of a segment that is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) format: u32,
    /// How many times recovery has copied these batches. Of two segments with the same first
    /// position, the one with the higher generation is an unfinished copy.
    pub(crate) generation: u32,
    /// The segment's length in units of [`ALIGN`].
    pub(crate) units: u32,
    pub(crate) id: LogId,
    pub(crate) epoch: Epoch,
    /// The position of the first batch.
    pub(crate) first: Position,
}

/// A segment's first bytes, read.
#[derive(Debug)]
pub(crate) enum HeaderFound {
    Valid(SegmentHeader),
    /// A valid header of another format.
    OtherFormat(u32),
    /// Zeros: the segment was made and never used.
    Unused,
    /// The bytes are no header. If only its checksum or a number is wrong, the epoch may be right.
    Broken {
        epoch: Epoch,
    },
}

impl SegmentHeader {
    pub(crate) const BYTES: usize = 64;

    pub(crate) fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&self.format.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.generation.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.units.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.id.0);
        bytes[32..48].copy_from_slice(&self.epoch.0);
        bytes[48..56].copy_from_slice(&self.first.to_le_bytes());
        let checksum = xxh3_64(&bytes[..56]);
        bytes[56..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; Self::BYTES]) -> HeaderFound {
        if bytes.iter().all(|&byte| byte == 0) {
            return HeaderFound::Unused;
        }
        let epoch = Epoch(field(bytes, 32));
        let checksum = u64::from_le_bytes(field(bytes, 56));
        if bytes[0..4] != MAGIC || checksum != xxh3_64(&bytes[..56]) {
            return HeaderFound::Broken { epoch };
        }
        let format = u32::from_le_bytes(field(bytes, 4));
        if format != FORMAT {
            return HeaderFound::OtherFormat(format);
        }
        HeaderFound::Valid(Self {
            format,
            generation: u32::from_le_bytes(field(bytes, 8)),
            units: u32::from_le_bytes(field(bytes, 12)),
            id: LogId(field(bytes, 16)),
            epoch,
            first: u64::from_le_bytes(field(bytes, 48)),
        })
    }

    /// The segment's length in bytes.
    pub(crate) fn len(&self) -> u64 {
        u64::from(self.units) * ALIGN as u64
    }
}

/// `N` bytes from `at` on; zeros where there are none.
pub(crate) fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut field = [0; N];
    if let Some(found) = bytes.get(at..at + N) {
        field.copy_from_slice(found);
    }
    field
}
