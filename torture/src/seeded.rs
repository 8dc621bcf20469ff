//! Randomness for stores under test: the same in every run.

use durable_session::env::{Random, RandomError};
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

/// How large the store's logs are, this time: none, always full, full now and then, or never.
pub(crate) fn log_bytes(seed: u64) -> u64 {
    const SIZES: [u64; 5] = [0, 1, 1_500, 20_000, 64 << 20];
    SIZES[usize::try_from(seed % SIZES.len() as u64).unwrap_or_default()]
}
