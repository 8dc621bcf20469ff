//! The wakers of the callers that wait for something of a session.

use std::task::Waker;

/// Wakers by key. Most sessions have one or none, so this is a list; it is sorted, as a session may
/// have hundreds.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Wakers(Vec<(u64, Waker)>);

impl Wakers {
    /// Registers a waker for `key`; it replaces an earlier one.
    pub(crate) fn put(&mut self, key: u64, waker: &Waker) {
        match self.find(key) {
            Ok(place) => self.0[place].1.clone_from(waker),
            Err(place) => self.0.insert(place, (key, waker.clone())),
        }
    }

    pub(crate) fn remove(&mut self, key: u64) {
        if let Ok(place) = self.find(key) {
            self.0.remove(place);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Wakes them all. Not under a lock: a waker is others' code.
    pub(crate) fn wake(self) {
        self.0.into_iter().for_each(|(_, waker)| waker.wake());
    }

    fn find(&self, key: u64) -> Result<usize, usize> {
        self.0.binary_search_by_key(&key, |&(key, _)| key)
    }
}
