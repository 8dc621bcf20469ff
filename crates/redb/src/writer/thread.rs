//! The writer thread: the one thread that writes.
//!
//! It takes requests from the queue and works them out, writes their edits to the log as one batch,
//! shows them to readers and answers the callers.

use super::batch::{self, Drafted, Outcomes};
use super::queue::{Control, Queue, WriterStep};
use super::request::{Request, WriteOutcome};
use super::writer_state::Writer;
use crate::layout::Draft;
use crate::limits::LIMITS;
use crate::memtable::Staged;
use crate::shared_store::Counters;
use crate::wal::{AppendError, Log};
use durable_session::store::{CommitOutcome, StoreError, StoreErrorKind};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Time without requests after which the writer seals the log.
const IDLE: Duration = Duration::from_millis(20);

/// The room for a batch that is kept for the next one.
const KEPT_BUFFER: usize = 1024 * 1024;

/// Abandons the queue when the writer ends, also if it panics. Each waiting caller then gets an
/// error, so no caller waits for ever.
pub(super) struct AbandonOnDrop(pub(super) Arc<Queue>);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(self) -> io::Result<()> {
        std::thread::Builder::new().name("durable-session-writer".into()).spawn(move || {
            let _guard = AbandonOnDrop(Arc::clone(&self.queue));
            self.run();
        })?;
        Ok(())
    }

    fn run(mut self) {
        loop {
            let unsealed = self.log.as_ref().is_some_and(|log| !log.is_sealed());
            match self.queue.next(&mut self.spin_wait, unsealed.then_some(IDLE)) {
                WriterStep::Batch(requests) => self.write(requests),
                WriterStep::Idle => self.seal(),
                WriterStep::Attend => self.attend(),
                WriterStep::Control(Control::Compact(result)) => {
                    let _ = result.send(self.compact());
                }
                WriterStep::Control(Control::Scrub(result)) => {
                    let _ = result.send(self.scrub());
                }
                WriterStep::Control(Control::Reopen(result)) => {
                    let _ = result.send(self.reopen_on_request());
                }
                WriterStep::Control(Control::Close(result)) => {
                    let _ = result.send(self.close());
                    return;
                }
                WriterStep::End => {
                    if let Err(error) = self.close() {
                        tracing::warn!(%error, "the store was not closed cleanly");
                    }
                    return;
                }
            }
        }
    }

    fn write(&mut self, requests: Vec<Request>) {
        Counters::add(&self.shared.counters.changes, requests.len() as u64);
        self.attend();
        self.retry_reopening();
        if let Some(error) = self.shared.refusal() {
            return refuse(requests, &error);
        }
        match self.draft(&requests) {
            Drafted::Done { outcomes, staged } if staged.is_empty() => {
                self.answer(requests, outcomes, false);
            }
            Drafted::Done { outcomes, staged } => self.make_durable(requests, outcomes, staged),
            Drafted::Poisoned { index, error } => {
                self.known.clear();
                self.shared.poison(&error);
                let refusal = self.shared.refusal().unwrap_or_else(|| error.clone());
                for (n, request) in requests.into_iter().enumerate() {
                    let error = if n == index { &error } else { &refusal };
                    refuse([request], error);
                }
            }
            Drafted::Failed { error } => self.database_failed(requests, &error),
        }
    }

    fn draft(&mut self, requests: &[Request]) -> Drafted {
        let shared = Arc::clone(&self.shared);
        let connection = shared.connection();
        let db = match connection.writable() {
            Ok(db) => db,
            Err(error) => return Drafted::Failed { error },
        };
        let (layers, next_number) = {
            let memtable = shared.memtable();
            (memtable.snapshot(), memtable.next_number())
        };
        let buffer = std::mem::take(&mut self.buffer);
        let draft = Draft::new(layers, db, &mut self.known, shared.salt(), next_number, buffer);
        batch::draft(draft, requests, &*self.random, &LIMITS)
    }

    /// Writes the batch to the log, shows it to readers, and answers the callers, in this order.
    fn make_durable(&mut self, requests: Vec<Request>, outcomes: Outcomes, mut staged: Staged) {
        if let Err(error) = self.make_room(staged.buffer.len() as u64) {
            self.known.clear();
            return refuse(requests, &error);
        }
        let appended = match &mut self.log {
            Some(log) => log.append(&mut staged.buffer, staged.count),
            None => Err(AppendError::Refused(io::Error::other("the log is closed"))),
        };
        let appended = match appended {
            Ok(appended) => appended,
            Err(AppendError::Refused(error)) => {
                self.known.clear();
                let text = "the log has no room for the change";
                let error = StoreError::new(StoreErrorKind::Unavailable, text).with_source(error);
                return refuse(requests, &error);
            }
            Err(AppendError::Failed(error)) => return self.log_failed(requests, error),
        };
        let applied = self.shared.memtable_mut().apply(&staged, &appended);
        if let Err(error) = applied {
            // The writer made the batch itself, so this is a fault of the program.
            return self.log_failed(requests, io::Error::other(error));
        }
        self.logged += staged.buffer.len() as u64;
        self.answer(requests, outcomes, true);
        self.buffer = staged.buffer;
        if self.buffer.capacity() > KEPT_BUFFER {
            self.buffer = Vec::new();
        }
        self.count_log();
        self.freeze_if_due();
    }

    fn answer(&self, requests: Vec<Request>, outcomes: Outcomes, written: bool) {
        let counters = &self.shared.counters;
        let committed = |outcome: &&Result<WriteOutcome, StoreError>| {
            matches!(outcome, Ok(WriteOutcome::Committed(CommitOutcome::Committed(_))))
        };
        let commits = outcomes.iter().filter(committed).count();
        Counters::add(&counters.commits, commits as u64);
        Counters::add(&counters.batches, u64::from(written));
        counters.largest_batch.fetch_max(outcomes.len() as u64, Ordering::Relaxed);
        // A caller that is gone gets no answer; its write is durable all the same.
        let responders = requests.into_iter().map(|request| request.responder);
        self.queue.wakeups.send(responders.zip(outcomes));
    }

    /// Ends a pause of the log with an empty batch: the last one before it then has a successor,
    /// and damage to it cannot look like a crash.
    fn seal(&mut self) {
        match self.log.as_mut().map_or(Ok(()), Log::seal) {
            Ok(()) => self.count_log(),
            Err(AppendError::Refused(error)) => tracing::warn!(%error, "the log was not sealed"),
            Err(AppendError::Failed(error)) => self.log_failed(Vec::new(), error),
        }
    }
}

/// Answers the requests with the error.
pub(super) fn refuse(requests: impl IntoIterator<Item = Request>, error: &StoreError) {
    for request in requests {
        request.responder.send(Err(error.clone().in_session(&request.id)));
    }
}
