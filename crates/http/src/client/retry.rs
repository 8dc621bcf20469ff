//! Trying calls again.

use super::error::ClientError;
use durable_session::env::RandomError;
use std::time::Duration;

/// The longest `Retry-After` of a service that is obeyed.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(1);

/// The number of tries of a call, and the waits between them.
///
/// ```
/// use durable_session_http::client::Retry;
/// use std::time::Duration;
///
/// let retry = Retry::default().tries(3).waits(Duration::from_millis(50), Duration::from_secs(1));
/// assert_eq!(retry.tries, 3);
/// assert_eq!(Retry::never().tries, 1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retry {
    /// Tries in all. Default: 6.
    pub tries: u32,
    /// The longest wait before the second try; it doubles with each try. Default: 200 ms.
    pub first_wait: Duration,
    /// The longest wait, unless the service asks for a longer one. Default: 5 seconds.
    pub longest_wait: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            tries: 6,
            first_wait: Duration::from_millis(200),
            longest_wait: Duration::from_secs(5),
        }
    }
}

impl Retry {
    /// One try only.
    pub fn never() -> Self {
        Self { tries: 1, ..Self::default() }
    }

    /// Sets the number of tries in all.
    pub fn tries(mut self, tries: u32) -> Self {
        self.tries = tries;
        self
    }

    /// Sets the first and the longest wait.
    pub fn waits(mut self, first: Duration, longest: Duration) -> Self {
        (self.first_wait, self.longest_wait) = (first, longest);
        self
    }

    /// The wait after the try number `done`, counted from 1. It is random between half and all of
    /// the full wait, so that many clients do not return at once, and not shorter than
    /// `Retry-After`.
    pub(super) fn wait(&self, done: u32, retry_after: Option<Duration>) -> Duration {
        let doubled = self
            .first_wait
            .saturating_mul(1_u32.checked_shl(done.saturating_sub(1)).unwrap_or(u32::MAX));
        let full = doubled.min(self.longest_wait);
        // Without randomness all waits are full ones.
        let chance = getrandom::u32().unwrap_or(u32::MAX);
        let spread = full / 2 + (full / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX));
        spread.max(retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER))
    }
}

/// A fresh message id: 128 random bits.
pub(super) fn random_id() -> Result<String, ClientError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| ClientError::Random(RandomError::new(e)))?;
    Ok(format!("m-{:032x}", u128::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_RETRY_AFTER, Retry, random_id};
    use std::time::Duration;

    #[test]
    fn waits_grow_vary_and_obey_retry_after() {
        let retry = Retry::default();
        for (done, full) in [(1, 200), (2, 400), (3, 800), (9, 5000), (500, 5000)] {
            let wait = retry.wait(done, None).as_millis();
            assert!((full / 2..=full).contains(&wait), "{done}: {wait}");
        }
        assert_eq!(retry.wait(1, Some(Duration::from_secs(7))), Duration::from_secs(7));
        assert_eq!(retry.wait(1, Some(Duration::from_hours(1))), LONGEST_RETRY_AFTER);
        assert_ne!(random_id().unwrap(), random_id().unwrap());
    }
}
