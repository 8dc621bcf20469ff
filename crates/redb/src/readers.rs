//! The threads that read, so that no executor ever waits for the disk.

use crate::engine::Engine;
use crate::error::closed;
use crate::writer::{Lookout, Queue};
use durable_session::store::StoreError;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce(&Engine) + Send>;

/// A small pool of reader threads.
pub(crate) struct Readers {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    filled: Condvar,
    /// As many as `jobs`, to be watched without the lock.
    waiting: AtomicUsize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    ended: bool,
    /// How many threads sleep.
    asleep: usize,
    /// One thread watches for jobs before it sleeps; more would only keep others from their cores.
    watching: bool,
}

impl Readers {
    pub(crate) fn start(threads: usize, engine: &Arc<Engine>, queue: &Arc<Queue>) -> io::Result<Self> {
        // Made first, so that a thread that cannot be started ends those before it.
        let readers = Self { shared: Arc::default() };
        for n in 0..threads.max(1) {
            let (shared, engine, queue) =
                (Arc::clone(&readers.shared), Arc::clone(engine), Arc::clone(queue));
            std::thread::Builder::new()
                .name(format!("durable-session-reader-{n}"))
                .spawn(move || run(&shared, &engine, &queue))?;
        }
        Ok(readers)
    }

    /// Runs `read` on a reader thread. A read whose future is dropped before its turn is not made.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Engine) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(move |engine: &Engine| {
            if !answer.is_closed() {
                let _ = answer.send(read(engine));
            }
        });
        self.shared.put(job);
        answered.await.unwrap_or_else(|_| Err(closed()))
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.filled.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waking a thread costs a system call, and is not needed for what one that watches will take.
    fn put(&self, job: Job) {
        let mut state = self.lock();
        state.jobs.push_back(job);
        self.waiting.store(state.jobs.len(), Ordering::Release);
        let wake = state.asleep > 0 && state.jobs.len() > usize::from(state.watching);
        drop(state);
        if wake {
            self.filled.notify_one();
        }
    }

    /// The next job; `None` once there will be none.
    fn next(&self, lookout: &mut Lookout) -> Option<Job> {
        let mut state = self.lock();
        let mut watched = false;
        loop {
            if let Some(job) = state.jobs.pop_front() {
                self.waiting.store(state.jobs.len(), Ordering::Release);
                return Some(job);
            }
            if state.ended {
                return None;
            }
            if !watched && !state.watching && lookout.is_due() {
                watched = true;
                state.watching = true;
                drop(state);
                lookout.until(|| self.waiting.load(Ordering::Acquire) > 0);
                state = self.lock();
                state.watching = false;
            } else {
                state.asleep += 1;
                state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.asleep -= 1;
            }
        }
    }
}

fn run(shared: &Shared, engine: &Engine, queue: &Queue) {
    let mut lookout = Lookout::new();
    while let Some(job) = shared.next(&mut lookout) {
        job(engine);
        if engine.is_suspect() {
            queue.recover();
        }
    }
}
