//! Questions to a shared store: whether the state in memory is the stored one (clause C1).
//!
//! Loads, commits and questions are numbered in the order in which they are sent. A state is
//! *current* for a reader if an answer to one of these calls showed it, and the call was sent after
//! the reader began. A question goes beside the load, commit or delete that is with the store, so
//! readers do not wait for writers.

use super::complete::{Effects, ReplyEffects};
use super::state::{Machine, Phase};
use super::ticket::{Asked, Settled, Settlement, Ticket};
use super::view::View;
use crate::store::{LoadOutcome, LoadQuery, OpenReply, StoreError, StoreErrorKind, Version};
use crate::sync::Arc;

/// The moment at which a call was sent to the store.
#[derive(Debug, Clone, Copy, Default)]
struct Moment {
    /// The number of the call.
    number: u64,
    /// On the monotonic clock, in milliseconds, if the registry tells the time.
    ms: u64,
}

/// A question that is not sent yet. Every reader may join it.
struct Question {
    ticket: Ticket<Asked>,
    /// The number of readers that wait for it.
    callers: usize,
    /// Watchers want it: it is sent even if no reader waits.
    wanted: bool,
}

/// A question that is with the store.
struct Sent {
    question: Question,
    at: Moment,
    /// The state that was in memory when it was sent.
    known: Option<Arc<View>>,
    /// The version that the question named.
    version: Option<Version>,
    /// The machine's revision when it was sent.
    revision: u64,
}

/// The questions of a session, and when the state in memory was last known to be current.
#[derive(Default)]
pub(super) struct Asking {
    next: Option<Question>,
    sent: Option<Sent>,
    /// The time on the monotonic clock when calls were last sent.
    now: u64,
    /// The number of the call that was sent last.
    number: u64,
    /// When the load or commit was sent that is with the store.
    main: Moment,
    /// When the call was sent by whose answer the state in memory was current.
    current: Moment,
    /// The number of the call that was sent last when a hint came.
    hinted: u64,
}

impl Asking {
    fn send(&mut self) -> Moment {
        self.number += 1;
        Moment { number: self.number, ms: self.now }
    }

    /// A load or a commit is sent.
    pub(super) fn send_main(&mut self) {
        self.main = self.send();
    }

    /// The load or commit showed the state in memory.
    pub(super) fn main_answered(&mut self) {
        self.confirm(self.main);
    }

    fn confirm(&mut self, at: Moment) {
        if at.number > self.current.number {
            self.current = at;
        }
    }
}

impl Machine {
    /// Tells the machine the time on a monotonic clock.
    pub(crate) fn set_time(&mut self, ms: u64) {
        self.asking.now = ms;
    }

    /// The number of the call that was sent last: a reader that begins now needs a later one.
    pub(crate) fn sent_calls(&self) -> u64 {
        self.asking.number
    }

    /// The state in memory, if it was current at some moment after call `since` was sent.
    pub(crate) fn current_view(&self, since: u64) -> Option<&Arc<View>> {
        self.view().filter(|_| self.asking.current.number > since)
    }

    /// Whether the state in memory was current at `ms` or later on the monotonic clock, and no hint
    /// has come since.
    pub(crate) fn is_current_at(&self, ms: u64) -> bool {
        let Moment { number, ms: at } = self.asking.current;
        self.view().is_some() && number > self.asking.hinted && number > 0 && at >= ms
    }

    /// Whether the load that is pending was not sent before call `since`.
    pub(crate) fn load_is_after(&self, since: u64) -> bool {
        matches!(&self.phase, Phase::Loading(load) if !load.sent) || self.asking.main.number > since
    }

    /// Asks the store for the state. A reader that began after call `since` joins a question that
    /// was not sent before.
    pub(crate) fn ask(&mut self, since: u64) -> Ticket<Asked> {
        if self.asking.next.is_none()
            && let Some(sent) = &mut self.asking.sent
            && sent.at.number > since
            && (sent.known.is_some() || sent.version.is_none())
        {
            sent.question.callers += 1;
            return sent.question.ticket;
        }
        let question = self.next_question();
        question.callers += 1;
        question.ticket
    }

    /// Asks the store on behalf of watchers, unless that was done after call `since`.
    pub(crate) fn want(&mut self, since: u64) {
        let asked = self.asking.sent.as_ref().is_some_and(|sent| sent.at.number > since);
        if !asked && self.asking.current.number <= since {
            self.next_question().wanted = true;
        }
    }

    /// Another writer may have changed the session. If it is `watched`, the store is asked.
    pub(crate) fn hint(&mut self, watched: bool) {
        self.asking.hinted = self.asking.number;
        if watched || self.changes.is_watched() {
            self.next_question().wanted = true;
        }
    }

    fn next_question(&mut self) -> &mut Question {
        let id = if self.asking.next.is_none() { self.new_id() } else { 0 };
        self.asking.next.get_or_insert_with(|| Question {
            ticket: Ticket::new(id),
            callers: 0,
            wanted: false,
        })
    }

    /// A reader no longer waits for the question with this ticket.
    pub(super) fn leave_question(&mut self, id: u64) {
        let sent = self.asking.sent.as_mut().map(|sent| &mut sent.question);
        let questions = self.asking.next.iter_mut().chain(sent);
        for question in questions.filter(|question| question.ticket.id == id) {
            question.callers -= 1;
        }
    }

    /// The next question to the store.
    pub(super) fn send_question(&mut self) -> Option<LoadQuery> {
        if self.asking.sent.is_some() {
            return None;
        }
        let question = self.asking.next.take()?;
        if question.callers == 0 && !question.wanted {
            return None;
        }
        let known = self.view().cloned();
        let version = match &known {
            Some(view) => view.version(),
            // Nothing is in memory: news is only what watchers do not know.
            None if question.callers == 0 => self.changes.seen_version(),
            None => None,
        };
        let query = LoadQuery::new(self.config.window);
        let query = version.map_or(query, |version| query.unless(version));
        let at = self.asking.send();
        let revision = self.revision;
        self.asking.sent = Some(Sent { question, at, known, version, revision });
        Some(query)
    }

    /// The store has answered a question.
    pub(super) fn asked(
        &mut self,
        answer: Result<LoadOutcome, StoreError>,
        now: u64,
        effects: &mut Effects,
    ) {
        let Some(sent) = self.asking.sent.take() else { return };
        let outcome = self.news(answer, &sent, now, effects);
        let Question { ticket, callers, .. } = sent.question;
        effects.settled = Some(Settlement::Question(Settled { ticket, callers, outcome }));
    }

    fn news(
        &mut self,
        answer: Result<LoadOutcome, StoreError>,
        sent: &Sent,
        now: u64,
        effects: &mut Effects,
    ) -> Result<Option<Arc<View>>, StoreError> {
        let keep = self.config.window;
        let (told, replies) = match answer? {
            LoadOutcome::Unchanged => match &sent.known {
                Some(known) if sent.version.is_some() => {
                    return Ok(Some(self.unchanged(known, sent.at)));
                }
                None if sent.version.is_some() => return Ok(None),
                _ => {
                    let wrong =
                        "the store called a session unchanged whose version it was not told";
                    let e = StoreError::new(StoreErrorKind::Internal, wrong);
                    return Err(e.in_session(&self.id));
                }
            },
            LoadOutcome::Absent => {
                (View::absent(&self.config, self.config.app_or_empty(), keep, now), Vec::new())
            }
            LoadOutcome::Loaded(loaded) => {
                let replies = loaded.replies.clone();
                (View::loaded(&self.id, loaded, keep)?.0, replies)
            }
        };
        Ok(Some(self.told(Arc::new(told), replies, sent, effects)))
    }

    /// The session had the version of `known` at some moment after `at`.
    fn unchanged(&mut self, known: &Arc<View>, at: Moment) -> Arc<View> {
        let Some(view) = self.view() else { return Arc::clone(known) };
        // A state that was taken in meanwhile is a later one.
        if view.version() == known.version() || is_newer(view, known) == Some(true) {
            let view = Arc::clone(view);
            self.asking.confirm(at);
            return view;
        }
        Arc::clone(known)
    }

    /// The session had the state `told` at some moment after the question was sent. Returns a state
    /// that was current after the question was sent.
    fn told(
        &mut self,
        told: Arc<View>,
        replies: Vec<OpenReply>,
        sent: &Sent,
        effects: &mut Effects,
    ) -> Arc<View> {
        let known = sent.known.as_ref().map(|known| known.version());
        if let Some(view) = self.view() {
            let same = view.version() == told.version();
            // If no other state was taken in meanwhile, the told one is as new or newer.
            let newer =
                if Some(view.version()) == known { Some(true) } else { is_newer(&told, view) };
            if same || newer == Some(false) {
                let view = Arc::clone(view);
                self.asking.confirm(sent.at);
                if same {
                    suspect(replies, effects);
                }
                return view;
            }
            if newer.is_none() {
                return told;
            }
        }
        let idle = match &self.phase {
            // A state that was in memory meanwhile may be a later one than the told one.
            Phase::Unloaded => self.revision == sent.revision,
            Phase::Resident { pending, .. } => pending.is_empty(),
            Phase::Loading(_) | Phase::Deleting(_) => false,
        };
        if idle && self.deletes.is_empty() {
            suspect(replies, effects);
            effects.change = self.changes.loaded(&told);
            self.set_durable(Some(Arc::clone(&told)));
            self.replies_loaded();
            self.asking.confirm(sent.at);
        }
        // Otherwise a change of this registry is under way, which takes the news in or meets a
        // conflict.
        told
    }
}

/// Whether `one` is a later state than `other`, if that can be told.
fn is_newer(one: &View, other: &View) -> Option<bool> {
    let (one, other) = (one.version()?, other.version()?);
    (one.incarnation() == other.incarnation()).then(|| one.counter() > other.counter())
}

/// The producers of these open replies may be gone.
fn suspect(replies: Vec<OpenReply>, effects: &mut Effects) {
    if !replies.is_empty() {
        effects.replies = Some(Box::new(ReplyEffects { suspects: replies, interrupted: 0 }));
    }
}
