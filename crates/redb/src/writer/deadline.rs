//! Deadlines without a runtime's timer: one thread sleeps until the earliest of them.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Hands out alarms.
pub(crate) struct Deadlines {
    alarms: Arc<Alarms>,
}

#[derive(Default)]
struct Alarms {
    state: Mutex<AlarmState>,
    changed: Condvar,
}

#[derive(Default)]
struct AlarmState {
    alarms: BTreeMap<(Instant, u64), oneshot::Sender<()>>,
    count: u64,
    /// The number of alarms at which abandoned ones are dropped.
    prune_at: usize,
    ended: bool,
}

impl Deadlines {
    pub(crate) fn start() -> io::Result<Self> {
        let alarms = Arc::new(Alarms::default());
        let thread = Arc::clone(&alarms);
        std::thread::Builder::new()
            .name("durable-session-deadlines".into())
            .spawn(move || run(&thread))?;
        Ok(Self { alarms })
    }

    /// Resolves, to `Ok` or an error, once `delay` is over.
    pub(crate) fn after(&self, delay: Duration) -> oneshot::Receiver<()> {
        let (alarm, rings) = oneshot::channel();
        let now = Instant::now();
        // A delay that overflows the clock: as good as never, but bounded.
        let at = now.checked_add(delay).unwrap_or_else(|| now + Duration::from_hours(24));
        let mut state = self.alarms.lock();
        if state.alarms.len() >= state.prune_at {
            state.alarms.retain(|_, alarm| !alarm.is_closed());
            state.prune_at = 2 * state.alarms.len() + 64;
        }
        state.count += 1;
        let key = (at, state.count);
        state.alarms.insert(key, alarm);
        drop(state);
        self.alarms.changed.notify_one();
        rings
    }
}

impl Drop for Deadlines {
    fn drop(&mut self) {
        self.alarms.lock().ended = true;
        self.alarms.changed.notify_one();
    }
}

impl Alarms {
    fn lock(&self) -> MutexGuard<'_, AlarmState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn run(alarms: &Alarms) {
    let mut state = alarms.lock();
    while !state.ended {
        let now = Instant::now();
        while let Some(entry) = state.alarms.first_entry()
            && entry.key().0 <= now
        {
            // The waiting call may be gone.
            let _ = entry.remove().send(());
        }
        let next =
            state.alarms.first_key_value().map(|((at, _), _)| at.saturating_duration_since(now));
        state = match next {
            None => alarms.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(delay) => {
                alarms.changed.wait_timeout(state, delay).unwrap_or_else(PoisonError::into_inner).0
            }
        };
    }
}
