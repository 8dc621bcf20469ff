//! The tasks that write replies in an object.

use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use worker::send::SendFuture;
use worker::{Delay, State};

/// A stream of chunks is written when so many bytes wait, or so much time has passed since the
/// write before: each write is a billed row.
pub(crate) const GATHER_BYTES: u64 = 16 << 10;
const GATHER_TIME: Duration = Duration::from_millis(250);

/// The time from one write of gathered chunks to the next.
pub(crate) fn pause() -> impl Future<Output = ()> + Send + 'static {
    SendFuture::new(Delay::from(GATHER_TIME))
}

/// The tasks that run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Producers {
    running: Arc<AtomicUsize>,
}

impl Producers {
    pub(crate) fn any(&self) -> bool {
        self.running.load(Ordering::Relaxed) > 0
    }

    /// Runs a task to its end, also while the object answers no request. From the compatibility
    /// date 2026-10-01 on, the platform keeps the object in memory for it.
    pub(crate) fn run(&self, state: &State, task: BoxFuture<'static, ()>) {
        let running = Running::new(&self.running);
        state.wait_until(async move {
            task.await;
            drop(running);
        });
    }
}

/// Counts a task until it is dropped.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
