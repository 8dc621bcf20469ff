//! The limits of the store.

use durable_session::store::StoreLimits;

/// 16 MiB for a message or an app state, 64 MiB and 4,096 operations for a commit.
pub(crate) const LIMITS: StoreLimits = StoreLimits::new(16 << 20, 16 << 20, 64 << 20, 4096);
