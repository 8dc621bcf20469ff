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
