//! Injected time and randomness.
//!
//! On `wasm32-unknown-unknown` the clocks of `std` panic, and there is no source of entropy. So
//! this crate takes the time from a [`Clock`] and random bytes from a [`Random`], never from the
//! system.

use std::fmt;
use std::sync::Arc;

/// A clock in Unix milliseconds, and a monotonic one.
///
/// [`now_ms`](Self::now_ms) may jump, as wall clocks do. Stored times still never move backwards,
/// because every store keeps the later time (clause S2).
///
/// ```
/// use durable_session::SessionId;
/// use durable_session::env::{Clock, SystemRandom};
///
/// struct Fixed;
///
/// impl Clock for Fixed {
///     fn now_ms(&self) -> u64 {
///         1_763_264_606_917
///     }
///
///     fn monotonic_ms(&self) -> u64 {
///         0
///     }
/// }
///
/// let id = SessionId::generate_with(&Fixed, &SystemRandom)?;
/// assert!(id.as_str().starts_with("session-1763264606917-"));
/// # Ok::<(), durable_session::env::RandomError>(())
/// ```
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn now_ms(&self) -> u64;

    /// Milliseconds since any fixed moment, on a clock that never moves backwards and that nobody
    /// sets. It decides for how long a producer on a shared store has shown no sign of life (clause
    /// C12).
    fn monotonic_ms(&self) -> u64;
}

/// A source of cryptographically secure random bytes.
///
/// Session ids are capabilities and versions must never repeat, so use a seeded generator in tests
/// only.
pub trait Random: Send + Sync {
    /// Overwrites all of `buf`.
    ///
    /// # Errors
    /// [`RandomError`] if the source fails. The caller must not use the bytes then.
    fn fill(&self, buf: &mut [u8]) -> Result<(), RandomError>;
}

/// The source of random bytes failed.
#[derive(Clone)]
pub struct RandomError(Arc<dyn std::error::Error + Send + Sync>);

impl RandomError {
    /// An error with this reason as its source.
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
        f.write_str("the source of random bytes failed")
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

    fn monotonic_ms(&self) -> u64 {
        (**self).monotonic_ms()
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
    use std::sync::LazyLock;
    use std::time::{Instant, SystemTime, UNIX_EPOCH};

    /// The system's wall clock. Missing on `wasm32-unknown-unknown`.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct SystemClock;

    impl Clock for SystemClock {
        fn now_ms(&self) -> u64 {
            // A clock that was never set can be before 1970. 0 keeps times monotone there, too.
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
        }

        fn monotonic_ms(&self) -> u64 {
            static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
            u64::try_from(BEGIN.elapsed().as_millis()).unwrap_or(u64::MAX)
        }
    }

    /// The system's source of entropy. Missing on `wasm32-unknown-unknown`.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct SystemRandom;

    impl Random for SystemRandom {
        fn fill(&self, buf: &mut [u8]) -> Result<(), RandomError> {
            getrandom::fill(buf).map_err(RandomError::new)
        }
    }
}
