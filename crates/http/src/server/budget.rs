//! A bound on the bytes of requests and responses in memory.

use crate::wire::refusal::Refusal;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bodies and responses up to this size are small; a quarter of the budget is reserved for them.
const SMALL: usize = 64 << 10;

/// A bound on the bytes of received bodies and unsent responses. Cheap to clone; clones share the
/// bound, also across routers.
///
/// A request that does not fit is 503 with `Retry-After`. Bodies and responses larger than 64 KiB
/// may use three quarters of the budget, so that clients that stall with large ones leave room for
/// small ones of other clients.
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
    /// A budget of `bytes`.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Inner { limit: bytes, used: AtomicUsize::new(0) }))
    }

    /// The bytes in use.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The largest body or response in bytes.
    pub(super) fn largest(&self) -> usize {
        (self.0.limit - self.0.limit / 4).max(SMALL.min(self.0.limit))
    }

    /// An empty share of the budget.
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
        f.debug_struct("ByteBudget")
            .field("limit", &self.0.limit)
            .field("used", &self.used())
            .finish()
    }
}

/// The bytes that one body or response uses of the budget; dropping the share returns them.
#[derive(Debug)]
pub(super) struct Share {
    budget: ByteBudget,
    bytes: usize,
}

impl Share {
    /// Takes more bytes; refuses if the budget has none left for a share of that size.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let Inner { limit, used } = &*self.budget.0;
        let now = self.bytes.saturating_add(bytes);
        let bound = if now > SMALL { self.budget.largest() } else { *limit };
        let taken = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= bound);
        match used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken) {
            Ok(_) => self.bytes = now,
            Err(_) => {
                return Err(Refusal::unavailable(
                    "too many bytes of requests and responses are in memory, try again",
                ));
            }
        }
        Ok(())
    }

    /// Takes more bytes, also beyond the bound: for responses that cannot be refused any more.
    pub(super) fn force(&mut self, bytes: usize) {
        self.budget.0.used.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
    }

    /// Ties the share to `bytes`: it is returned when they are dropped.
    pub(super) fn of(self, bytes: Bytes) -> Bytes {
        guarded(bytes, self)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The same bytes; `guard` is dropped with them.
pub(super) fn guarded<T: Send + 'static>(bytes: Bytes, guard: T) -> Bytes {
    struct Owner<T>(Bytes, T);
    impl<T> AsRef<[u8]> for Owner<T> {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    Bytes::from_owner(Owner(bytes, guard))
}

#[cfg(test)]
mod tests {
    use super::{ByteBudget, SMALL};
    use bytes::Bytes;

    #[test]
    fn large_bodies_leave_a_quarter_of_the_budget_for_small_ones() {
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
