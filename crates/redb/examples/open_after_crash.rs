//! Measures opening after a clean close and after a crash: until the first page of messages is read
//! and the first append is answered, and until the first new session is created, which waits for
//! the verification of the file.
//!
//! `cargo run --release -p durable-session-redb --example open_after_crash -- FOLDER [MEGABYTES]`
//!
//! The crash is a copy of the file and its log, taken while the store is open and idle.
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a measurement that cannot be made has to stop"
)]

use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{Commit, Expect, Op, ReadQuery, SessionStore};
use durable_session_redb::{OpenCheck, RedbStore};
use futures_executor::block_on;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const MESSAGES: usize = 500;
const BODY: [u8; 400] = [b'x'; 400];

fn append(count: usize) -> Vec<Op> {
    vec![Op::append(Bytes::from_static(&BODY)); count]
}

/// Seconds until the first read and append are answered, and until a session is created.
fn opening(path: &Path, check: OpenCheck) -> (f64, f64) {
    let session = SessionId::new("session-0").unwrap();
    let began = Instant::now();
    let store = RedbStore::builder().check(check).open(path).unwrap();
    let query = ReadQuery::forward(1, u64::MAX).max_messages(50);
    let page = block_on(store.read(&session, query)).unwrap().unwrap();
    block_on(store.commit(&session, Commit::new(page.head.expect(), append(1), 2))).unwrap();
    let known = began.elapsed().as_secs_f64();
    let new = SessionId::new(format!("new-{check:?}")).unwrap();
    block_on(store.commit(&new, Commit::new(Expect::absent(1), append(1), 1))).unwrap();
    let created = began.elapsed().as_secs_f64();
    block_on(store.close()).unwrap();
    (known, created)
}

/// Copies a file and the segments of its log.
fn copy(folder: &Path, from: &str, to: &str) {
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(rest) = name.strip_prefix(from) {
            fs::copy(folder.join(&name), folder.join(format!("{to}{rest}"))).unwrap();
        }
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| ".".into()));
    let megabytes: usize = arguments.next().map_or(256, |megabytes| megabytes.parse().unwrap());
    let folder = tempfile::tempdir_in(folder).unwrap();
    let sessions = megabytes * 1_000_000 / (MESSAGES * BODY.len());

    let store = RedbStore::open(folder.path().join("store.redb")).unwrap();
    for n in 0..sessions {
        let id = SessionId::new(format!("session-{n}")).unwrap();
        block_on(store.commit(&id, Commit::new(Expect::absent(1), append(MESSAGES), 1))).unwrap();
    }
    // A copy during a flush would be torn in ways in which no crash tears it.
    let mut before = None;
    while before != Some(store.stats()) {
        before = Some(store.stats());
        std::thread::sleep(Duration::from_secs(1));
    }
    copy(folder.path(), "store.redb", "crashed.redb");
    block_on(store.close()).unwrap();
    let size = fs::metadata(folder.path().join("store.redb")).unwrap().len() as f64 / 1e6;
    println!("{size:.0} MB");
    for check in [OpenCheck::Background, OpenCheck::First, OpenCheck::Skip] {
        for stop in ["store", "crashed"] {
            copy(folder.path(), &format!("{stop}.redb"), &format!("{stop}-{check:?}.redb"));
            let path = folder.path().join(format!("{stop}-{check:?}.redb"));
            let (known, created) = opening(&path, check);
            println!("  {check:?}, {stop}: {known:.3} s, a new session after {created:.3} s");
        }
    }
}
