//! Reading without writing.

use super::super::read_only;
use super::super::storage::LogStorage;
use super::disk::Disk;
use super::{ID, LogError, LogId, Position, Seeded, append, begin_on, open_after};

/// The positions that can be read, the damage, and the last position.
fn read(disk: &Disk, flushed: Position) -> (Vec<Position>, Vec<(Position, Option<Position>)>) {
    let before = disk.writes_and_syncs();
    let segments = disk.list().unwrap();
    let (mut positions, mut damage) = (Vec::new(), Vec::new());
    let read = read_only(
        disk,
        ID,
        flushed,
        |batch| {
            assert!(batch.payload.iter().all(|byte| u64::from(*byte) == batch.position));
            positions.push(batch.position);
            Ok(())
        },
        |found| damage.push((found.expected, found.found)),
    )
    .unwrap();
    assert!(positions.last().is_none_or(|last| *last == read.last));
    assert_eq!(disk.writes_and_syncs(), before);
    assert_eq!(disk.list().unwrap(), segments);
    (positions, damage)
}

fn written() -> (Disk, Vec<(u32, usize)>) {
    let random = Seeded::new(1);
    let disk = Disk::default();
    let mut log = begin_on(&disk, &random);
    let places = (1..=12).map(|position| {
        let appended = append(&mut log, &[position; 300]).unwrap();
        (appended.segment.number(), appended.payload_at as usize)
    });
    let places = places.collect();
    (disk, places)
}

#[test]
fn a_whole_log_is_read_whole() {
    let (disk, _) = written();
    assert_eq!(read(&disk, 0), ((1..=12).collect(), vec![]));
    assert_eq!(read(&disk, 5), ((6..=12).collect(), vec![]));
}

/// One damaged batch costs that batch alone, and is reported.
#[test]
fn reading_goes_on_after_a_damaged_batch() {
    let (disk, places) = written();
    for position in 1..12u64 {
        let (number, at) = places[position as usize - 1];
        for at in [at, at - 20] {
            let disk = disk.copy();
            disk.edit(number, |bytes| bytes[at] ^= 1);
            let (positions, damage) = read(&disk, 0);
            assert_eq!(positions, (1..=12).filter(|p| *p != position).collect::<Vec<_>>());
            assert_eq!(damage.len(), 1, "{position}: {damage:?}");
            assert_eq!(damage[0].0, position);
        }
    }
}

/// A damaged header costs nothing if the epoch in it is right, and the segment otherwise.
#[test]
fn reading_goes_on_after_a_damaged_header() {
    let (disk, places) = written();
    let (number, _) = places[5];
    let all: Vec<Position> = (1..=12).collect();
    let others = |at: &u64| places[*at as usize - 1].0 != number;
    for at in 0..64 {
        let disk = disk.copy();
        disk.edit(number, |bytes| bytes[at] ^= 1);
        let (positions, damage) = read(&disk, 0);
        if (32..48).contains(&at) {
            assert_eq!(positions, all.iter().copied().filter(others).collect::<Vec<_>>());
        } else {
            assert_eq!(positions, all);
        }
        assert!(!damage.is_empty(), "{at}");
    }
}

#[test]
fn a_missing_segment_is_reported() {
    let (disk, places) = written();
    for removed in [places[0].0, places[5].0, places[11].0] {
        let disk = disk.copy();
        disk.remove(removed).unwrap();
        let (positions, damage) = read(&disk, 0);
        let left = (1..=12u64).filter(|at| places[*at as usize - 1].0 != removed);
        assert_eq!(positions, left.collect::<Vec<_>>());
        assert_eq!(damage.len(), 1, "{damage:?}");
    }
}

#[test]
fn a_log_that_ends_before_the_tables_is_reported() {
    let (disk, _) = written();
    assert_eq!(read(&disk, 15), (vec![], vec![(13, None)]));
    let empty = Disk::default();
    let missing = read_only(&empty, ID, 0, |_| Ok(()), |_| {});
    assert!(matches!(missing, Err(LogError::Missing)));
}

/// A torn end, a segment that is cut and a segment of another store are reported.
#[test]
fn parts_that_are_left_out_are_reported() {
    let (disk, places) = written();
    let (number, at) = places[11];
    let torn = disk.copy();
    torn.edit(number, |bytes| bytes[at] ^= 1);
    let end = read_only(&torn, ID, 0, |_| Ok(()), |damage| panic!("{damage:?}")).unwrap();
    assert_eq!((end.last, end.torn.map(|torn| torn.name)), (11, Some(disk.name(number))));
    let cut = disk.copy();
    cut.edit(number, |bytes| bytes.truncate(bytes.len() - 512));
    assert!(!read(&cut, 0).1.is_empty());
    let mut foreign = 0;
    let other = LogId([8; 16]);
    assert!(read_only(&disk, other, 0, |_| panic!("shown"), |_| foreign += 1).is_err());
    assert_eq!(foreign, disk.list().unwrap().len());
}

/// A recovery that was interrupted leaves a copy of the newest segment beside it. Whatever the copy
/// has, the original counts.
#[test]
fn an_unfinished_copy_is_left_out() {
    let (disk, places) = written();
    let (segments, newest) = (disk.list().unwrap().len(), places[11].0);
    let first = 1 + places.iter().position(|(number, _)| *number == newest).unwrap() as Position;
    let mut copies = 0;
    for seed in 0..200 {
        let random = Seeded::new(seed);
        let disk = disk.copy();
        // The second change writes the copy, and the third syncs it.
        disk.fail_after(1 + seed % 2);
        assert!(open_after(&disk, first - 1, &random).is_err());
        disk.crash(seed % 3 == 0, &random);
        copies += disk.list().unwrap().len() - segments;
        for flushed in [0, first - 1, first] {
            assert_eq!(read(&disk, flushed), ((flushed + 1..=12).collect(), vec![]), "{seed}");
        }
    }
    assert_eq!(copies, 200);
}
