//! How long opening takes after a clean close and after a crash, at both levels of durability, with every page checked
//! and without.
//!
//! `cargo run --release -p durable-session-redb --example open_after_crash -- FOLDER [MEGABYTES]`
//!
//! The crash is a copy of the file taken while the store is open and nothing is being written.
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a measurement that cannot be made has to stop"
)]

use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{Commit, Expect, Op, SessionStore};
use durable_session_redb::{RedbDurability, RedbStore};
use futures_executor::block_on;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

const MESSAGES: usize = 500;
const BODY: [u8; 400] = [b'x'; 400];

fn opening(path: &Path, durability: RedbDurability, verify: bool) -> f64 {
    let builder = RedbStore::builder().durability(durability).verify_on_open(verify);
    let began = Instant::now();
    let store = builder.open(path).unwrap();
    let seconds = began.elapsed().as_secs_f64();
    block_on(store.close()).unwrap();
    seconds
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| ".".into()));
    let megabytes: usize = arguments.next().map_or(256, |megabytes| megabytes.parse().unwrap());
    let folder = tempfile::tempdir_in(folder).unwrap();
    let sessions = megabytes * 1_000_000 / (MESSAGES * BODY.len());

    for durability in [RedbDurability::Immediate, RedbDurability::QuickRecovery] {
        let path = folder.path().join("store.redb");
        let store = RedbStore::builder().durability(durability).open(&path).unwrap();
        for n in 0..sessions {
            let id = SessionId::new(format!("session-{n}")).unwrap();
            let ops = vec![Op::Append(Bytes::from_static(&BODY)); MESSAGES];
            block_on(store.commit(&id, Commit { expect: Expect::Absent { created_at: 1 }, ops, at: 1 }))
                .unwrap();
        }
        let crashed = folder.path().join("crashed.redb");
        fs::copy(&path, &crashed).unwrap();
        block_on(store.close()).unwrap();
        let size = fs::metadata(&path).unwrap().len() as f64 / 1e6;
        println!("{durability:?}, {size:.0} MB");
        for verify in [true, false] {
            let again = folder.path().join("again.redb");
            fs::copy(&crashed, &again).unwrap();
            println!(
                "  {}: {:.3} s after a clean close, {:.3} s after a crash",
                if verify { "checked" } else { "unchecked" },
                opening(&path, durability, verify),
                opening(&again, durability, verify),
            );
        }
        fs::remove_file(path).unwrap();
        fs::remove_file(crashed).unwrap();
    }
}
