//! The threads that read, so that no executor ever waits for the disk.

use crate::engine::Engine;
use crate::error::closed;
use crate::writer::Queue;
use durable_session::store::StoreError;
use std::collections::VecDeque;
use std::io;
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
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    ended: bool,
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
        self.shared.lock().jobs.push_back(job);
        self.shared.filled.notify_one();
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
}

fn run(shared: &Shared, engine: &Engine, queue: &Queue) {
    let mut state = shared.lock();
    loop {
        if let Some(job) = state.jobs.pop_front() {
            drop(state);
            job(engine);
            if engine.is_suspect() {
                queue.recover();
            }
            state = shared.lock();
        } else if state.ended {
            return;
        } else {
            state = shared.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
