//! What the writer remembers of the sessions that it wrote last.

use durable_session::SessionId;
use durable_session::store::{Head, Labels};
use std::collections::HashMap;

/// Bytes of redb's cache for each session of a generation. A session takes about 300 bytes, and
/// there are two generations.
const CACHE_PER_SESSION: usize = 16 * 1024;

/// Numbers, current heads and labels of sessions, so that an append needs no lookup in three
/// tables.
///
/// True only while nobody else writes to the tables and every transaction that changed it has been
/// committed: whoever owns it throws it away otherwise.
#[derive(Debug)]
pub(crate) struct Known {
    /// How many sessions a generation holds.
    generation: usize,
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
    /// Remembers sessions in about 4 % of the bytes of redb's cache, beside it.
    pub(crate) fn new(cache_bytes: usize) -> Self {
        let generation = cache_bytes / CACHE_PER_SESSION;
        Self { generation, young: HashMap::new(), old: HashMap::new() }
    }

    /// Forgets all sessions.
    pub(crate) fn clear(&mut self) {
        (self.young, self.old) = (HashMap::new(), HashMap::new());
    }

    pub(super) fn get(&self, id: &SessionId) -> Option<Entry> {
        self.young.get(id).or_else(|| self.old.get(id)).cloned()
    }

    pub(super) fn put(&mut self, id: &SessionId, entry: Entry) {
        if let Some(known) = self.young.get_mut(id) {
            *known = entry;
            return;
        }
        if self.young.len() >= self.generation {
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
    use super::{CACHE_PER_SESSION, Entry, Head, Known, Labels, SessionId};
    use durable_session::store::{Incarnation, Version};

    const GENERATION: usize = 1_000;

    fn known() -> Known {
        Known::new(GENERATION * CACHE_PER_SESSION)
    }

    fn id(n: usize) -> SessionId {
        SessionId::new(format!("s{n}")).unwrap()
    }

    fn entry(number: u64) -> Entry {
        let version = Version::new(Incarnation::from_bytes([7; 16]), number);
        Entry { number, head: Head::new(version, 0), labels: Labels::NONE }
    }

    #[test]
    fn it_stays_bounded_and_gives_the_newest() {
        let mut known = known();
        for n in 0..5 * GENERATION {
            known.put(&id(0), entry(n as u64));
            known.put(&id(n + 1), entry(0));
            assert!(known.young.len() <= GENERATION && known.old.len() <= GENERATION);
            assert_eq!(known.get(&id(0)).unwrap().number, n as u64, "what is in use stays");
        }
        assert!(known.get(&id(1)).is_none());
        known.forget(&id(0));
        assert!(known.get(&id(0)).is_none());
        known.clear();
        assert!(known.get(&id(5 * GENERATION)).is_none());
    }

    #[test]
    fn without_a_cache_it_remembers_one_session() {
        let mut known = Known::new(0);
        for n in 0..10 {
            known.put(&id(n), entry(n as u64));
            assert_eq!(known.get(&id(n)).unwrap().number, n as u64);
            assert!(known.young.len() <= 1 && known.old.len() <= 1);
        }
    }

    #[test]
    fn it_remembers_a_generation() {
        let mut known = known();
        for n in 0..GENERATION {
            known.put(&id(n), entry(n as u64));
        }
        for n in 0..GENERATION {
            assert_eq!(known.get(&id(n)).unwrap().number, n as u64);
        }
    }
}
