//! The cell of one session in memory: its machine, and everything that its callers share.

mod outcomes;
mod ring;
mod tasks;
mod wakers;

pub(crate) use outcomes::Listed;
pub use ring::Watched;
pub(crate) use tasks::AnswerFuture;
pub(crate) use wakers::Wakers;

use super::config::Config;
use super::machine::{Effects, Machine};
use super::names::Names;
use crate::SessionId;
use crate::sync::{Arc, Mutex, MutexGuard, Weak};
use outcomes::Outcomes;
use ring::Ring;
use std::mem;
use std::task::{Wake, Waker};
use tasks::Tasks;

/// The identity of a session within one [`ChatSessions`](crate::ChatSessions) (clause C2).
pub(crate) struct Actor {
    pub(crate) id: SessionId,
    names: Weak<Names<Actor>>,
    cell: Mutex<Cell>,
}

/// Everything of a session that changes, under the actor's lock. No code of the user's or of the
/// store's runs under it.
pub(crate) struct Cell {
    pub(crate) machine: Machine,
    pub(crate) tasks: Tasks,
    pub(crate) outcomes: Outcomes,
    pub(crate) ring: Ring,
    wakers: Wakers,
    /// The number of the last caller that registered a waker.
    last_key: u64,
    /// The actor's waker was called since a task was last polled.
    pub(crate) woken: bool,
    /// How often callers were woken, or a reader asked to be. It tells a poll that it missed one.
    pub(crate) wakes: u64,
    /// Calls that wait for the state to be loaded: it is not taken away before they have used it.
    pub(crate) holds: u64,
    /// When anything last used the session.
    pub(crate) used_at: u64,
    /// The bytes that the registry charges for it.
    pub(crate) charged: u64,
    /// Whether it stands in the registry's queue of live sessions.
    pub(crate) enlisted: bool,
}

impl Actor {
    pub(crate) fn new(id: SessionId, config: Arc<Config>, names: Weak<Names<Self>>) -> Self {
        let cell = Cell {
            machine: Machine::new(id.clone(), config),
            tasks: Tasks::default(),
            outcomes: Outcomes::default(),
            ring: Ring::default(),
            wakers: Wakers::default(),
            last_key: 0,
            woken: false,
            wakes: 0,
            holds: 0,
            used_at: 0,
            charged: 0,
            enlisted: false,
        };
        Self { id, names, cell: Mutex::new(cell) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Cell> {
        self.cell.lock()
    }

    /// Keeps the state in memory until the call has ended.
    pub(crate) fn hold(&self) -> Hold<'_> {
        self.lock().holds += 1;
        Hold(self)
    }

    /// Wakes every caller that waits for something of the session.
    pub(crate) fn wake_all(&self) {
        let wakers = {
            let mut cell = self.lock();
            cell.woken = true;
            cell.wakes += 1;
            cell.take_wakers()
        };
        wakers.wake();
    }

    /// Begins an erasure: calls under way that are not with the store fail.
    pub(crate) fn begin_to_erase(&self) {
        let wakers = {
            let mut cell = self.lock();
            let retried = cell.machine.begin_to_erase();
            cell.outcomes.put_retried(retried);
            cell.take_wakers()
        };
        wakers.wake();
    }

    /// A caller gives up. The others are woken: it may have been about to poll the store.
    pub(crate) fn leave(&self, key: Option<u64>) {
        if let Some(key) = key {
            let others = {
                let mut cell = self.lock();
                cell.wakers.remove(key);
                cell.take_wakers()
            };
            others.wake();
        }
    }
}

impl Wake for Actor {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        if let Some(names) = self.names.upgrade() {
            names.forget(&self.id);
        }
    }
}

/// A call that needs the state in memory. Without it, a session larger than the memory there is for
/// all of them would be loaded and dropped forever, and never used.
pub(crate) struct Hold<'a>(&'a Actor);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.lock().holds -= 1;
    }
}

impl Cell {
    /// Takes in the effects of an answer: outcomes for callers, a change for watchers.
    pub(crate) fn take_in(&mut self, effects: Effects) {
        if let Some(settlement) = effects.settled {
            self.outcomes.put(settlement);
        }
        self.outcomes.put_retried(effects.retried);
        if let Some(change) = effects.change {
            self.ring.push(change);
        }
    }

    /// Registers a waker under `key`, making a key for a new caller.
    pub(crate) fn register(&mut self, key: &mut Option<u64>, waker: &Waker) {
        let key = *key.get_or_insert_with(|| {
            self.last_key += 1;
            self.last_key
        });
        self.wakers.put(key, waker);
    }

    /// Takes the waker of a caller out that waits no longer.
    pub(crate) fn unregister(&mut self, key: &mut Option<u64>) {
        if let Some(key) = key.take() {
            self.wakers.remove(key);
        }
    }

    /// Takes all wakers out, to be woken without the lock.
    pub(crate) fn take_wakers(&mut self) -> Wakers {
        mem::take(&mut self.wakers)
    }

    /// Whether a caller waits for something of the session.
    pub(crate) fn is_listened_to(&self) -> bool {
        !self.wakers.is_empty()
    }

    /// Whether work is pending that no caller waits for: nobody polls it unless the session is
    /// used.
    pub(crate) fn is_left_alone(&self) -> bool {
        self.machine.is_busy() && self.wakers.is_empty()
    }

    /// Whether the store may have answered although the last poll did not say so: the store woke
    /// the actor meanwhile, or another thread polls right now. That poll then ends by waking every
    /// caller.
    pub(crate) fn may_be_answered(&mut self) -> bool {
        self.ask_to_be_woken();
        self.tasks.has_main() && self.woken
    }

    /// If another thread polls the load, commit or delete right now, that poll ends by waking every
    /// caller.
    pub(crate) fn ask_to_be_woken(&mut self) {
        if self.tasks.is_main_polled() {
            self.woken = true;
            self.wakes += 1;
        }
    }
}
