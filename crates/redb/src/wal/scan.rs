//! Finding the batches in the bytes of a segment.

use super::batch::{self, HEADER, Kind};
use super::error::Torn;
use super::format::{ALIGN, Epoch, Position};

/// A valid batch of edits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    /// Where the batch begins.
    pub(super) at: usize,
    pub(super) payload_len: usize,
    pub(super) position: Position,
    pub(super) count: u32,
}

impl Item {
    pub(super) fn payload_at(&self) -> usize {
        self.at + HEADER
    }

    /// The batch with its padding.
    pub(super) fn range(&self) -> std::ops::Range<usize> {
        self.at..self.at + batch::padded(self.payload_len)
    }

    pub(super) fn payload(&self) -> std::ops::Range<usize> {
        self.payload_at()..self.payload_at() + self.payload_len
    }
}

/// How a run of batches ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The log goes on in another segment; the batch that says so is here.
    Continues(usize),
    /// The next batch would begin here, and there is no valid one.
    Open(usize),
}

/// A run of batches without a gap.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) batches: Vec<Item>,
    pub(super) end: End,
    /// The position after the last batch.
    pub(super) next: Position,
}

/// Reads batches from `at` on, the first at position `next`.
pub(super) fn walk(bytes: &[u8], mut at: usize, mut next: Position, epoch: Epoch) -> Walk {
    let mut batches = Vec::new();
    let end = loop {
        let found = bytes.get(at..).and_then(|rest| batch::decode(rest, epoch));
        let Some((header, len)) = found.filter(|(header, _)| header.position == next) else {
            break End::Open(at);
        };
        match header.kind {
            Kind::Continues => break End::Continues(at),
            Kind::Seal => {}
            Kind::Edits => {
                let payload_len = header.payload_len as usize;
                batches.push(Item { at, payload_len, position: next, count: header.count });
                next = next.saturating_add(1);
            }
        }
        at += len;
    };
    Walk { batches, end, next }
}

/// The first valid batch at or after `at` whose position is `least` or higher: where it is, and
/// its position.
pub(super) fn find(
    bytes: &[u8],
    at: usize,
    least: Position,
    epoch: Epoch,
) -> Option<(usize, Position)> {
    (at..bytes.len()).step_by(ALIGN).find_map(|at| {
        let (header, _) = batch::decode(&bytes[at..], epoch)?;
        (header.position >= least).then_some((at, header.position))
    })
}

/// Whether the run that ends at `at` ends in a batch that is not whole. A log that ends in order
/// has zeros there.
pub(super) fn torn(name: &str, bytes: &[u8], at: usize, epoch: Epoch) -> Option<Torn> {
    let rest = bytes.get(at..).unwrap_or_default();
    if rest.iter().take(ALIGN).all(|&byte| byte == 0) {
        return None;
    }
    let len = batch::decode_header(rest, epoch)
        .and_then(|header| usize::try_from(header.payload_len).ok())
        .map_or(ALIGN, batch::padded);
    Some(Torn { name: name.to_owned(), offset: at as u64, bytes: len as u64 })
}
