//! What the store remembers of the sessions that it used last.

use crate::found::LISTED_WITHIN;
use durable_session::SessionId;
use durable_session::store::{Commit, Head, Salt};
use std::collections::HashMap;

/// How many sessions a generation holds, about 300 bytes each; there are two.
const GENERATION: usize = 64 * 1024;

/// Numbers, marks and heads of sessions, so that an append needs no reading.
///
/// Only a hint: other processes write, too. The statement of an append checks the mark and the seq.
#[derive(Debug, Default)]
pub(crate) struct Known {
    young: HashMap<SessionId, Entry>,
    /// Those that were young before. If they are not used, they are forgotten next.
    old: HashMap<SessionId, Entry>,
    /// The ids of as many sessions, also of those that were forgotten since or are gone.
    young_ids: HashMap<u64, SessionId>,
    old_ids: HashMap<u64, SessionId>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// The salt of the history that this was read in.
    pub(crate) salt: Salt,
    pub(crate) number: u64,
    /// It changes with each write of the head row. While it is the same, the session has grown by
    /// small appends only.
    pub(crate) mark: i64,
    /// With its versions as they are stored.
    pub(crate) head: Head,
    /// The time by which the session is found in the list of its owner, if it has one.
    pub(crate) listed_at: Option<u64>,
}

impl Known {
    pub(crate) fn get(&self, id: &SessionId) -> Option<Entry> {
        self.young.get(id).or_else(|| self.old.get(id)).copied()
    }

    pub(crate) fn id_of(&self, number: u64) -> Option<SessionId> {
        self.young_ids.get(&number).or_else(|| self.old_ids.get(&number)).cloned()
    }

    pub(crate) fn put(&mut self, id: &SessionId, entry: Entry) {
        let age = |entry: &Entry| (entry.mark, entry.head.version.counter());
        if let Some(known) = self.young.get_mut(id) {
            // A load can end after a commit that was made later.
            let another = (known.salt, known.number) != (entry.salt, entry.number);
            if another || age(known) <= age(&entry) {
                *known = entry;
            }
            if another {
                self.put_id(entry.number, id);
            }
            return;
        }
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(id);
        self.young.insert(id.clone(), entry);
        self.put_id(entry.number, id);
    }

    fn put_id(&mut self, number: u64, id: &SessionId) {
        if self.young_ids.len() >= GENERATION {
            self.old_ids = std::mem::take(&mut self.young_ids);
        }
        self.young_ids.insert(number, id.clone());
    }

    pub(crate) fn forget(&mut self, id: &SessionId) {
        self.young.remove(id);
        self.old.remove(id);
    }
}

impl Entry {
    /// Whether `commit` moves the time of the last change too far from the time by which the
    /// session is found in the list of its owner.
    pub(crate) fn is_due(&self, commit: &Commit) -> bool {
        self.listed_at.is_some_and(|listed| commit.at.saturating_sub(listed) >= LISTED_WITHIN)
    }
}
