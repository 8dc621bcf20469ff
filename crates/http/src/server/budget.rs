//! How many bytes of requests and answers may be in memory at a time.

use crate::refusal::Refusal;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What has no more bytes is small: a quarter of the budget is kept for it.
const SMALL: usize = 64 << 10;

/// A bound on the bytes of bodies that were received and of answers that are not sent yet, for everything that shares it.
/// Cheap to clone; clones share it, also between routers.
///
/// A request that does not fit is answered 503 with `Retry-After`. Bodies and answers larger than 64 KiB have three quarters of
/// it, so that clients that stall with large ones leave room for everybody else's small ones.
///
/// ```
/// use durable_session_http::server::{ByteBudget, RouterOptions};
///
/// let mut options = RouterOptions::default();
/// options.budget = ByteBudget::new(64 << 20);
/// assert_eq!(options.budget.used(), 0);
/// ```
#[derive(Clone)]
pub struct ByteBudget(Arc<Inner>);

struct Inner {
    limit: usize,
    used: AtomicUsize,
}

impl ByteBudget {
    /// So many bytes.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Inner { limit: bytes, used: AtomicUsize::new(0) }))
    }

    /// How many bytes are in use.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The most bytes that one body or answer can have.
    pub(super) fn largest(&self) -> usize {
        (self.0.limit - self.0.limit / 4).max(SMALL.min(self.0.limit))
    }

    /// A share of it, empty at first.
    pub(super) fn share(&self) -> Share {
        Share { budget: self.clone(), bytes: 0 }
    }
}

impl Default for ByteBudget {
    /// 256 MiB.
    fn default() -> Self {
        Self::new(256 << 20)
    }
}

impl fmt::Debug for ByteBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteBudget").field("limit", &self.0.limit).field("used", &self.used()).finish()
    }
}

/// The bytes that one body or answer has of the budget; dropping it gives them back.
#[derive(Debug)]
pub(super) struct Share {
    budget: ByteBudget,
    bytes: usize,
}

impl Share {
    /// Takes more bytes, if there are any left for something of that size.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let Inner { limit, used } = &*self.budget.0;
        let now = self.bytes.saturating_add(bytes);
        let bound = if now > SMALL { self.budget.largest() } else { *limit };
        let taken = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= bound);
        match used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken) {
            Ok(_) => self.bytes = now,
            Err(_) => {
                return Err(Refusal::unavailable(
                    "too many bytes of requests and answers are under way, try again",
                ));
            }
        }
        Ok(())
    }

    /// Takes more bytes, also beyond the bound: for what can no longer be refused.
    pub(super) fn force(&mut self, bytes: usize) {
        self.budget.0.used.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
    }

    /// The same bytes, which give the share back once they were sent.
    pub(super) fn of(self, bytes: Bytes) -> Bytes {
        held(bytes, self)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The same bytes; `with` is kept for as long as they are.
pub(super) fn held<T: Send + 'static>(bytes: Bytes, with: T) -> Bytes {
    struct Owner<T>(Bytes, T);
    impl<T> AsRef<[u8]> for Owner<T> {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    Bytes::from_owner(Owner(bytes, with))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_ones_leave_a_quarter_for_small_ones() {
        let budget = ByteBudget::new(400 << 10);
        let mut large = budget.share();
        assert!(large.grow(300 << 10).is_ok());
        assert_eq!(large.grow(1).unwrap_err().status(), 503);
        assert!(budget.share().grow(SMALL + 1).is_err());
        let mut small = budget.share();
        assert!(small.grow(SMALL).is_ok());
        let mut second = budget.share();
        assert!(second.grow(36 << 10).is_ok());
        assert!(second.grow(1).is_err());
        assert_eq!(budget.used(), 400 << 10);
        large.force(10);
        let bytes = large.of(Bytes::from_static(b"sent later"));
        let part = bytes.slice(3..5);
        drop((small, second, bytes));
        assert_eq!(budget.used(), (300 << 10) + 10);
        drop(part);
        assert_eq!(budget.used(), 0);
    }
}
