//! The namespace: one slot per session id, and the account of what is live.

use super::config::{Config, ms};
use super::slot::Slot;
use super::stats::{Counters, Stats};
use crate::SessionId;
use crate::env::{Clock, Random};
use crate::planted;
use crate::store::SessionStore;
use crate::sync::{Arc, AtomicBool, Mutex, Ordering, Weak};
use bytestring::ByteString;
use std::collections::{HashMap, VecDeque};

/// How many live sessions one call looks at to find some that are not used.
const LOOKS: usize = 8;

/// The same while there is too much in memory.
const CLOSE_LOOKS: usize = 64;

/// Everything that the handles of one [`ChatSessions`](crate::ChatSessions) share.
pub(crate) struct Hub {
    pub(crate) store: Arc<dyn SessionStore>,
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) stats: Counters,
    registry: Mutex<HashMap<SessionId, Weak<Slot>>>,
    live: Mutex<Live>,
    closed: AtomicBool,
}

/// The sessions whose state is in memory, about in order of last use.
#[derive(Default)]
struct Live {
    /// With the time at which each was put into its place. Who is further back came later.
    queue: VecDeque<(Arc<Slot>, u64)>,
    sessions: u64,
    bytes: u64,
}

impl Live {
    /// Whether none of them can be idle or in the way, told without looking at any: it is asked at every commit.
    fn all_in_use(&self, config: &Config, now: u64) -> bool {
        let young = |&(_, since): &(Arc<Slot>, u64)| now.saturating_sub(since) < ms(config.memory.idle);
        self.bytes <= config.memory.bytes
            && self.sessions == self.queue.len() as u64
            && self.queue.front().is_none_or(young)
    }
}

impl Hub {
    pub(crate) fn new(
        store: Arc<dyn SessionStore>,
        config: Config,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self {
            store,
            config,
            clock,
            random,
            stats: Counters::default(),
            registry: Mutex::default(),
            live: Mutex::default(),
            closed: AtomicBool::new(false),
        }
    }

    /// The slot of `id`, the same for as long as anybody holds it (clause C2).
    pub(crate) fn slot(self: &Arc<Self>, id: SessionId) -> Arc<Slot> {
        let mut registry = self.registry.lock();
        if let Some(slot) = registry.get(&id).and_then(Weak::upgrade) {
            return slot;
        }
        if planted::bug("slot-check-then-act") {
            drop(registry);
            registry = self.registry.lock();
        }
        let slot = Arc::new(Slot::new(id.clone(), Arc::downgrade(self)));
        registry.insert(id, Arc::downgrade(&slot));
        slot
    }

    /// Called when a slot is dropped. A newer slot may have taken its place already.
    pub(crate) fn forget(&self, id: &SessionId) {
        let mut registry = self.registry.lock();
        if registry.get(id).is_some_and(|slot| slot.strong_count() == 0) {
            registry.remove(id);
            if registry.capacity() > 1024 && registry.len() < registry.capacity() / 8 {
                registry.shrink_to_fit();
            }
        }
    }

    /// Every slot there is.
    pub(crate) fn slots(&self) -> Vec<Arc<Slot>> {
        self.registry.lock().values().filter_map(Weak::upgrade).collect()
    }

    /// Charges a slot that was used what it holds now, and makes room if that is too much.
    pub(crate) fn charge(self: &Arc<Self>, slot: &Arc<Slot>, weight: u64) {
        let over = self.account(slot, weight, self.clock.now_ms());
        self.make_room(if over { CLOSE_LOOKS } else { LOOKS });
    }

    /// Charges a slot what it holds now. Returns whether live sessions hold more than they may.
    fn account(&self, slot: &Arc<Slot>, weight: u64, used_at: u64) -> bool {
        let mut live = self.live.lock();
        let mut state = slot.lock();
        let before = std::mem::replace(&mut state.charged, weight);
        state.used_at = used_at;
        live.bytes = live.bytes + weight - before;
        live.sessions = live.sessions + u64::from(weight > 0) - u64::from(before > 0);
        if weight > 0 && !state.enlisted {
            state.enlisted = true;
            live.queue.push_back((Arc::clone(slot), used_at));
        }
        live.bytes > self.config.memory.bytes
    }

    /// Looks at up to `looks` live sessions, least recently used first, and drops from memory what is too much or idle.
    pub(crate) fn make_room(self: &Arc<Self>, looks: usize) {
        let now = self.clock.now_ms();
        for _ in 0..looks {
            // Dropped after the locks: the last reference to a slot takes the registry's lock.
            let _evicted = {
                let mut live = self.live.lock();
                if live.all_in_use(&self.config, now) {
                    return;
                }
                let Some((slot, enlisted_at)) = live.queue.pop_front() else { return };
                let mut state = slot.lock();
                let used_at = state.used_at;
                let over = live.bytes > self.config.memory.bytes;
                let idle = now.saturating_sub(used_at) >= ms(self.config.memory.idle);
                if used_at > enlisted_at && !idle {
                    drop(state);
                    live.queue.push_back((slot, used_at));
                    continue;
                }
                if state.charged > 0 && !over && !idle {
                    drop(state);
                    live.queue.push_front((slot, enlisted_at));
                    return;
                }
                if state.charged > 0 && (state.calls > 0 || !state.evict()) {
                    let left_alone = state.is_left_alone();
                    drop(state);
                    if left_alone {
                        drop(live);
                        self.take_in(slot, enlisted_at, used_at);
                    } else {
                        live.queue.push_back((slot, now));
                    }
                    continue;
                }
                let charged = std::mem::take(&mut state.charged);
                state.enlisted = false;
                if planted::bug("eviction-replaces-slot") {
                    self.registry.lock().remove(&slot.id);
                }
                live.bytes -= charged;
                if charged > 0 {
                    live.sessions -= 1;
                    self.stats.eviction();
                }
                drop(state);
                slot
            };
        }
    }

    /// Takes in what the store answered to callers that went away, so that the session can leave memory, too. It does
    /// not count as use. `slot` was taken out of the queue of live sessions and goes back.
    fn take_in(self: &Arc<Self>, slot: Arc<Slot>, enlisted_at: u64, used_at: u64) {
        slot.drive_and(self, |weight| {
            self.account(&slot, weight, used_at);
        });
        let busy = slot.lock().is_busy();
        let mut live = self.live.lock();
        if busy {
            live.queue.push_back((slot, self.clock.now_ms()));
        } else {
            live.queue.push_front((slot, enlisted_at));
        }
    }

    pub(crate) fn live_sessions(&self) -> usize {
        self.live.lock().queue.len()
    }

    pub(crate) fn stats(&self) -> Stats {
        let depth = self.slots().iter().map(|slot| slot.lock().depth()).sum();
        let slots = self.registry.lock().len() as u64;
        let live = self.live.lock();
        Stats {
            live_sessions: live.sessions,
            live_bytes: live.bytes,
            slots,
            queue_depth: depth,
            ..self.stats.read()
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}

impl Config {
    /// The initial app state; what cannot be an app state is refused before anything is written, so `{}` is never stored
    /// in its place.
    pub(crate) fn app_or_empty(&self) -> ByteString {
        self.initial_app.as_ref().map_or_else(|_| ByteString::from_static("{}"), Clone::clone)
    }
}
