//! What the writer remembers of the sessions that it wrote last.

use durable_session::SessionId;
use durable_session::store::{Head, Labels};
use std::collections::HashMap;

/// How many sessions a generation holds, about 300 bytes each; there are two.
const GENERATION: usize = 16 * 1024;

/// Numbers, current heads and labels of sessions, so that an append needs no lookup in three
/// tables.
///
/// True only while nobody else writes to the tables and every transaction that changed it has been
/// committed: whoever owns it throws it away otherwise.
#[derive(Debug, Default)]
pub(crate) struct Known {
    young: HashMap<SessionId, Entry>,
    /// Those that were young before; not used since, they are forgotten next.
    old: HashMap<SessionId, Entry>,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) number: u64,
    /// With its versions as they are stored.
    pub(super) head: Head,
    pub(super) labels: Labels,
}

impl Known {
    pub(super) fn get(&self, id: &SessionId) -> Option<Entry> {
        self.young.get(id).or_else(|| self.old.get(id)).cloned()
    }

    pub(super) fn put(&mut self, id: &SessionId, entry: Entry) {
        if let Some(known) = self.young.get_mut(id) {
            *known = entry;
            return;
        }
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(id);
        self.young.insert(id.clone(), entry);
    }

    pub(super) fn forget(&mut self, id: &SessionId) {
        self.young.remove(id);
        self.old.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, GENERATION, Head, Known, Labels, SessionId};
    use durable_session::store::{Incarnation, Version};

    fn id(n: usize) -> SessionId {
        SessionId::new(format!("s{n}")).unwrap()
    }

    fn entry(number: u64) -> Entry {
        let version = Version::new(Incarnation::from_bytes([7; 16]), number);
        Entry { number, head: Head::new(version, 0), labels: Labels::NONE }
    }

    #[test]
    fn it_stays_bounded_and_gives_the_newest() {
        let mut known = Known::default();
        for n in 0..5 * GENERATION {
            known.put(&id(0), entry(n as u64));
            known.put(&id(n + 1), entry(0));
            assert!(known.young.len() <= GENERATION && known.old.len() <= GENERATION);
            assert_eq!(known.get(&id(0)).unwrap().number, n as u64, "what is in use stays");
        }
        assert!(known.get(&id(1)).is_none());
        known.forget(&id(0));
        assert!(known.get(&id(0)).is_none());
    }

    #[test]
    fn it_remembers_a_generation() {
        let mut known = Known::default();
        for n in 0..GENERATION {
            known.put(&id(n), entry(n as u64));
        }
        for n in 0..GENERATION {
            assert_eq!(known.get(&id(n)).unwrap().number, n as u64);
        }
    }
}
