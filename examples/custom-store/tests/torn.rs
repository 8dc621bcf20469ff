//! What the suite cannot do to this store: the power goes while a frame is written.
#![allow(clippy::unwrap_used, clippy::panic)] // Clippy knows tests, but not their helpers.

use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{
    Commit, CommitOutcome, Expect, Op, SessionStore, StoreErrorKind, TailBounds, Version,
};
use futures_executor::block_on;
use log_store::LogStore;
use std::path::Path;

const ALL: TailBounds = TailBounds { max_messages: 100, max_bytes: u64::MAX };

fn id() -> SessionId {
    SessionId::new("s").unwrap()
}

fn add(store: &LogStore, expect: Expect, texts: &[&str]) -> Version {
    let ops = texts.iter().map(|text| Op::Append(Bytes::copy_from_slice(text.as_bytes()))).collect();
    match block_on(store.commit(&id(), Commit { expect, ops, at: 1 })).unwrap() {
        CommitOutcome::Committed(head) => head.version,
        other => panic!("{other:?}"),
    }
}

fn said(path: &Path) -> Vec<Bytes> {
    let store = LogStore::open(path).unwrap();
    let loaded = block_on(store.load(&id(), ALL)).unwrap().unwrap();
    loaded.tail.into_iter().map(|row| row.body).collect()
}

#[test]
fn a_frame_cut_anywhere_never_happened_and_what_was_before_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.log");
    let store = LogStore::open(&path).unwrap();
    let version = add(&store, Expect::Absent { created_at: 1 }, &["a", "b"]);
    let before = std::fs::read(&path).unwrap().len();
    add(&store, Expect::Version(version), &["c", "d"]);
    drop(store);
    let whole = std::fs::read(&path).unwrap();
    assert_eq!(said(&path), ["a", "b", "c", "d"]);

    for cut in before..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        assert_eq!(said(&path), ["a", "b"], "cut at byte {cut} of {}", whole.len());
        // As long as it should be, but never written.
        let mut zeros = whole.clone();
        zeros[cut..].fill(0);
        std::fs::write(&path, &zeros).unwrap();
        assert_eq!(said(&path), ["a", "b"], "zeros from byte {cut} of {}", whole.len());
    }
}

#[test]
fn a_damaged_header_in_the_middle_is_an_error_and_not_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.log");
    let store = LogStore::open(&path).unwrap();
    let before = std::fs::read(&path).unwrap().len();
    add(&store, Expect::Absent { created_at: 1 }, &["a"]);
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
            assert_eq!(left, bytes, "a file that cannot be understood is left as it is");
        }
    }
}

#[test]
fn a_second_opener_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.log");
    let _store = LogStore::open(&path).unwrap();
    assert_eq!(LogStore::open(&path).unwrap_err().kind(), StoreErrorKind::Unavailable);
}
