//! The thread that moves frozen memtables to the tables.

use crate::error::{Fault, caught};
use crate::layout;
use crate::memtable::Layer;
use crate::shared_store::{Counters, SharedStore};
use crate::wal::Position;
use crate::writer::Queue;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of one transaction of a flush. The sync of a larger one would make the syncs of the log
/// wait, which go to the same disk.
const SLICE_BYTES: usize = 2 * 1024 * 1024;

/// The same when writes wait for the flush anyway. Each transaction writes down which pages of the
/// file are free: two bits for each page of 4 KiB, some 65 KB for each GB.
const LATE_SLICE_BYTES: usize = 16 * 1024 * 1024;

/// After each slice a flush rests for as long as the slice took, and at most so long. Commits then
/// meet the sync of a slice half as often.
const LONGEST_REST: Duration = Duration::from_millis(100);

/// A frozen layer, and what the tables have once it is flushed.
pub(crate) struct FlushJob {
    pub(crate) layer: Arc<Layer>,
    /// The last position in the layer.
    pub(crate) flushed: Position,
    /// The next session number as of that position.
    pub(crate) next_number: u64,
}

/// How a flush ended.
pub(crate) enum Flushed {
    /// The tables have everything up to here, durably.
    Done(Position),
    /// It was told to stop. The tables may have a part of it.
    Stopped,
    Failed(Fault),
}

/// The writer's end of the flush thread.
pub(crate) struct Flusher {
    desk: Arc<Desk>,
}

#[derive(Default)]
struct Desk {
    state: Mutex<DeskState>,
    changed: Condvar,
    /// The flush that runs should stop.
    stop: AtomicBool,
}

/// What a flush cares for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Pace {
    /// The syncs of the log: it rests between slices.
    #[default]
    Calm,
    /// Its end: writes soon wait for it.
    Hurried,
    /// Its end, and the bytes that it writes: writes wait for it, or waited for the one before.
    Late,
}

#[derive(Default)]
struct DeskState {
    job: Option<FlushJob>,
    running: bool,
    pace: Pace,
    result: Option<Flushed>,
    ended: bool,
}

impl Flusher {
    pub(crate) fn start(shared: &Arc<SharedStore>, queue: &Arc<Queue>) -> io::Result<Self> {
        let desk = Arc::new(Desk::default());
        let (thread, shared, queue) = (Arc::clone(&desk), Arc::clone(shared), Arc::clone(queue));
        std::thread::Builder::new()
            .name("durable-session-flush".into())
            .spawn(move || run(&thread, &shared, &queue))?;
        Ok(Self { desk })
    }

    /// Hands a job to the thread, which has none. `late`: writes waited for the one before.
    pub(crate) fn begin(&self, job: FlushJob, late: bool) {
        self.desk.stop.store(false, Ordering::Release);
        let mut state = self.desk.lock();
        state.running = true;
        state.pace = if late { Pace::Late } else { Pace::Calm };
        state.job = Some(job);
        drop(state);
        self.desk.changed.notify_all();
    }

    /// Whether a flush runs.
    pub(crate) fn is_busy(&self) -> bool {
        self.desk.lock().running
    }

    /// The end of the last flush, if it was not taken yet.
    pub(crate) fn take(&self) -> Option<Flushed> {
        self.desk.lock().result.take()
    }

    /// Has the flush that runs rest no more.
    pub(crate) fn hurry(&self) {
        let mut state = self.desk.lock();
        if state.pace < Pace::Hurried {
            state.pace = Pace::Hurried;
            drop(state);
            self.desk.changed.notify_all();
        }
    }

    /// Waits until no flush runs, and takes its end.
    pub(crate) fn wait(&self) -> Option<Flushed> {
        self.hurry();
        let mut state = self.desk.lock();
        while state.running {
            state = self.desk.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.result.take()
    }

    /// Stops the flush after its present slice, and waits for that.
    pub(crate) fn stop(&self) -> Option<Flushed> {
        self.desk.stop.store(true, Ordering::Release);
        self.wait()
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.desk.stop.store(true, Ordering::Release);
        self.desk.lock().ended = true;
        self.desk.changed.notify_all();
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, DeskState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves the disk to the log for a while.
    fn rest(&self, time: Duration) {
        let end = Instant::now() + time.min(LONGEST_REST);
        let mut state = self.lock();
        while state.pace == Pace::Calm && !state.ended {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for a job; `None` once the writer is gone.
    fn next(&self) -> Option<FlushJob> {
        let mut state = self.lock();
        loop {
            if state.ended {
                return None;
            }
            if let Some(job) = state.job.take() {
                return Some(job);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn run(desk: &Desk, shared: &SharedStore, queue: &Queue) {
    while let Some(job) = desk.next() {
        let flushed = flush(desk, shared, &job);
        let mut state = desk.lock();
        state.running = false;
        state.result = Some(flushed);
        drop(state);
        desk.changed.notify_all();
        queue.attend();
    }
}

fn flush(desk: &Desk, shared: &SharedStore, job: &FlushJob) -> Flushed {
    let connection = shared.connection();
    let mut slice_began: Option<Instant> = None;
    let next_slice = || {
        if let Some(began) = slice_began {
            desk.rest(began.elapsed());
        }
        slice_began = Some(Instant::now());
        let late = desk.lock().pace == Pace::Late;
        let bytes = if late { LATE_SLICE_BYTES } else { SLICE_BYTES };
        (!desk.stop.load(Ordering::Acquire)).then_some(bytes)
    };
    let flushed = caught(|| {
        let FlushJob { layer, flushed, next_number } = job;
        let db = connection.writable()?;
        layout::flush(layer, db, *flushed, *next_number, next_slice)
    });
    match flushed.unwrap_or_else(|message| Err(Fault::Panic(message))) {
        Ok(true) => {
            // `job` still has the layer: its memory is given back after this lock is.
            shared.memtable_mut().drop_frozen();
            Counters::add(&shared.counters.flushes, 1);
            Flushed::Done(job.flushed)
        }
        Ok(false) => Flushed::Stopped,
        Err(fault) => Flushed::Failed(fault),
    }
}
