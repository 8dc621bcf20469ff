//! The locks and atomics of this crate, in one place, so that a concurrency checker can stand in
//! for them.
//!
//! Built with `--cfg shuttle` they are shuttle's, which explores interleavings at each of their
//! operations.

#[cfg(not(shuttle))]
pub(crate) use std::sync::{
    Arc, MutexGuard, Weak,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

#[cfg(shuttle)]
pub(crate) use shuttle::sync::{
    Arc, MutexGuard, Weak,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

#[cfg(shuttle)]
type Inner<T> = shuttle::sync::Mutex<T>;
#[cfg(not(shuttle))]
type Inner<T> = std::sync::Mutex<T>;

/// A mutex whose lock cannot fail: no code of the user's runs while one is held, and every critical
/// section leaves its data consistent at each point where it could panic, so a poisoned lock holds
/// nothing to be afraid of.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(Inner<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Inner::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
