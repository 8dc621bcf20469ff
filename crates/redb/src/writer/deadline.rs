//! Deadlines without a runtime's timer: one thread that sleeps until the next one.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Hands out alarms.
pub(crate) struct Deadlines {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    alarms: BTreeMap<(Instant, u64), oneshot::Sender<()>>,
    count: u64,
    /// Alarms that nobody waits for any more are dropped when there are so many.
    prune_at: usize,
    ended: bool,
}

impl Deadlines {
    pub(crate) fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = Arc::clone(&shared);
        std::thread::Builder::new().name("durable-session-deadlines".into()).spawn(move || run(&thread))?;
        Ok(Self { shared })
    }

    /// Resolves (with an error or not) once `delay` is over.
    pub(crate) fn after(&self, delay: Duration) -> oneshot::Receiver<()> {
        let (alarm, rings) = oneshot::channel();
        let now = Instant::now();
        // Too far off to be reckoned with: as good as never, but still bounded.
        let at = now.checked_add(delay).unwrap_or_else(|| now + Duration::from_hours(24));
        let mut state = self.shared.lock();
        if state.alarms.len() >= state.prune_at {
            state.alarms.retain(|_, alarm| !alarm.is_closed());
            state.prune_at = 2 * state.alarms.len() + 64;
        }
        state.count += 1;
        let key = (at, state.count);
        state.alarms.insert(key, alarm);
        drop(state);
        self.shared.changed.notify_one();
        rings
    }
}

impl Drop for Deadlines {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn run(shared: &Shared) {
    let mut state = shared.lock();
    while !state.ended {
        let now = Instant::now();
        while let Some(entry) = state.alarms.first_entry()
            && entry.key().0 <= now
        {
            // Nobody may be waiting any more.
            let _ = entry.remove().send(());
        }
        let next = state.alarms.first_key_value().map(|((at, _), _)| at.saturating_duration_since(now));
        state = match next {
            None => shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(delay) => {
                shared.changed.wait_timeout(state, delay).unwrap_or_else(PoisonError::into_inner).0
            }
        };
    }
}
