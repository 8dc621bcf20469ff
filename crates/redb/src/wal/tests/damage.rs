//! Changed, missing and forged bytes.

use super::super::batch::{self, BatchHeader, HEADER, Kind};
use super::super::catalog::Catalog;
use super::super::format::{Epoch, FIRST, HeaderFound, SegmentHeader};
use super::super::scan::{self, End};
use super::super::storage::LogStorage;
use super::disk::Disk;
use super::{CONFIG, LogError, LogId, Opened, Position, Seeded, append, begin_on, open_after};
use super::{begin, recover};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// A log of several segments, of which some are used for the second time.
struct Written {
    disk: Disk,
    random: Arc<Seeded>,
    /// Up to here the batches are flushed.
    flushed: Position,
    batches: Vec<(Position, Vec<u8>)>,
}

impl Written {
    fn new(sealed: bool) -> Self {
        let random = Seeded::new(1);
        let disk = Disk::default();
        let mut log = begin_on(&disk, &random);
        let mut batches = Vec::new();
        let mut flushed = 0;
        for position in 1..=26 {
            let payload = vec![position as u8; 60 + 17 * position as usize % 260];
            append(&mut log, &payload).unwrap();
            batches.push((position, payload));
            if position == 14 {
                flushed = 12;
                log.release(flushed);
            }
        }
        if sealed {
            log.seal().unwrap();
        }
        batches.retain(|(position, _)| *position > flushed);
        Self { disk, random, flushed, batches }
    }

    fn open(&self, disk: &Disk) -> Result<Opened, LogError> {
        open_after(disk, self.flushed, &self.random)
    }

    /// The bytes of each segment that the log needs, up to the last batch of edits, and those of
    /// that batch and all after it.
    fn needed(&self) -> BTreeMap<u32, (Range<usize>, Range<usize>)> {
        let chain = Catalog::read(&self.disk).unwrap();
        let chain = chain.into_chain(super::ID, self.flushed).unwrap().entries;
        let mut needed = BTreeMap::new();
        for (index, entry) in chain.iter().enumerate() {
            let bytes = self.disk.bytes(entry.segment.number());
            let walk = scan::walk(&bytes, FIRST, entry.header.first, entry.header.epoch);
            let (End::Continues(end) | End::Open(end)) = walk.end;
            let last = walk.batches.last().unwrap().at;
            let split = if index + 1 == chain.len() { last } else { end + 64 };
            needed.insert(entry.segment.number(), (0..split, split..end.max(split)));
        }
        assert!(needed.len() >= 4, "{needed:?}");
        needed
    }

    /// Nothing is missing.
    fn assert_whole(&self, opened: &Opened) {
        assert!(opened.batches == self.batches);
    }

    /// The last batch is missing, and nothing else.
    fn assert_one_fewer(&self, opened: &Opened) {
        assert!(opened.batches == self.batches[..self.batches.len() - 1]);
    }
}

/// Each bit of the log, flipped: refused as damaged. In the last batch of a log without a seal:
/// dropped, and reported as torn.
#[test]
fn a_flipped_bit_never_makes_a_shorter_history() {
    let written = Written::new(false);
    for (number, (before, last)) in written.needed() {
        // Nothing is stored between the header and the first batch.
        let len = written.disk.bytes(number).len();
        for at in (0..SegmentHeader::BYTES).chain(FIRST..len) {
            for bit in 0..8 {
                let disk = written.disk.copy();
                disk.edit(number, |bytes| bytes[at] ^= 1 << bit);
                match written.open(&disk) {
                    Err(LogError::Damaged { .. }) => assert!(before.contains(&at), "{number} {at}"),
                    Err(error) => panic!("byte {at} of segment {number}: {error}"),
                    Ok(opened) if last.contains(&at) => {
                        written.assert_one_fewer(&opened);
                        assert!(opened.torn.is_some(), "byte {at} of segment {number}");
                    }
                    Ok(opened) => {
                        assert!(!before.contains(&at), "byte {at} of segment {number}");
                        written.assert_whole(&opened);
                    }
                }
            }
        }
    }
}

/// A sealed log is whole. With the seal, the last batch is as safe as the others.
#[test]
fn a_flipped_bit_in_a_sealed_batch_is_damage() {
    let written = Written::new(true);
    let whole = written.open(&written.disk.copy()).unwrap();
    written.assert_whole(&whole);
    assert_eq!(whole.torn, None);
    let needed = written.needed();
    let (number, (_, last)) = needed.into_iter().find(|(_, (_, last))| !last.is_empty()).unwrap();
    for at in last.clone() {
        let disk = written.disk.copy();
        disk.edit(number, |bytes| bytes[at] ^= 4);
        match written.open(&disk) {
            Err(LogError::Damaged { .. }) => assert!(at < last.end - 64),
            Err(error) => panic!("{error}"),
            Ok(opened) => {
                assert!(at >= last.end - 64, "byte {at}");
                written.assert_whole(&opened);
                assert!(opened.torn.is_some());
            }
        }
    }
}

/// Power was lost while the header of a segment was written: no batch is in it, and none is missed.
#[test]
fn a_torn_header_of_an_unused_segment_is_ignored() {
    let written = Written::new(false);
    let used = *written.needed().keys().next().unwrap();
    for torn_at in 1..SegmentHeader::BYTES {
        for old in [vec![0; 1536], written.disk.bytes(used)] {
            let disk = written.disk.copy();
            disk.create(99, 1536).unwrap();
            disk.edit(99, |bytes| {
                bytes.copy_from_slice(&old);
                bytes[..torn_at].fill(0xEE);
            });
            written.assert_whole(&written.open(&disk).unwrap());
            assert!(!disk.list().unwrap().contains(&99), "the segment is still there");
        }
    }
}

/// Two batches of the same length in each other's place, both with valid checksums.
#[test]
fn batches_in_the_wrong_order_are_damage() {
    let random = Seeded::new(2);
    let disk = Disk::default();
    let mut log = begin_on(&disk, &random);
    let number = append(&mut log, &[1; 80]).unwrap().segment.number();
    append(&mut log, &[2; 80]).unwrap();
    disk.edit(number, |bytes| {
        let (first, second) = bytes[FIRST..].split_at_mut(128);
        first.swap_with_slice(&mut second[..128]);
    });
    assert!(matches!(open_after(&disk, 0, &random), Err(LogError::Damaged { .. })));
}

#[test]
fn a_segment_that_is_missing_or_cut_or_zero_is_noticed() {
    let written = Written::new(true);
    for (number, (before, _)) in written.needed() {
        let removed = written.disk.copy();
        removed.remove(number).unwrap();
        assert!(written.open(&removed).is_err(), "segment {number} removed");
        let cut = written.disk.copy();
        cut.edit(number, |bytes| bytes.truncate(bytes.len() - 512));
        assert!(matches!(written.open(&cut), Err(LogError::Damaged { .. })));
        let zero = written.disk.copy();
        zero.edit(number, |bytes| bytes.fill(0));
        assert!(written.open(&zero).is_err(), "segment {number} zero");
        for sector in (0..before.end - 64).step_by(512) {
            let zero = written.disk.copy();
            zero.edit(number, |bytes| bytes[sector..sector + 512].fill(0));
            assert!(written.open(&zero).is_err(), "segment {number}, sector {sector} zero");
        }
    }
}

/// The same for the only segment of a log.
#[test]
fn a_log_without_its_only_segment_is_missing_or_damaged() {
    let random = Seeded::new(3);
    let disk = Disk::default();
    let mut log = begin_on(&disk, &random);
    append(&mut log, b"one").unwrap();
    let number = disk.list().unwrap()[0];
    for bit in 0..SegmentHeader::BYTES * 8 {
        let disk = disk.copy();
        disk.edit(number, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        let opened = open_after(&disk, 0, &random);
        assert!(matches!(opened, Err(LogError::Damaged { .. })), "bit {bit}");
    }
    disk.remove(number).unwrap();
    assert!(matches!(open_after(&disk, 0, &random), Err(LogError::Missing)));
}

#[test]
fn a_partner_that_does_not_fit_is_refused() {
    let random = Seeded::new(4);
    let disk = Disk::default();
    let mut log = begin(Arc::new(disk.clone()), super::ID, 5, CONFIG, random.clone()).unwrap();
    append(&mut log, b"five").unwrap();
    append(&mut log, b"six").unwrap();
    let open = |flushed| open_after(&disk.copy(), flushed, &random).map(|opened| opened.batches);
    assert!(matches!(open(3), Err(LogError::Gap { expected: 4, found: 5 })));
    assert_eq!(open(4).unwrap().len(), 2);
    assert_eq!(open(6).unwrap().len(), 0);
    assert!(matches!(open(7), Err(LogError::Older { flushed: 7, last: 6 })));
    let other = |disk: &Disk| {
        let storage = Arc::new(disk.clone());
        recover(storage, LogId([8; 16]), 4, CONFIG, random.clone(), |_| Ok(())).err()
    };
    assert!(matches!(other(&disk), Some(LogError::Foreign { .. })));
    let again = begin(Arc::new(disk.clone()), LogId([8; 16]), 1, CONFIG, random.clone()).err();
    assert!(matches!(again, Some(LogError::Foreign { .. })));
    let number = disk.list().unwrap()[0];
    disk.edit(number, |bytes| {
        let HeaderFound::Valid(header) = SegmentHeader::decode(&bytes[..64].try_into().unwrap())
        else {
            panic!("no header");
        };
        bytes[..64].copy_from_slice(&SegmentHeader { format: 2, ..header }.encode());
    });
    assert!(matches!(other(&disk), Some(LogError::NewerFormat { found: 2, .. })));
}

/// A batch of these bytes as it was in the epoch of another use of a segment.
fn stale_batch(position: Position) -> Vec<u8> {
    let payload = b"from another epoch";
    let mut bytes = vec![0; batch::padded(payload.len())];
    bytes[HEADER..HEADER + payload.len()].copy_from_slice(payload);
    let header =
        BatchHeader { kind: Kind::Edits, position, count: 1, payload_len: payload.len() as u32 };
    batch::encode(&mut bytes, &header, Epoch([9; 16]));
    assert!(batch::decode(&bytes, Epoch([9; 16])).is_some());
    bytes
}

/// Old bytes behind the end of the log are a batch of the right position, of another epoch.
#[test]
fn a_stale_batch_is_not_taken_for_the_next_one() {
    let random = Seeded::new(5);
    let disk = Disk::default();
    let mut log = begin_on(&disk, &random);
    let appended = append(&mut log, b"one").unwrap();
    let number = appended.segment.number();
    disk.edit(number, |bytes| {
        bytes[576..704].copy_from_slice(&[stale_batch(2), stale_batch(3)].concat());
    });
    let opened = open_after(&disk, 0, &random).unwrap();
    assert_eq!(opened.batches, [(1, b"one".to_vec())]);
    assert_eq!(opened.torn.unwrap().offset, 576);
}

/// A payload that contains batches at each multiple of 64 is a payload: also when its own batch is
/// torn, and the batches in it have later positions.
#[test]
fn a_batch_in_a_payload_is_not_a_batch() {
    let forged: Vec<u8> = (2..6).flat_map(stale_batch).collect();
    let mut payload = vec![0; 64 - HEADER];
    payload.extend_from_slice(&forged);
    let random = Seeded::new(6);
    let disk = Disk::default();
    let mut log = begin_on(&disk, &random);
    let number = append(&mut log, &payload).unwrap().segment.number();
    append(&mut log, &payload).unwrap();
    let opened = open_after(&disk.copy(), 0, &random).unwrap();
    assert_eq!(opened.batches, [(1, payload.clone()), (2, payload.clone())]);
    assert_eq!(opened.torn, None);
    let torn = disk.copy();
    torn.edit(number, |bytes| bytes[FIRST + batch::padded(payload.len())] = 0);
    let opened = open_after(&torn, 0, &random).unwrap();
    assert_eq!(opened.batches, [(1, payload)]);
    assert!(opened.torn.is_some());
}

/// Recovery seals what it copies: from then on a changed byte is damage.
#[test]
fn a_recovered_batch_is_sealed() {
    let random = Seeded::new(7);
    let disk = Disk::default();
    let mut log = begin_on(&disk, &random);
    append(&mut log, &[1; 80]).unwrap();
    drop(open_after(&disk, 0, &random).unwrap());
    let number = disk.list().unwrap()[0];
    disk.edit(number, |bytes| bytes[FIRST + HEADER] ^= 1);
    assert!(matches!(open_after(&disk, 0, &random), Err(LogError::Damaged { .. })));
}

/// A batch that was flushed was acknowledged, so it cannot be torn.
#[test]
fn a_flushed_batch_that_is_not_valid_is_damage() {
    let random = Seeded::new(8);
    let disk = Disk::default();
    let mut log = begin_on(&disk, &random);
    let number = append(&mut log, &[1; 80]).unwrap().segment.number();
    disk.edit(number, |bytes| bytes[FIRST + HEADER] ^= 1);
    assert!(open_after(&disk.copy(), 0, &random).unwrap().torn.is_some());
    assert!(matches!(open_after(&disk, 1, &random), Err(LogError::Damaged { .. })));
}

/// The header of a batch has a check of its own. No other bytes are taken for a header, so that a
/// scan computes no checksum for them.
#[test]
fn a_flipped_bit_in_the_header_of_a_batch_is_seen_without_its_payload() {
    let epoch = Epoch([9; 16]);
    let batch = stale_batch(7);
    let whole = batch::decode_header(&batch, epoch);
    assert_eq!(whole.map(|header| header.position), Some(7));
    for bit in 0..batch.len() * 8 {
        let mut bad = batch.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let expected = if bit / 8 < 24 { None } else { whole };
        assert_eq!(batch::decode_header(&bad, epoch), expected, "bit {bit}");
        assert_eq!(batch::decode(&bad, epoch), None, "bit {bit}");
    }
    for byte in 0..16 {
        let mut other = epoch;
        other.0[byte] ^= 1;
        assert_eq!(batch::decode_header(&batch, other), None);
    }
}

/// Bytes that end within a batch, also far before its end, hold no batch.
#[test]
fn a_batch_that_reaches_beyond_the_segment_is_not_valid() {
    let epoch = Epoch([9; 16]);
    let batch = stale_batch(7);
    assert_eq!(batch::decode(&batch, epoch).map(|(_, len)| len), Some(batch.len()));
    for end in 0..batch.len() {
        assert_eq!(batch::decode(&batch[..end], epoch), None, "{end} bytes");
    }
    let mut forged = vec![0; 64];
    let header = BatchHeader { kind: Kind::Edits, position: 7, count: 1, payload_len: u32::MAX };
    batch::encode(&mut forged, &header, epoch);
    assert_eq!(batch::decode_header(&forged, epoch), Some(header));
    assert_eq!(batch::decode(&forged, epoch), None);
    // A log that ends in it ends in a torn batch.
    let torn = scan::torn("segment", &forged, 0, epoch).unwrap();
    assert_eq!(torn.bytes, batch::padded(u32::MAX as usize) as u64);
}

/// The segment that a batch says comes next is missing, and a later one has no batch yet.
#[test]
fn a_log_that_lacks_a_segment_in_its_middle_is_damaged() {
    let random = Seeded::new(9);
    let disk = Disk::default();
    let mut log = begin_on(&disk, &random);
    let segments = [1, 2, 3, 4].map(|i| append(&mut log, &[i; 300]).unwrap().segment.number());
    assert!(segments[0] == segments[1] && segments[1] != segments[2]);
    // A third segment is made, begun and named, and then the disk fails.
    disk.fail_after(4);
    assert!(append(&mut log, &[5; 300]).is_err());
    disk.kill();
    assert_eq!(open_after(&disk.copy(), 0, &random).unwrap().batches.len(), 4);
    disk.remove(segments[2]).unwrap();
    let opened = open_after(&disk, 0, &random);
    assert!(matches!(opened, Err(LogError::Damaged { .. })));
}
