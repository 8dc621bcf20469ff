//! The state of the writer thread.

use super::queue::Queue;
use crate::check;
use crate::flush::Flusher;
use crate::gate::Verdict;
use crate::layout::Known;
use crate::opened::{OpenCheck, Settings, Source};
use crate::shared_store::{Counters, SharedStore};
use crate::spin_wait::SpinWait;
use crate::wal::{Log, Position};
use durable_session::env::Random;
use durable_session::store::StoreError;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// After the storage failed: the shortest time between two attempts.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The owner of the log, and of all changes.
pub(crate) struct Writer {
    pub(super) shared: Arc<SharedStore>,
    pub(super) queue: Arc<Queue>,
    pub(super) flusher: Flusher,
    pub(super) source: Source,
    pub(super) settings: Settings,
    pub(super) random: Arc<dyn Random>,
    /// `None` in a store that is open for reading only, and after a failure until the store is open
    /// again.
    pub(super) log: Option<Log>,
    /// Heads of sessions as of the last batch; emptied if they may be outdated.
    pub(super) known: Known,
    pub(super) spin_wait: SpinWait,
    /// The room of the last batch, for the next one.
    pub(super) buffer: Vec<u8>,
    /// The frozen memtable, until it is in the tables.
    pub(super) frozen: Option<Frozen>,
    /// Bytes of the log since the last memtable was frozen.
    pub(super) logged: u64,
    /// The active memtable was due before the frozen one was in the tables.
    pub(super) flush_is_late: bool,
    /// The last flush failed.
    pub(super) flush_failure: Option<(Instant, StoreError)>,
    /// The time of the last attempt to open the storage again.
    pub(super) last_attempt: Option<Instant>,
}

/// What the tables have once the frozen memtable is flushed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frozen {
    pub(super) flushed: Position,
    pub(super) next_number: u64,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<SharedStore>,
        queue: Arc<Queue>,
        flusher: Flusher,
        source: Source,
        settings: Settings,
        random: Arc<dyn Random>,
        log: Option<Log>,
    ) -> Self {
        let writer = Self {
            shared,
            queue,
            flusher,
            source,
            settings,
            random,
            log,
            known: Known::new(settings.cache_bytes),
            spin_wait: SpinWait::new(),
            buffer: Vec::new(),
            frozen: None,
            logged: 0,
            flush_is_late: false,
            flush_failure: None,
            last_attempt: None,
        };
        writer.count_log();
        writer
    }

    /// Has the file verified, unless it is `verified` or trusted. Returns at once.
    pub(crate) fn verify(&self, verified: bool) {
        if verified || self.settings.check == OpenCheck::Skip {
            self.shared.gate.begin(Verdict::Sound);
        } else {
            check::start(&self.shared, &self.queue);
        }
    }

    /// Shows the size of the log to [`Stats`](crate::Stats).
    pub(super) fn count_log(&self) {
        let Counters { log_bytes, .. } = &self.shared.counters;
        log_bytes.store(self.log.as_ref().map_or(0, Log::used_bytes), Ordering::Relaxed);
    }

    /// Whether the last attempt to open the storage was long ago.
    pub(super) fn may_try_again(&self) -> bool {
        self.last_attempt.is_none_or(|last| last.elapsed() >= RETRY_AFTER)
    }
}
