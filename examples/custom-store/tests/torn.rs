//! Tests beyond the suite: a power loss while a frame is written, and opening a restored copy
//! again.
#![allow(clippy::unwrap_used, clippy::panic)] // Clippy knows tests, but not their helpers.

use bytes::Bytes;
use durable_session::SessionId;
use durable_session::env::SystemRandom;
use durable_session::store::{
    ChunkQuery, Commit, CommitOutcome, Expect, ExtendOutcome, Extension, Head, LoadQuery, Loaded,
    NewMessage, Op, ReplyOpening, SessionStore, StoreErrorKind, TailBounds,
};
use futures_executor::block_on;
use log_store::LogStore;
use std::path::Path;

fn id() -> SessionId {
    SessionId::new("s").unwrap()
}

fn commit(store: &LogStore, expect: Expect, ops: Vec<Op>) -> Head {
    match block_on(store.commit(&id(), Commit::new(expect, ops, 1))).unwrap() {
        CommitOutcome::Committed(head) => head,
        other => panic!("{other:?}"),
    }
}

fn add(store: &LogStore, expect: Expect, texts: &[&'static str]) -> Head {
    commit(store, expect, texts.iter().map(|&text| Op::append(Bytes::from(text))).collect())
}

fn load(store: &LogStore) -> Loaded {
    let query = LoadQuery::new(TailBounds::new(100, u64::MAX));
    block_on(store.load(&id(), query)).unwrap().loaded().unwrap()
}

fn said(path: &Path) -> Vec<Bytes> {
    load(&LogStore::open(path).unwrap()).tail.into_iter().map(|row| row.body).collect()
}

#[test]
fn a_frame_cut_anywhere_is_dropped_and_earlier_ones_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.log");
    let store = LogStore::open(&path).unwrap();
    let head = add(&store, Expect::absent(1), &["a", "b"]);
    let before = std::fs::read(&path).unwrap().len();
    add(&store, head.expect(), &["c", "d"]);
    drop(store);
    let whole = std::fs::read(&path).unwrap();
    assert_eq!(said(&path), ["a", "b", "c", "d"]);

    for cut in before..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        assert_eq!(said(&path), ["a", "b"], "cut at byte {cut} of {}", whole.len());
        // The file has its full length, but the rest was not written.
        let mut zeros = whole.clone();
        zeros[cut..].fill(0);
        std::fs::write(&path, &zeros).unwrap();
        assert_eq!(said(&path), ["a", "b"], "zeros from byte {cut} of {}", whole.len());
    }
}

#[test]
fn chunks_of_a_frame_cut_anywhere_are_dropped_and_earlier_ones_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.log");
    let store = LogStore::open(&path).unwrap();
    let claim = store.opening().unwrap().claim(&SystemRandom).unwrap();
    let opens = NewMessage::plain(Bytes::new()).opening(ReplyOpening::new(claim, "text"));
    commit(&store, Expect::absent(1), vec![Op::Append(opens)]);
    let extend = |offset, chunks: &[&'static str]| {
        let chunks = chunks.iter().copied().map(Bytes::from).collect();
        let outcome =
            block_on(store.extend(&id(), Extension::new(1, claim, offset, chunks))).unwrap();
        assert!(matches!(outcome, ExtendOutcome::Extended(_)), "{outcome:?}");
        std::fs::read(&path).unwrap()
    };
    let before = extend(0, &["a", "b"]).len();
    let whole = extend(2, &["c", "d"]);
    drop(store);

    for cut in before..=whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let store = LogStore::open(&path).unwrap();
        let page = block_on(store.read_chunks(&id(), ChunkQuery::from(1, 0))).unwrap().unwrap();
        let came: &[&str] = if cut < whole.len() { &["a", "b"] } else { &["a", "b", "c", "d"] };
        assert_eq!(page.chunks, came, "cut at byte {cut} of {}", whole.len());
        assert_eq!(page.reply.counts.chunks, came.len() as u64);
        assert_eq!(load(&store).replies, [page.reply], "cut at byte {cut} of {}", whole.len());
    }
}

#[test]
fn a_damaged_header_in_the_middle_is_an_error_and_not_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.log");
    let store = LogStore::open(&path).unwrap();
    let before = std::fs::read(&path).unwrap().len();
    add(&store, Expect::absent(1), &["a"]);
    drop(store);
    drop(LogStore::open(&path).unwrap());
    let whole = std::fs::read(&path).unwrap();
    // The two lengths, the checksum and the beginning of the header.
    for byte in before..before + 20 {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[byte] ^= 1 << bit;
            std::fs::write(&path, &bytes).unwrap();
            let error = LogStore::open(&path).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Corrupt, "bit {bit} of byte {byte}");
            let left = std::fs::read(&path).unwrap();
            assert_eq!(left, bytes, "a damaged file is not changed");
        }
    }
}

#[test]
fn a_restored_copy_has_new_versions_and_keeps_them() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("sessions.log"), folder.path().join("copy.log"));
    let store = LogStore::open(&path).unwrap();
    let head = add(&store, Expect::absent(1), &["a"]);
    // While the store is open.
    std::fs::copy(&path, &copy).unwrap();
    let lost = add(&store, head.expect(), &["lost"]);

    let restored = LogStore::open_restored(&copy).unwrap();
    let version = load(&restored).head.version;
    let kept = add(&restored, load(&restored).head.expect(), &["kept"]).version;
    assert!(version != head.version && kept != lost.version);
    drop(restored);
    assert_eq!(load(&LogStore::open(&copy).unwrap()).head.version, kept, "opened again");
    assert_ne!(load(&LogStore::open_restored(&copy).unwrap()).head.version, kept, "restored again");
}

#[test]
fn opening_a_file_twice_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.log");
    let _store = LogStore::open(&path).unwrap();
    assert_eq!(LogStore::open(&path).unwrap_err().kind(), StoreErrorKind::Unavailable);
}
