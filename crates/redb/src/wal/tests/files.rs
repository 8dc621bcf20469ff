//! Segments in files.

use super::super::storage::LogStorage;
use super::super::{InMemoryLog, LogFiles, used_segment};
use super::disk::Disk;
use super::{LogError, Seeded, append, begin_on, open_after};
use std::io::ErrorKind;
use std::path::Path;

#[test]
fn segments_are_files_beside_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.redb");
    let files = LogFiles::beside(&path);
    assert!(files.list().unwrap().is_empty());
    let segment = files.create(1, 8192).unwrap();
    assert_eq!(segment.len().unwrap(), 8192);
    assert_eq!(files.name(1), "chat.redb-wal.1");
    assert!(folder.path().join("chat.redb-wal.1").exists());
    assert_eq!(files.create(1, 8192).unwrap_err().kind(), ErrorKind::AlreadyExists);
    segment.write(100, b"hello").unwrap();
    segment.sync().unwrap();
    files.forget_cached(1).unwrap();
    let mut read = [0; 7];
    files.open(1).unwrap().read(99, &mut read).unwrap();
    assert_eq!(&read, b"\0hello\0");
    let beyond = segment.read(8190, &mut read).unwrap_err();
    assert_eq!(beyond.kind(), ErrorKind::UnexpectedEof);
    for other in [
        "chat.redb-wal.01",
        "chat.redb-wal.+2",
        "chat.redb-wal.x",
        "chat.redb-wal.",
        "other.redb-wal.3",
        "chat.redb",
    ] {
        std::fs::write(folder.path().join(other), "").unwrap();
    }
    files.create(12, 64).unwrap();
    let mut numbers = files.list().unwrap();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 12]);
    files.remove(1).unwrap();
    assert_eq!(files.list().unwrap(), [12]);
    // A reader of a removed segment still reads it.
    segment.read(99, &mut read).unwrap();
    assert_eq!(&read, b"\0hello\0");
    assert_eq!(files.open(1).unwrap_err().kind(), ErrorKind::NotFound);
}

/// Space is reserved when a segment is made, so that an append never runs out of it.
#[cfg(target_os = "linux")]
#[test]
fn a_segment_has_its_space_from_the_beginning() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let files = LogFiles::beside(&folder.path().join("chat.redb"));
    files.create(1, 1 << 20).unwrap();
    let blocks = std::fs::metadata(files.path(1)).unwrap().blocks();
    assert!(blocks * 512 >= 1 << 20);
}

#[test]
fn a_path_without_a_folder_is_in_the_current_one() {
    let files = LogFiles::beside(Path::new("chat.redb"));
    assert_eq!(files.path(3), Path::new("./chat.redb-wal.3"));
}

#[test]
fn files_that_are_opened_to_read_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.redb");
    LogFiles::beside(&path).create(1, 4096).unwrap();
    let files = LogFiles::read_only(&path);
    let segment = files.open(1).unwrap();
    assert_eq!(segment.len().unwrap(), 4096);
    assert!(segment.write(0, b"x").is_err());
    assert_eq!(files.create(2, 64).unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(files.remove(1).unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(files.list().unwrap(), [1]);
}

fn append_and_open_again(storage: &(impl LogStorage + Clone + 'static)) {
    let random = Seeded::new(1);
    assert_eq!(used_segment(storage).unwrap(), None);
    let mut log = begin_on(storage, &random);
    for i in 1..=30 {
        append(&mut log, &[i; 300]).unwrap();
        log.release(u64::from(i) / 2);
    }
    drop(log);
    assert!(used_segment(storage).unwrap().is_some());
    let opened = open_after(storage, 15, &random).unwrap();
    let expected: Vec<_> = (16..=30u8).map(|i| (u64::from(i), vec![i; 300])).collect();
    assert_eq!(opened.batches, expected);
    assert_eq!(opened.torn, None);
    let mut log = opened.log;
    log.scrub(30).unwrap();
    assert_eq!(storage.list().unwrap().len(), 1);
    assert!(matches!(open_after(storage, 31, &random), Err(LogError::Older { .. })));
}

/// No store is made beside a segment that a store has used, also if its header cannot be read.
#[test]
fn a_segment_with_a_header_of_any_kind_is_used() {
    let disk = Disk::default();
    disk.create(1, 4096).unwrap();
    disk.create(2, 10).unwrap();
    assert_eq!(used_segment(&disk).unwrap(), None, "made and never used");
    let random = Seeded::new(2);
    let mut log = begin_on(&disk, &random);
    let number = append(&mut log, b"one").unwrap().segment.number();
    let name = Some(disk.name(number));
    assert_eq!(used_segment(&disk).unwrap(), name);
    let bad = disk.copy();
    bad.edit(number, |bytes| bytes[0] ^= 1);
    assert_eq!(used_segment(&bad).unwrap(), name);
}

#[test]
fn a_log_lives_in_files() {
    let folder = tempfile::tempdir().unwrap();
    append_and_open_again(&LogFiles::beside(&folder.path().join("chat.redb")));
}

#[test]
fn a_log_lives_in_memory() {
    append_and_open_again(&InMemoryLog::default());
}
