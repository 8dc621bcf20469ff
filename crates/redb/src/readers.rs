//! The threads that read, so that no executor waits for the disk.

use crate::error::closed;
use crate::shared_store::SharedStore;
use crate::spin_wait::SpinWait;
use crate::writer::Queue;
use durable_session::store::StoreError;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce(&SharedStore) + Send>;

/// A small pool of reader threads.
pub(crate) struct Readers {
    pool: Arc<Pool>,
}

#[derive(Default)]
struct Pool {
    state: Mutex<PoolState>,
    filled: Condvar,
    /// The number of `jobs`, for polling without the lock.
    waiting: AtomicUsize,
}

#[derive(Default)]
struct PoolState {
    jobs: VecDeque<Job>,
    ended: bool,
    /// Threads that sleep.
    asleep: usize,
    /// A thread is in its spin-wait. One at a time: more would only take cores from other work.
    spinning: bool,
}

impl Readers {
    pub(crate) fn start(
        threads: usize,
        shared: &Arc<SharedStore>,
        queue: &Arc<Queue>,
    ) -> io::Result<Self> {
        // Dropped if a thread cannot be started, which ends the threads before it.
        let readers = Self { pool: Arc::default() };
        for n in 0..threads.max(1) {
            let (pool, shared, queue) =
                (Arc::clone(&readers.pool), Arc::clone(shared), Arc::clone(queue));
            std::thread::Builder::new()
                .name(format!("durable-session-reader-{n}"))
                .spawn(move || run(&pool, &shared, &queue))?;
        }
        Ok(readers)
    }

    /// Runs `read` on a reader thread, unless the future is dropped before its turn.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&SharedStore) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, receiver) = oneshot::channel();
        let job = Box::new(move |shared: &SharedStore| {
            if !sender.is_closed() {
                let _ = sender.send(read(shared));
            }
        });
        self.pool.put(job);
        receiver.await.unwrap_or_else(|_| Err(closed()))
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.pool.lock().ended = true;
        self.pool.filled.notify_all();
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job. Waking a thread costs a system call and is skipped if a spinning one takes it.
    fn put(&self, job: Job) {
        let mut state = self.lock();
        state.jobs.push_back(job);
        self.waiting.store(state.jobs.len(), Ordering::Release);
        let wake = state.asleep > 0 && state.jobs.len() > usize::from(state.spinning);
        drop(state);
        if wake {
            self.filled.notify_one();
        }
    }

    /// Waits for the next job; `None` once the pool has ended.
    fn next(&self, spin_wait: &mut SpinWait) -> Option<Job> {
        let mut state = self.lock();
        let mut spun = false;
        loop {
            if let Some(job) = state.jobs.pop_front() {
                self.waiting.store(state.jobs.len(), Ordering::Release);
                return Some(job);
            }
            if state.ended {
                return None;
            }
            if !spun && !state.spinning && spin_wait.is_due() {
                spun = true;
                state.spinning = true;
                drop(state);
                spin_wait.until(|| self.waiting.load(Ordering::Acquire) > 0);
                state = self.lock();
                state.spinning = false;
            } else {
                state.asleep += 1;
                state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.asleep -= 1;
            }
        }
    }
}

fn run(pool: &Pool, shared: &SharedStore, queue: &Queue) {
    let mut spin_wait = SpinWait::new();
    while let Some(job) = pool.next(&mut spin_wait) {
        job(shared);
        if shared.is_suspect() {
            queue.attend();
        }
    }
}
