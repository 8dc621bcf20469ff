//! Time and randomness, injected.
//!
//! `std`'s clocks panic on `wasm32-unknown-unknown` and that target has no entropy source of its own,
//! so nothing in this crate asks the system by itself: it asks a [`Clock`] and a [`Random`].

use std::fmt;
use std::sync::Arc;

/// Tells the time as Unix milliseconds.
///
/// It may jump (a wall clock does): persisted times never move backwards all the same, because every
/// store keeps the maximum (clause S2).
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn now_ms(&self) -> u64;
}

/// Fills buffers with cryptographically secure random bytes.
///
/// Session ids are capabilities and versions must never repeat, so a seeded generator belongs in tests only.
pub trait Random: Send + Sync {
    /// Overwrites all of `buf`.
    ///
    /// # Errors
    /// The system's entropy source failed; nothing that depends on the bytes may go on.
    fn fill(&self, buf: &mut [u8]) -> Result<(), RandomError>;
}

/// The entropy source failed.
#[derive(Clone)]
pub struct RandomError(Arc<dyn std::error::Error + Send + Sync>);

impl RandomError {
    /// Wraps the reason.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(Arc::from(source.into()))
    }
}

impl fmt::Debug for RandomError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RandomError({})", self.0)
    }
}

impl fmt::Display for RandomError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the system's source of random bytes failed")
    }
}

impl std::error::Error for RandomError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

impl<T: Clock + ?Sized> Clock for Arc<T> {
    fn now_ms(&self) -> u64 {
        (**self).now_ms()
    }
}

impl<T: Random + ?Sized> Random for Arc<T> {
    fn fill(&self, buf: &mut [u8]) -> Result<(), RandomError> {
        (**self).fill(buf)
    }
}

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
pub use system::{SystemClock, SystemRandom};

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
mod system {
    use super::{Clock, Random, RandomError};
    use std::time::{SystemTime, UNIX_EPOCH};

    /// The system's wall clock. Not there on `wasm32-unknown-unknown`.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct SystemClock;

    impl Clock for SystemClock {
        fn now_ms(&self) -> u64 {
            // Before 1970 only on a machine whose clock is unset: 0 keeps times monotone there too.
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
        }
    }

    /// The system's entropy source. Not there on `wasm32-unknown-unknown`.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct SystemRandom;

    impl Random for SystemRandom {
        fn fill(&self, buf: &mut [u8]) -> Result<(), RandomError> {
            getrandom::fill(buf).map_err(RandomError::new)
        }
    }
}
