//! Randomness for stores under test, the same in every run, and their sizes.

use durable_session::env::{Random, RandomError};
use durable_session_redb::{OpenCheck, RedbStore, RedbStoreBuilder};
use fastrand::Rng;
use std::sync::Mutex;

/// Seeded random bytes.
pub(crate) struct Seeded(Mutex<Rng>);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(Rng::with_seed(seed)))
    }
}

impl Random for Seeded {
    fn fill(&self, buf: &mut [u8]) -> Result<(), RandomError> {
        self.0.lock().map_err(|e| RandomError::new(e.to_string()))?.fill(buf);
        Ok(())
    }
}

/// Options of a small store: its log and its memtable are full all the time, now and then, or
/// never, and its file is verified in any of the ways.
pub(crate) fn options(rng: &mut Rng) -> RedbStoreBuilder {
    let log_bytes = pick(rng, [1, 2_000, 10_000, 60_000, 64 << 20]);
    let memtable_bytes = pick(rng, [1, 1_000, 6_000, 64 << 20]);
    let check = pick(rng, [OpenCheck::Background, OpenCheck::First, OpenCheck::Skip]);
    RedbStore::builder()
        .log_bytes(log_bytes)
        .memtable_bytes(memtable_bytes)
        .check(check)
        .reader_threads(1)
        .cache_bytes(1 << 20)
}

fn pick<T: Copy, const N: usize>(rng: &mut Rng, from: [T; N]) -> T {
    from[rng.usize(0..N)]
}
