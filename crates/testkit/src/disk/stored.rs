//! A file as reads see it, and as a power loss leaves it.

use super::change::Change;
use super::content::{Content, at};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A file of a disk.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// The content that reads see.
    pub(super) seen: Content,
    /// The content that survives a power loss.
    pub(super) durable: Content,
    pub(super) unsynced: Vec<Change>,
}

/// A file that may be open several times. It is locked only while the state of its disk is.
pub(super) type Shared = Arc<Mutex<Stored>>;

pub(super) fn lock(file: &Shared) -> MutexGuard<'_, Stored> {
    file.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stored {
    /// A file that is durable as it is.
    pub(super) fn durable(content: Content) -> Self {
        Self { seen: content.clone(), durable: content, unsynced: Vec::new() }
    }

    /// A new file with reserved space.
    pub(super) fn preallocated(len: u64) -> Self {
        let mut content = Content::default();
        content.set_len(at(len));
        Self::durable(content)
    }

    /// The durable content, with the unsynced changes that are kept.
    pub(super) fn keeping(&self, mut keep: impl FnMut() -> bool) -> Content {
        let mut content = Some(self.durable.clone());
        for change in &self.unsynced {
            if keep() {
                change.apply(&mut content);
            }
        }
        content.unwrap_or_default()
    }

    pub(super) fn apply(&mut self, change: Change) {
        match &change {
            Change::Write(offset, data) => self.seen.write(at(*offset), data),
            Change::Length(len) => self.seen.set_len(at(*len)),
            Change::Create | Change::Remove => {}
        }
        self.unsynced.push(change);
    }

    pub(super) fn sync(&mut self) {
        self.durable = self.keeping(|| true);
        self.unsynced.clear();
    }

    /// Loses the unsynced changes after a failed sync, except those that the bits keep.
    pub(super) fn lose(&mut self, bits: u64) {
        let mut number = 0;
        self.durable = self.keeping(|| {
            number += 1;
            bits >> ((number - 1) % 64) & 1 == 1
        });
        self.unsynced.clear();
    }

    /// The operating system drops what it has cached: reads see what is on the disk.
    pub(super) fn forget_cached(&mut self) {
        self.seen = self.keeping(|| true);
    }
}
