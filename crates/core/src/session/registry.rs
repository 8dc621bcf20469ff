//! The session registry: one actor per session id, and the account of the memory that they hold.

use super::actor::Actor;
use super::config::{Config, ms};
use super::names::Names;
use super::observed::Observed;
use super::stats::{Counters, Stats};
use super::unseen::Unseen;
use crate::SessionId;
use crate::env::{Clock, Random};
use crate::error::Error;
use crate::store::{Labels, OpenReply, SessionList, SessionStore, Sharing};
use crate::sync::{Arc, AtomicBool, Mutex, Ordering};
use std::collections::VecDeque;
use std::sync::OnceLock;

/// How many live sessions one call looks at to find some that are not used.
const LOOKS: usize = 8;

/// The same while there is too much in memory.
const CLOSE_LOOKS: usize = 64;

/// Everything that the handles of one [`ChatSessions`](crate::ChatSessions) share.
pub(crate) struct Registry {
    pub(crate) store: Arc<dyn SessionStore>,
    list: Option<Arc<dyn SessionList>>,
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) stats: Counters,
    observed: Observed,
    /// One reference for each registry over this opening of the store, and one of the opening.
    users: Option<std::sync::Arc<()>>,
    names: Arc<Names<Actor>>,
    live: Mutex<Live>,
    closed: AtomicBool,
    /// The registry of those who see no session, made when it is first asked for.
    unseen: OnceLock<Arc<Registry>>,
}

/// One session of a registry: every handle works through one of these.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) registry: Arc<Registry>,
    pub(crate) actor: Arc<Actor>,
    /// The labels of the session if a call of this handle creates it.
    pub(crate) begins_with: Option<Arc<Labels>>,
}

/// The sessions whose state is in memory, about in order of last use.
#[derive(Default)]
struct Live {
    /// With the time at which each was put into its place. Those further back came later.
    queue: VecDeque<(Arc<Actor>, u64)>,
    sessions: u64,
    bytes: u64,
}

impl Live {
    /// Whether none of them can be idle or in the way, told without looking at any: it is asked at
    /// every commit.
    fn all_in_use(&self, config: &Config, now: u64) -> bool {
        let young =
            |&(_, since): &(Arc<Actor>, u64)| now.saturating_sub(since) < ms(config.memory.idle);
        self.bytes <= config.memory.bytes
            && self.sessions == self.queue.len() as u64
            && self.queue.front().is_none_or(young)
    }
}

impl Registry {
    pub(crate) fn new(
        store: Arc<dyn SessionStore>,
        list: Option<Arc<dyn SessionList>>,
        config: impl Into<Arc<Config>>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        let users = store.opening().ok().map(|opening| opening.used());
        Self {
            store,
            list,
            users,
            config: config.into(),
            clock,
            random,
            stats: Counters::default(),
            observed: Observed::default(),
            names: Arc::default(),
            live: Mutex::default(),
            closed: AtomicBool::new(false),
            unseen: OnceLock::new(),
        }
    }

    /// The number of registries over this opening of the store, this one included.
    pub(crate) fn registries(&self) -> usize {
        self.users.as_ref().map_or(1, |users| std::sync::Arc::strong_count(users).saturating_sub(1))
    }

    /// The session `id`; its actor is the same for as long as anybody holds it (clause C2).
    pub(crate) fn session(self: &Arc<Self>, id: SessionId) -> Session {
        let names = Arc::downgrade(&self.names);
        let make = |id| Actor::new(id, Arc::clone(&self.config), names);
        let actor = self.names.get(id, make);
        Session { actor, registry: Arc::clone(self), begins_with: None }
    }

    /// The session `id`, if somebody holds it.
    pub(crate) fn find(self: &Arc<Self>, id: &SessionId) -> Option<Session> {
        let actor = self.names.find(id)?;
        Some(Session { actor, registry: Arc::clone(self), begins_with: None })
    }

    /// A registry like this one in which no session exists.
    pub(crate) fn unseen(&self) -> &Arc<Self> {
        let unseen = self.unseen.get_or_init(|| {
            let store = Arc::new(Unseen(Arc::clone(&self.store)));
            let (clock, random) = (Arc::clone(&self.clock), Arc::clone(&self.random));
            let unseen = Self::new(store, None, Arc::clone(&self.config), clock, random);
            // It is a part of this registry.
            Arc::new(Self { users: None, ..unseen })
        });
        if self.is_closed() {
            unseen.close();
        }
        unseen
    }

    /// The listing of the store.
    pub(crate) fn list(&self) -> Result<&Arc<dyn SessionList>, Error> {
        self.list.as_ref().ok_or(Error::NoListing)
    }

    /// Every session that somebody holds.
    pub(crate) fn sessions(self: &Arc<Self>) -> Vec<Session> {
        let session = |actor| Session { actor, registry: Arc::clone(self), begins_with: None };
        self.names.all().into_iter().map(session).collect()
    }

    /// Whether the producer of an open reply is gone (clause C12).
    pub(crate) fn is_dead(&self, open: &OpenReply) -> bool {
        // Without the opening nobody can tell.
        let Ok(opening) = self.store.opening() else { return false };
        if open.claim.is_of(&opening) {
            return !opening.is_held(&open.claim);
        }
        match self.store.sharing() {
            Sharing::Exclusive => true,
            Sharing::Shared => {
                let after = self.config.replies.abandoned_after_ms();
                self.observed.unchanged(open, self.clock.monotonic_ms()) >= after
            }
        }
    }

    /// Charges a session that was used at `now` the bytes that it holds. Returns how many live
    /// sessions to look at to make room.
    pub(crate) fn charge(&self, actor: &Arc<Actor>, weight: u64, now: u64) -> usize {
        let mut live = self.live.lock();
        let mut cell = actor.lock();
        let before = std::mem::replace(&mut cell.charged, weight);
        cell.used_at = now;
        live.bytes = live.bytes + weight - before;
        live.sessions = live.sessions + u64::from(weight > 0) - u64::from(before > 0);
        if weight > 0 && !cell.enlisted {
            cell.enlisted = true;
            live.queue.push_back((Arc::clone(actor), now));
        }
        if live.bytes > self.config.memory.bytes { CLOSE_LOOKS } else { LOOKS }
    }

    /// Looks at up to `looks` live sessions, least recently used first, and drops from memory those
    /// that are idle or too much. `take_in` takes in the store's answers to a session whose callers
    /// went away, given the time of its last use.
    pub(crate) fn make_room(&self, looks: usize, now: u64, take_in: impl Fn(&Arc<Actor>, u64)) {
        for _ in 0..looks {
            // The actors are dropped after the locks: the drop of the last reference to an actor
            // takes the lock of the names.
            let _evicted = {
                let mut live = self.live.lock();
                if live.all_in_use(&self.config, now) {
                    return;
                }
                let Some((actor, enlisted_at)) = live.queue.pop_front() else { return };
                let mut cell = actor.lock();
                let used_at = cell.used_at;
                let over = live.bytes > self.config.memory.bytes;
                let idle = now.saturating_sub(used_at) >= ms(self.config.memory.idle);
                if used_at > enlisted_at && !idle {
                    drop(cell);
                    live.queue.push_back((actor, used_at));
                    continue;
                }
                if cell.charged > 0 && !over && !idle {
                    drop(cell);
                    live.queue.push_front((actor, enlisted_at));
                    return;
                }
                if cell.charged > 0 && (cell.holds > 0 || !cell.machine.evict()) {
                    let left_alone = cell.is_left_alone();
                    drop(cell);
                    if left_alone {
                        drop(live);
                        take_in(&actor, used_at);
                        self.put_back(actor, enlisted_at);
                    } else {
                        live.queue.push_back((actor, now));
                    }
                    continue;
                }
                let charged = std::mem::take(&mut cell.charged);
                cell.enlisted = false;
                live.bytes -= charged;
                if charged > 0 {
                    live.sessions -= 1;
                    self.stats.eviction();
                }
                drop(cell);
                actor
            };
        }
    }

    /// Puts an actor back that was taken out of the queue of live sessions: to its end if it cannot
    /// leave memory yet.
    fn put_back(&self, actor: Arc<Actor>, enlisted_at: u64) {
        let busy = actor.lock().machine.is_busy();
        let mut live = self.live.lock();
        if busy {
            live.queue.push_back((actor, self.clock.now_ms()));
        } else {
            live.queue.push_front((actor, enlisted_at));
        }
    }

    pub(crate) fn live_sessions(&self) -> usize {
        self.live.lock().queue.len()
    }

    pub(crate) fn stats(&self) -> Stats {
        let depth = self.names.all().iter().map(|actor| actor.lock().machine.waiting_calls()).sum();
        let slots = self.names.len() as u64;
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
