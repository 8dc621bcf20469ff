//! The writer thread.

use super::batch::{self, Applied, Context, Written};
use super::queue::{Control, Queue, Work};
use super::{Done, Lookout, Request};
use crate::OpenError;
use crate::engine::{Counters, Db, Engine, Slot};
use crate::error::{Fault, caught, closed};
use crate::layout::{self, Known, Position, Slice};
use crate::open::{self, Opened, Settings, Source};
use durable_session::env::Random;
use durable_session::planted::bug;
use durable_session::store::{CommitOutcome, StoreError, StoreErrorKind};
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long storage that failed is left alone before it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long nothing must wait before the writer folds for itself.
const IDLE: Duration = Duration::from_millis(20);

/// The one owner of all write transactions.
pub(crate) struct Writer {
    pub(crate) engine: Arc<Engine>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) source: Source,
    pub(crate) settings: Settings,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) quick_repair: bool,
    pub(crate) last_attempt: Option<Instant>,
    /// Empty whenever it might not be true.
    pub(crate) known: Known,
    pub(crate) lookout: Lookout,
    pub(crate) position: Position,
}

/// Starts the writer thread.
pub(crate) fn start(writer: Writer) -> io::Result<()> {
    std::thread::Builder::new().name("durable-session-writer".into()).spawn(move || {
        let _ends = Ends(Arc::clone(&writer.queue));
        writer.run();
    })?;
    Ok(())
}

/// However the writer ends, by a panic too: nobody is left waiting for it.
pub(super) struct Ends(pub(super) Arc<Queue>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl Writer {
    fn run(mut self) {
        loop {
            let idle = self.may_fold().then_some(IDLE);
            match self.queue.next(&mut self.lookout, idle) {
                Work::Batch(requests) => self.write(requests, Slice::Share),
                Work::Idle => self.write(Vec::new(), Slice::Idle),
                Work::Control(Control::Compact(answer)) => {
                    let _ = answer.send(self.compact());
                }
                Work::Control(Control::Reopen(answer)) => {
                    let _ = answer.send(self.reopen());
                }
                Work::Control(Control::Close(answer)) => {
                    let _ = answer.send(self.close());
                    return;
                }
                Work::Recover => {
                    let engine = Arc::clone(&self.engine);
                    let suspected = engine.take_suspicion();
                    if suspected && matches!(*engine.shared(), Slot::Open(_)) {
                        self.recover(&mut engine.exclusive(), "a read met failed storage");
                    } else if suspected {
                        self.retry_if_failed();
                    }
                }
                Work::End => {
                    if let Err(error) = self.close() {
                        tracing::warn!(%error, "the store was not closed cleanly; opening it will take longer");
                    }
                    return;
                }
            }
        }
    }

    fn write(&mut self, mut requests: Vec<Request>, slice: Slice) {
        self.retry_if_failed();
        Counters::add(&self.engine.counters.changes, requests.len() as u64);
        while !requests.is_empty() || slice == Slice::Idle {
            if let Some(error) = &*self.engine.condemned() {
                return refuse(requests, error);
            }
            match self.apply(&requests, slice) {
                Applied::Done { answers, written } => {
                    self.count(&answers, written.is_some());
                    if let Some(written) = written {
                        self.take_in(written);
                    }
                    // A caller may have gone; its change stays.
                    self.queue.due.send(requests.into_iter().map(|request| request.answer).zip(answers));
                    return;
                }
                Applied::Without { index, error } => {
                    requests.remove(index).answer.send(Err(error));
                }
                Applied::Condemned { index, error } => {
                    self.engine.condemn(&error);
                    if let Some(index) = index {
                        requests.remove(index).answer.send(Err(error));
                    }
                }
                Applied::Failed { error } => return self.fail(requests, &error),
                Applied::Broken { fault } => {
                    let error = self.broken(fault);
                    return self.fail(requests, &error);
                }
            }
        }
    }

    fn may_fold(&self) -> bool {
        self.position.is_frozen()
            && self.engine.condemned().is_none()
            && matches!(*self.engine.shared(), Slot::Open(_))
    }

    /// Shows readers what is durable now.
    fn take_in(&mut self, Written { effects, position }: Written) {
        self.position = position;
        let mut logged = self.engine.logged_mut();
        logged.apply(effects);
        self.position.switch(&mut logged);
    }

    fn apply(&mut self, requests: &[Request], slice: Slice) -> Applied {
        let slot = self.engine.shared();
        match slot.db().and_then(Db::writable) {
            Err(error) => Applied::Failed { error },
            Ok(db) => {
                let begin = || match *slot {
                    // A host's storage is out of sight.
                    Slot::Open(Db::Host(_)) => self.engine.watch.assume_written(),
                    _ => self.engine.watch.begin(),
                };
                // Put back only if all that it was told has been committed.
                let mut known = std::mem::take(&mut self.known);
                let context = Context {
                    random: &*self.random,
                    known: &mut known,
                    logged: &self.engine.logged(),
                    position: self.position,
                    slice,
                    quick_repair: self.quick_repair,
                };
                let applied = batch::apply(db, requests, context, begin);
                // What a host shares, others may write to.
                if matches!((&applied, &*slot), (Applied::Done { .. }, Slot::Open(Db::Own(_)))) {
                    self.known = known;
                }
                applied
            }
        }
    }

    fn count(&self, answers: &[Result<Done, StoreError>], written: bool) {
        let counters = &self.engine.counters;
        let commits = answers
            .iter()
            .filter(|answer| matches!(answer, Ok(Done::Committed(CommitOutcome::Committed(_)))))
            .count();
        Counters::add(&counters.commits, commits as u64);
        Counters::add(&counters.transactions, u64::from(written));
        counters.largest_batch.fetch_max(answers.len() as u64, std::sync::atomic::Ordering::Relaxed);
    }

    /// What callers are told when the commit of a transaction broke off.
    fn broken(&self, fault: Fault) -> StoreError {
        let poisoned = matches!(fault, Fault::Redb(redb::Error::TransactionPoisoned));
        let error = fault.unchanged("committing");
        if poisoned || !self.engine.watch.may_have_taken_effect() || bug("deny-what-is-unknown") {
            return error;
        }
        StoreError::new(
            StoreErrorKind::OutcomeUnknown,
            "the storage failed while the change was being made durable",
        )
        .with_source(error)
    }

    /// redb refuses all work after an I/O error: the database has to be opened again, from the disk.
    ///
    /// Reads are shut out before anyone is told: what memory still shows may not be what the disk has.
    fn fail(&mut self, requests: Vec<Request>, error: &StoreError) {
        let engine = Arc::clone(&self.engine);
        let mut slot = engine.exclusive();
        refuse(requests, error);
        if matches!(*slot, Slot::Open(_)) {
            self.recover(&mut slot, &error.to_string());
        }
    }

    fn retry_if_failed(&mut self) {
        let engine = Arc::clone(&self.engine);
        if !matches!(*engine.shared(), Slot::Failed(_)) {
            return;
        }
        if self.source.can_be_had_again()
            && self.last_attempt.is_none_or(|last| last.elapsed() >= RETRY_AFTER)
        {
            self.recover(&mut engine.exclusive(), "an earlier attempt failed");
        }
    }

    fn recover(&mut self, slot: &mut Slot, reason: &str) {
        tracing::warn!(reason, "storage failed; opening the store again from the disk");
        self.take_away(slot);
        if let Err(error) = self.open_again(slot) {
            tracing::error!(%error, "the store answers nothing until it can be opened again");
        }
    }

    /// As the operator asks; where it cannot be done, nothing changes.
    fn reopen(&mut self) -> Result<(), OpenError> {
        if self.source.can_be_had_again() {
            let engine = Arc::clone(&self.engine);
            let mut slot = engine.exclusive();
            if engine.condemned().is_some() {
                self.take_away(&mut slot);
            }
            self.open_again(&mut slot)
        } else {
            open::again(&mut self.source, self.settings, &self.engine.watch).map(drop)
        }
    }

    /// Closes the database, opens it again and checks every page; nothing else runs meanwhile.
    fn open_again(&mut self, slot: &mut Slot) -> Result<(), OpenError> {
        self.last_attempt = Some(Instant::now());
        self.known = Known::default();
        put_down(slot, Slot::Closed);
        match open::again(&mut self.source, self.settings, &self.engine.watch) {
            Ok(Opened { db, logged, position }) => {
                *slot = Slot::Open(db);
                *self.engine.logged_mut() = logged;
                self.position = position;
                self.engine.take_suspicion();
                *self.engine.condemned() = None;
                Counters::add(&self.engine.counters.reopened, 1);
                Ok(())
            }
            Err(error) => {
                *slot = Slot::Failed(out_of_order(&error));
                Err(error)
            }
        }
    }

    /// Puts a database of our own down without letting redb finish anything. What was acknowledged is on the disk, and what
    /// redb would write now, it would write through trees that may be damaged.
    fn take_away(&self, slot: &mut Slot) {
        match std::mem::replace(slot, Slot::Closed) {
            Slot::Open(Db::Own(db)) => open::take_away(db, &self.engine.watch),
            other => *slot = other,
        }
    }

    fn compact(&mut self) -> Result<bool, StoreError> {
        self.retry_if_failed();
        let engine = Arc::clone(&self.engine);
        let mut slot = engine.exclusive();
        if let Some(error) = &*engine.condemned() {
            return Err(error.clone());
        }
        let compacted = match &mut *slot {
            Slot::Failed(error) => return Err(error.clone()),
            Slot::Closed => return Err(closed()),
            Slot::Open(db @ Db::Damaged(_)) => return db.writable().map(|_| false),
            Slot::Open(Db::Own(db)) => {
                // What the logs hold of deleted messages would stay in them.
                let emptied = caught(|| {
                    layout::empty_logs(db)?;
                    layout::log::recover(db, self.settings.log_bytes)
                });
                match emptied {
                    Ok(Ok((logged, position))) => {
                        *engine.logged_mut() = logged;
                        self.position = position;
                        self.known = Known::default();
                        caught(|| db.compact())
                    }
                    Ok(Err(error)) => {
                        let error = out_of_order(&error);
                        self.recover(&mut slot, &error.to_string());
                        return Err(error);
                    }
                    Err(message) => Err(message),
                }
            }
            Slot::Open(Db::Host(db)) => {
                let db = Arc::get_mut(db).ok_or_else(|| {
                    StoreError::new(
                        StoreErrorKind::Unavailable,
                        "the host holds the database, too, and compaction needs it alone; compact it there",
                    )
                })?;
                caught(|| db.compact())
            }
        };
        let fault = match compacted {
            Ok(Ok(compacted)) => return Ok(compacted),
            Ok(Err(redb::CompactionError::Storage(error))) => Fault::Redb(error.into()),
            Ok(Err(other)) => {
                let what = "the file cannot be compacted while a backup or a verification reads it";
                return Err(StoreError::new(StoreErrorKind::Unavailable, what).with_source(other));
            }
            Err(message) => Fault::Panic(message),
        };
        let error = fault.unchanged("compacting");
        self.recover(&mut slot, &error.to_string());
        Err(error)
    }

    fn close(&mut self) -> Result<(), StoreError> {
        if let Some(error) = &*self.engine.condemned() {
            let mut slot = self.engine.exclusive();
            self.take_away(&mut slot);
            put_down(&mut slot, Slot::Closed);
            return Err(error.clone());
        }
        let old = std::mem::replace(&mut *self.engine.exclusive(), Slot::Closed);
        let Slot::Open(Db::Own(db)) = old else { return Ok(()) };
        caught(|| db.close().map_err(Fault::from))
            .unwrap_or_else(|message| Err(Fault::Panic(message)))
            .map_err(|fault| fault.unchanged("closing: all acknowledged changes are stored, but"))
    }
}

fn refuse(requests: Vec<Request>, error: &StoreError) {
    for request in requests {
        request.answer.send(Err(error.clone().in_session(&request.id)));
    }
}

/// Replaces what is in the slot, whatever redb does while it closes.
fn put_down(slot: &mut Slot, with: Slot) {
    let old = std::mem::replace(slot, with);
    if let Err(message) = caught(move || drop(old)) {
        tracing::warn!(message, "redb panicked while the database was closed");
    }
}

/// What callers get while the store cannot be opened again.
fn out_of_order(error: &OpenError) -> StoreError {
    let reason = error.source().map_or_else(String::new, |source| format!(" ({source})"));
    StoreError::new(
        error.kind(),
        format!("the storage failed, and then the store could not be opened again: {error}{reason}"),
    )
}
