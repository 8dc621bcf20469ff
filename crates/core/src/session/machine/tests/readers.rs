//! Readers of a shared store: each gets a state that was current after it began.

use super::answers::failure;
use super::world::{Luck, World};
use crate::session::machine::{Answer, Asked, Earlier, Loaded, Reach, Settled, Ticket, View};
use crate::store::{LoadOutcome, LoadQuery, Version};

/// A moment in the history of the stored session.
#[derive(Debug, Clone, Copy)]
struct Moment {
    /// The number of states so far.
    states: usize,
    exists: bool,
    deletes: usize,
}

enum Waits {
    Question(Ticket<Asked>),
    /// Whether the load is late enough for this reader.
    Load(Ticket<Loaded>, bool),
    /// For other work.
    Other(u64),
}

struct Reader {
    since: u64,
    began: Moment,
    waits: Option<Waits>,
    done: bool,
}

#[derive(Default)]
pub(super) struct Readers {
    all: Vec<Reader>,
    /// The question that is with the store.
    sent: Option<LoadQuery>,
    /// The store has worked the answer out, and it is on its way.
    answer: Option<LoadOutcome>,
    /// How many readers were answered, and how often by *unchanged*.
    pub(super) answered: usize,
}

impl World {
    fn moment(&self) -> Moment {
        let Self { store, .. } = self;
        Moment { states: store.past.len(), exists: store.head.is_some(), deletes: store.deletes }
    }

    /// Whether the session was in this state at some moment since then.
    fn was_current(&self, version: Option<Version>, since: Moment) -> bool {
        let Some(version) = version else {
            return !since.exists || self.store.deletes > since.deletes;
        };
        let at = self.store.past.iter().position(|(head, _)| head.version == version);
        at.is_some_and(|at| at + usize::from(since.exists) >= since.states)
    }

    /// A reader begins.
    pub(super) fn ask(&mut self) {
        let (since, began) = (self.machine.sent_calls(), self.moment());
        self.readers.all.push(Reader { since, began, waits: None, done: false });
        self.read_on();
    }

    /// Watchers want news.
    pub(super) fn want(&mut self, hinted: bool) {
        if hinted {
            self.machine.hint(true);
        } else {
            let since = self.machine.sent_calls();
            self.machine.want(since);
        }
    }

    /// Takes each reader on that waits for nothing.
    fn read_on(&mut self) {
        for at in 0..self.readers.all.len() {
            let Reader { since, began, ref waits, done } = self.readers.all[at];
            if done || waits.is_some() {
                continue;
            }
            if let Some(view) = self.machine.current_view(since) {
                let version = view.version();
                self.read_was(at, version, began);
                continue;
            }
            let waits = if self.machine.view().is_some() {
                Waits::Question(self.machine.ask(since))
            } else {
                match self.machine.earlier_or_load(Reach::tail(self.config.window)) {
                    Earlier::Load(ticket) => Waits::Load(ticket, self.machine.load_is_after(since)),
                    Earlier::Commit(ticket) => Waits::Other(ticket.id),
                    Earlier::Delete(ticket) => Waits::Other(ticket.id),
                }
            };
            self.readers.all[at].waits = Some(waits);
        }
    }

    fn read_was(&mut self, at: usize, version: Option<Version>, began: Moment) {
        assert!(self.was_current(version, began), "{version:?} was not current since {began:?}");
        self.readers.all[at].done = true;
        self.readers.answered += 1;
    }

    /// A reader goes away.
    pub(super) fn leave_read(&mut self, at: usize) {
        if self.readers.all.is_empty() {
            return;
        }
        let at = at % self.readers.all.len();
        let reader = &mut self.readers.all[at];
        if let Some(waits) = reader.waits.take() {
            self.machine.leave(match waits {
                Waits::Question(ticket) => ticket.id,
                Waits::Load(ticket, _) => ticket.id,
                Waits::Other(id) => id,
            });
        }
        reader.done = true;
    }

    /// A question is sent to the store.
    pub(super) fn asks(&mut self, query: LoadQuery) {
        assert!(self.readers.sent.replace(query).is_none(), "one question at a time");
    }

    /// The store works out the answer to the question.
    pub(super) fn work_out(&mut self) {
        let Some(query) = self.readers.sent.filter(|_| self.readers.answer.is_none()) else {
            return;
        };
        let version = self.store.head.map(|head| head.version);
        self.readers.answer = Some(match self.store.load(query.tail) {
            None => LoadOutcome::Absent,
            Some(_) if query.known == version => LoadOutcome::Unchanged,
            Some(loaded) => LoadOutcome::Loaded(*loaded),
        });
    }

    /// The answer to the question comes.
    pub(super) fn answer_question(&mut self, luck: Luck) {
        self.work_out();
        if self.readers.sent.take().is_none() {
            return;
        }
        let answer = self.readers.answer.take().ok_or_else(failure);
        let works = matches!(luck, Luck::Works | Luck::ComesSecond);
        let answer = if works { answer } else { Err(failure()) };
        let effects = self.machine.complete(Answer::Asked(answer.map(Box::new)), 1);
        if let Some(told) = &effects.change {
            assert!(self.watchers > 0, "nobody watches");
            assert!(told.version != self.told || told.version.is_none(), "a change is told once");
            self.told = told.version;
        }
        self.take(effects);
    }

    /// A question has ended.
    pub(super) fn told_readers(&mut self, settled: &Settled<Asked>) {
        let mut woken = 0;
        for at in 0..self.readers.all.len() {
            let reader = &mut self.readers.all[at];
            let id = settled.ticket.id;
            let waits =
                |waits: &mut Waits| matches!(waits, Waits::Question(ticket) if ticket.id == id);
            if reader.waits.take_if(waits).is_none() {
                continue;
            }
            woken += 1;
            let began = reader.began;
            match &settled.outcome {
                Ok(Some(view)) => self.read_was(at, view.version(), began),
                Ok(None) => {}
                Err(_) => reader.done = true,
            }
        }
        assert_eq!(woken, settled.callers, "every reader is told, and nobody else");
    }

    /// Other work has ended: a load, with its outcome, or anything else. Returns how many readers
    /// waited for it.
    pub(super) fn wake_readers(&mut self, id: u64, loaded: Option<Result<&View, ()>>) -> usize {
        let mut woken = 0;
        for at in 0..self.readers.all.len() {
            let reader = &mut self.readers.all[at];
            let ended = reader.waits.take_if(|waits| match waits {
                Waits::Question(_) => false,
                Waits::Load(ticket, _) => ticket.id == id,
                Waits::Other(other) => *other == id,
            });
            let Some(ended) = ended else { continue };
            woken += 1;
            let began = reader.began;
            match (ended, loaded) {
                (Waits::Load(..), Some(Err(()))) => reader.done = true,
                (Waits::Load(_, true), Some(Ok(view))) => self.read_was(at, view.version(), began),
                _ => {}
            }
        }
        woken
    }

    /// Every state in memory that counts as current for a reader is.
    pub(super) fn check_readers(&mut self) {
        for reader in self.readers.all.iter().filter(|reader| !reader.done) {
            if let Some(view) = self.machine.current_view(reader.since) {
                let version = view.version();
                assert!(self.was_current(version, reader.began), "{version:?} is not current");
            }
        }
        self.read_on();
    }

    /// Whether a reader waits, or a question is with the store.
    pub(super) fn is_reading(&self) -> bool {
        self.readers.sent.is_some() || self.readers.all.iter().any(|reader| !reader.done)
    }
}
