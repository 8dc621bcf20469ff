//! Segments that become free, and their cost.

use super::super::batch::{HEADER, MAX_PAYLOAD, padded};
use super::super::format::FIRST;
use super::super::log::RESERVE;
use super::super::storage::LogStorage;
use super::disk::Disk;
use super::{AppendError, CONFIG, ID, LogConfig, Position, Seeded, append, begin, begin_on};
use super::{open_after, read_payload, recover};
use std::io::ErrorKind;
use std::sync::Arc;

#[test]
fn an_append_is_one_write_and_one_sync_and_no_longer_than_it_must_be() {
    let random = Seeded::new(1);
    let disk = Disk::default();
    let mut log = begin_on(&disk, &random);
    for len in [1, 31, 32, 33, 300] {
        let at = log.used_bytes();
        let before = disk.writes_and_syncs();
        append(&mut log, &vec![1; len]).unwrap();
        let after = disk.writes_and_syncs();
        assert_eq!((after.0 - before.0, after.1 - before.1), (1, 1));
        assert!(log.used_bytes() - at < 32 + len as u64 + 64);
    }
    // All of the segment that is full, and what is written of the next one.
    let batches = [1, 31, 32, 33, 300].map(padded).iter().sum::<usize>();
    assert_eq!(log.used_bytes(), (FIRST + batches) as u64);
    append(&mut log, &[1; 800]).unwrap();
    assert_eq!(log.used_bytes(), CONFIG.segment_bytes + (FIRST + padded(800)) as u64);
}

#[test]
fn released_segments_are_used_again_and_the_disk_stays_small() {
    let random = Seeded::new(2);
    let disk = Disk::default();
    let mut log = begin_on(&disk, &random);
    for position in 1..=200 {
        append(&mut log, &[position as u8; 300]).unwrap();
        log.release(position);
    }
    let segments = disk.list().unwrap();
    assert!(segments.len() <= 3, "{segments:?}");
}

/// While somebody holds the segment of a batch, the batch stays.
#[test]
fn a_segment_with_a_reader_is_not_used_again() {
    let random = Seeded::new(3);
    let disk = Disk::default();
    let mut log = begin_on(&disk, &random);
    let reader = append(&mut log, &[77; 300]).unwrap();
    let mut used = Vec::new();
    for position in 2..100 {
        let appended = append(&mut log, &[1; 300]).unwrap();
        log.release(position);
        used.push(appended.segment.number());
    }
    assert_eq!(read_payload(&reader.segment, reader.payload_at, 300), [77; 300]);
    let number = reader.segment.number();
    drop(reader);
    used.clear();
    for position in 100..120 {
        let appended = append(&mut log, &[1; 300]).unwrap();
        log.release(position);
        used.push(appended.segment.number());
    }
    assert!(used.contains(&number), "a segment without readers is used again");
}

/// A reader of the log before it was opened again has a handle of its own.
#[test]
fn opening_the_log_again_does_not_disturb_a_reader() {
    let random = Seeded::new(4);
    let disk = Disk::default();
    let mut log = begin_on(&disk, &random);
    let readers: Vec<_> = (1..=9).map(|i| append(&mut log, &[i; 300]).unwrap()).collect();
    drop(log);
    let mut log = open_after(&disk, 0, &random).unwrap().log;
    for position in 10..=60 {
        append(&mut log, &[99; 300]).unwrap();
        log.release(position);
    }
    for (reader, i) in readers.iter().zip(1..) {
        assert_eq!(read_payload(&reader.segment, reader.payload_at, 300), [i; 300]);
    }
}

/// After a failed sync, the segment is never written again, by this log or by the next one.
#[test]
fn a_failed_sync_ends_the_segment() {
    let random = Seeded::new(5);
    let disk = Disk::default();
    let mut log = begin_on(&disk, &random);
    let segment = append(&mut log, b"one").unwrap().segment;
    disk.lose_next_sync();
    assert!(matches!(append(&mut log, b"two"), Err(AppendError::Failed(_))));
    let before = disk.writes_and_syncs();
    assert!(matches!(append(&mut log, b"two again"), Err(AppendError::Failed(_))));
    assert!(matches!(log.seal(), Err(AppendError::Failed(_))));
    assert!(log.scrub(1).is_err());
    assert_eq!(disk.writes_and_syncs(), before);
    let bytes = segment.read(0, segment.len() as usize).unwrap();
    // The process cannot know that the cache lies: what it shows, it must make durable first.
    let opened = open_after(&disk, 0, &random).unwrap();
    assert_eq!(opened.batches, [(1, b"one".to_vec()), (2, b"two".to_vec())]);
    let mut log = opened.log;
    assert_ne!(append(&mut log, b"three").unwrap().segment.number(), segment.number());
    assert_eq!(segment.read(0, segment.len() as usize).unwrap(), bytes);
    disk.lose_power(&random);
    let batches = open_after(&disk, 0, &random).unwrap().batches;
    let texts: Vec<&[u8]> = batches.iter().map(|(_, text)| &text[..]).collect();
    assert_eq!(texts, [&b"one"[..], b"two", b"three"]);
}

#[test]
fn a_full_disk_refuses_a_batch_and_changes_nothing() {
    let random = Seeded::new(6);
    let disk = Disk::default();
    let mut log = begin_on(&disk, &random);
    append(&mut log, &[1; 600]).unwrap();
    disk.set_full(true);
    assert!(matches!(append(&mut log, &[2; 600]), Err(AppendError::Refused(_))));
    append(&mut log, &[2; 10]).unwrap();
    disk.set_full(false);
    append(&mut log, &[3; 5000]).unwrap();
    let batches = open_after(&disk, 0, &random).unwrap().batches;
    let lens: Vec<_> = batches.iter().map(|(at, payload)| (*at, payload.len())).collect();
    assert_eq!(lens, [(1, 600), (2, 10), (3, 5000)]);
}

/// A batch that is longer than a segment has a segment of its own, which is not kept.
#[test]
fn a_segment_of_another_size_is_removed_when_it_is_free() {
    let random = Seeded::new(7);
    let disk = Disk::default();
    let mut log = begin_on(&disk, &random);
    let huge = append(&mut log, &[1; 9000]).unwrap().segment.number();
    append(&mut log, &[2; 9000]).unwrap();
    append(&mut log, &[3; 300]).unwrap();
    assert!(disk.list().unwrap().contains(&huge));
    log.release(1);
    assert!(!disk.list().unwrap().contains(&huge));
    assert_eq!(open_after(&disk, 1, &random).unwrap().batches.len(), 2);
}

#[test]
fn scrubbing_leaves_no_byte_of_a_payload() {
    let random = Seeded::new(8);
    let disk = Disk::default();
    let mut log = begin_on(&disk, &random);
    for i in 1..=20 {
        append(&mut log, &[0xAB; 400]).unwrap();
        log.release(i / 2);
    }
    let next = log.next();
    log.scrub(20).unwrap();
    let scrubbed = |disk: &Disk| {
        let numbers = disk.list().unwrap();
        assert_eq!(numbers.len(), 1);
        assert!(!disk.bytes(numbers[0]).windows(8).any(|bytes| bytes == [0xAB; 8]));
    };
    scrubbed(&disk);
    log.scrub(20).unwrap();
    scrubbed(&disk);
    append(&mut log, b"after").unwrap();
    assert_eq!(open_after(&disk, 20, &random).unwrap().batches, [(next, b"after".to_vec())]);
}

/// Batches that are not flushed survive a scrub.
#[test]
fn scrubbing_keeps_batches_that_are_needed() {
    let random = Seeded::new(9);
    let disk = Disk::default();
    let mut log = begin_on(&disk, &random);
    for i in 1..=9 {
        append(&mut log, &[i; 300]).unwrap();
    }
    log.scrub(4).unwrap();
    let positions = |flushed: Position| -> Vec<_> {
        let opened = open_after(&disk.copy(), flushed, &random).unwrap();
        opened.batches.iter().map(|(position, _)| *position).collect()
    };
    assert_eq!(positions(4), [5, 6, 7, 8, 9]);
}

/// A log at its limit takes a batch again when everything is flushed, however long the batch is.
#[test]
fn room_returns_with_the_flush() {
    let random = Seeded::new(10);
    let disk = Disk::default();
    let config = LogConfig { limit_bytes: 4 * CONFIG.segment_bytes, ..CONFIG };
    let storage = Arc::new(disk);
    let mut log = begin(storage, ID, 1, config, random).unwrap();
    let mut appended = 0;
    while log.has_room(300) {
        append(&mut log, &[1; 300]).unwrap();
        appended += 1;
        assert!(appended < 20, "the limit is not kept");
    }
    assert!(appended >= 6);
    assert!(!log.has_room(100_000));
    log.release(appended);
    assert!(log.has_room(300) && log.has_room(100_000));
}

/// Segments that readers held for long do not fill the disk afterwards.
#[test]
fn free_segments_stay_within_the_limit() {
    let random = Seeded::new(12);
    let disk = Disk::default();
    let config = LogConfig { limit_bytes: 4 * CONFIG.segment_bytes, ..CONFIG };
    let storage = Arc::new(disk.clone());
    let mut log = begin(storage, ID, 1, config, random).unwrap();
    let mut readers = Vec::new();
    for position in 1..=60 {
        readers.push(append(&mut log, &[position as u8; 300]).unwrap());
        log.release(position);
        assert!(disk.list().unwrap().len() <= 4);
    }
    for (reader, position) in readers.iter().zip(1..) {
        assert_eq!(read_payload(&reader.segment, reader.payload_at, 300), [position; 300]);
    }
}

/// A seal is one batch, and only after a batch of edits.
#[test]
fn a_log_is_sealed_once() {
    let random = Seeded::new(11);
    let disk = Disk::default();
    let mut log = begin_on(&disk, &random);
    let writes = || disk.writes_and_syncs().0;
    let before = writes();
    log.seal().unwrap();
    assert_eq!(writes(), before);
    append(&mut log, b"one").unwrap();
    assert!(!log.is_sealed());
    log.seal().unwrap();
    log.seal().unwrap();
    assert!(log.is_sealed());
    assert_eq!(writes(), before + 2);
    append(&mut log, b"two").unwrap();
    let opened = open_after(&disk, 0, &random).unwrap();
    assert_eq!(opened.batches, [(1, b"one".to_vec()), (2, b"two".to_vec())]);
    assert!(opened.log.is_sealed());
}

/// What the tables have, they keep: an earlier position that is told later takes nothing back.
#[test]
fn the_flushed_position_never_goes_back() {
    let random = Seeded::new(13);
    let disk = Disk::default();
    let config = LogConfig { limit_bytes: 2 * CONFIG.segment_bytes, ..CONFIG };
    let mut log = begin(Arc::new(disk), ID, 1, config, random).unwrap();
    for _ in 1..=4 {
        append(&mut log, &[1; 300]).unwrap();
    }
    assert!(!log.has_room(100_000));
    log.release(4);
    log.release(1);
    assert!(log.has_room(100_000), "the log waits for a flush of what is flushed");
    assert!(log.used_bytes() < CONFIG.segment_bytes);
}

/// The kernel may cache a segment in large units, and would count a whole unit as written for each
/// small batch in it.
#[test]
fn the_cached_bytes_of_a_segment_go_before_it_is_used_again() {
    let random = Seeded::new(14);
    let disk = Disk::default();
    let config = LogConfig { limit_bytes: 4 * CONFIG.segment_bytes, ..CONFIG };
    let mut log = begin(Arc::new(disk.clone()), ID, 1, config, random).unwrap();
    let mut used = Vec::new();
    for position in 1..=20 {
        let number = append(&mut log, &[1; 300]).unwrap().segment.number();
        if used.last() != Some(&number) {
            used.push(number);
        }
        log.release(position);
    }
    let again = (0..used.len()).filter(|at| used[..*at].contains(&used[*at]));
    let again: Vec<_> = again.map(|at| used[at]).collect();
    assert!(again.len() > 3);
    assert_eq!(disk.forgotten(), again);
}

/// A segment takes a batch only with room for the seal and for the batch that names the next
/// segment; a batch that leaves none has a segment of its own, as long as that takes.
#[test]
fn each_batch_has_room_for_a_seal_and_a_successor_behind_it() {
    let usual = usize::try_from(CONFIG.segment_bytes).unwrap();
    for payload in usual - 1000..usual + 200 {
        let random = Seeded::new(17);
        let disk = Disk::default();
        let mut log = begin_on(&disk, &random);
        let appended = append(&mut log, &vec![1; payload]).unwrap();
        let needed = FIRST + padded(payload) + RESERVE;
        let len = usize::try_from(appended.segment.len()).unwrap();
        assert_eq!(len, if needed <= usual { usual } else { needed.next_multiple_of(4096) });
        log.seal().unwrap();
        append(&mut log, &[2; 1400]).unwrap();
        assert_eq!(open_after(&disk, 0, &random).unwrap().batches.len(), 2, "{payload}");
    }
}

/// At the limit of the log there is room for what the current segment takes, and for nothing else.
#[test]
fn the_room_at_the_limit_is_that_of_the_current_segment() {
    let random = Seeded::new(18);
    let config = LogConfig { limit_bytes: CONFIG.segment_bytes, ..CONFIG };
    let mut log = begin(Arc::new(Disk::default()), ID, 1, config, random).unwrap();
    append(&mut log, &[1; 300]).unwrap();
    for payload in 0..1000 {
        let end = FIRST + padded(300) + padded(payload) + RESERVE;
        let fits = end as u64 <= CONFIG.segment_bytes;
        assert_eq!(log.has_room(payload as u64), fits, "{payload}");
    }
}

/// The longest payload is the longest whose batch has a length of 32 bits, with room to spare. No
/// byte of either buffer is touched.
#[cfg(target_pointer_width = "64")]
#[test]
fn a_batch_beyond_the_format_is_refused_before_anything_is_written() {
    let random = Seeded::new(15);
    let disk = Disk::default();
    let mut log = begin_on(&disk, &random);
    disk.set_full(true);
    let before = disk.writes_and_syncs();
    let mut refused = |payload: usize| match log.append(&mut vec![0; HEADER + payload], 1) {
        Err(AppendError::Refused(error)) => error.kind(),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(MAX_PAYLOAD), ErrorKind::StorageFull);
    assert_eq!(refused(MAX_PAYLOAD + 1), ErrorKind::InvalidInput);
    assert!(u32::try_from(padded(MAX_PAYLOAD)).is_ok());
    assert!(matches!(log.append(&mut vec![0; HEADER - 1], 1), Err(AppendError::Refused(_))));
    assert_eq!(disk.writes_and_syncs(), before);
    disk.set_full(false);
    assert_eq!(append(&mut log, b"next").unwrap().position, 1);
}

/// A store whose disk is full is opened all the same: its log then begins in a smaller segment.
#[test]
fn a_log_is_opened_on_a_disk_without_room_for_a_whole_segment() {
    let random = Seeded::new(16);
    let config = LogConfig { segment_bytes: 64 << 10, ..CONFIG };
    let disk = Disk::default();
    let mut log = begin(Arc::new(disk.clone()), ID, 1, config, random.clone()).unwrap();
    append(&mut log, &[1; 300]).unwrap();
    append(&mut log, &[2; 900]).unwrap();
    drop(log);
    let open = |room: usize, flushed: Position| {
        let disk = disk.copy();
        disk.set_room(Some(room as u64));
        let mut shown = Vec::new();
        let storage = Arc::new(disk.clone());
        let recovered = recover(storage, ID, flushed, config, random.clone(), |batch| {
            shown.push(batch.position);
            Ok(())
        });
        recovered.map(|recovered| (disk, recovered.log, shown))
    };
    let seal = padded(0);
    let least = FIRST + padded(300) + padded(900) + seal + RESERVE;
    assert!(open(least - 1, 0).is_err());
    let (full, mut log, shown) = open(least, 0).unwrap();
    assert_eq!(shown, [1, 2]);
    assert!(matches!(append(&mut log, &[3; 100]), Err(AppendError::Refused(_))));
    full.set_full(false);
    assert_eq!(append(&mut log, &[3; 100]).unwrap().position, 3);
    // With nothing to copy, a small segment takes the first changes.
    assert!(open((16 << 10) - 1, 2).is_err());
    let (_, mut log, shown) = open(16 << 10, 2).unwrap();
    assert!(shown.is_empty());
    assert_eq!(append(&mut log, &[3; 100]).unwrap().position, 3);
}
