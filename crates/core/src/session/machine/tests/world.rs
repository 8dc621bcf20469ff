//! Callers, a machine and a store, moved on one step at a time.

use super::readers::Readers;
use super::replies::{Replies, claim_of};
use super::store::Store;
use crate::session::config::Config;
use crate::session::machine::state::Phase;
use crate::session::machine::{
    Admission, Change, Committed, Done, Earlier, Fetched, Halt, Machine, Planned, Planner, Reach,
    StoreCall, Ticket, View,
};
use crate::store::{
    Claim, DeleteIf, Extension, Head, Op, ReplyOpening, StoreError, TailBounds, Version,
};
use crate::{Message, SessionId};
use bytes::Bytes;
use std::sync::Arc;

/// How the store answers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Luck {
    Works,
    /// It fails and has changed nothing.
    FailsBefore,
    /// It fails after it has done everything.
    FailsAfter,
    /// Another writer is first.
    ComesSecond,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Plan {
    Append(usize),
    /// Sends the messages of this call again.
    Again(usize),
    SetApp,
    Replace(u64),
    Pop,
    Remove(u64),
    ForgetBefore(u64),
    /// Works on a copy, and is staged a step later.
    Turn,
    /// Opens a reply.
    Open,
    /// Stops one of the replies that were opened.
    End(usize),
}

pub(super) struct Call {
    pub(super) plan: Plan,
    pub(super) number: usize,
    /// The pending work that it waits for before it is planned.
    pub(super) waits: Option<u64>,
    pub(super) copied: Option<(u64, Vec<Change>, View)>,
    pub(super) staged: Option<Staged>,
    pub(super) fetched: Fetched,
    /// The reply that it is about to end.
    pub(super) holds: Option<Claim>,
    pub(super) end: Option<&'static str>,
}

/// A call whose changes are staged, or whose answer stands on staged changes.
pub(super) struct Staged {
    pub(super) ticket: Ticket<Committed>,
    /// The how many-th it was.
    pub(super) order: usize,
    /// The messages that it appends.
    pub(super) appended: Vec<(u64, Message)>,
    pub(super) has_changes: bool,
}

pub(super) struct World {
    pub(super) machine: Machine,
    pub(super) config: Arc<Config>,
    pub(super) id: SessionId,
    pub(super) store: Store,
    pub(super) calls: Vec<Call>,
    pub(super) deletes: Vec<u64>,
    pub(super) extensions: Vec<(u64, Claim)>,
    pub(super) main: Option<StoreCall>,
    pub(super) touch: bool,
    pub(super) extending: Vec<Extension>,
    pub(super) replies: Replies,
    pub(super) watchers: usize,
    pub(super) staged: usize,
    /// Of durable appends: their order, the life of the session and their first seq.
    pub(super) durable: Vec<(usize, (u8, u64))>,
    /// The version that watchers were told last.
    pub(super) told: Option<Version>,
    /// The messages that the last commit appended.
    pub(super) made: Vec<(u64, Bytes)>,
    /// The newest durable state that was shown.
    pub(super) shown: usize,
    pub(super) readers: Readers,
    /// The answer to the load, commit or delete, which the store has worked out, with the head
    /// before it.
    pub(super) applied: Option<(Option<Head>, Result<Done, StoreError>)>,
}

/// The message of another writer.
fn other() -> Op {
    Op::append(Bytes::from_static(br#"{"role":"user","content":"other"}"#))
}

/// The messages of a call.
fn messages(number: usize, count: usize) -> Vec<Message> {
    let text = |part: usize| format!("{number}-{part}");
    (0..count).map(|part| Message::user(text(part)).with_id(text(part))).collect()
}

impl World {
    pub(super) fn new() -> Self {
        let config = Arc::new(Config::small());
        let id = SessionId::new("s-1").unwrap();
        Self {
            machine: Machine::new(id.clone(), Arc::clone(&config)),
            config,
            id,
            store: Store::default(),
            calls: Vec::new(),
            deletes: Vec::new(),
            extensions: Vec::new(),
            main: None,
            touch: false,
            extending: Vec::new(),
            replies: Replies::default(),
            watchers: 0,
            staged: 0,
            durable: Vec::new(),
            told: None,
            made: Vec::new(),
            shown: 0,
            readers: Readers::default(),
            applied: None,
        }
    }

    pub(super) fn call(&mut self, plan: Plan) {
        let number = self.calls.len();
        self.calls.push(Call {
            plan,
            number,
            waits: None,
            copied: None,
            staged: None,
            fetched: Fetched::default(),
            holds: None,
            end: None,
        });
        if let Plan::Open = plan {
            self.replies.held.insert(claim_of(number));
        }
        self.go_on(number);
    }

    /// Takes a call as far as it goes.
    pub(super) fn go_on(&mut self, at: usize) {
        let mut plans = 0;
        while self.calls[at].end.is_none()
            && self.calls[at].waits.is_none()
            && self.calls[at].staged.is_none()
        {
            plans += 1;
            assert!(plans < 1_000, "a call is planned without an end: {:?}", self.calls[at].plan);
            if let Some((revision, changes, after)) = self.calls[at].copied.take() {
                if revision == self.machine.revision() {
                    self.stage(at, changes, Some(after));
                }
                continue;
            }
            match self.machine.admit(Reach::tail(self.config.window)) {
                Admission::Wait(earlier) => return self.wait(at, earlier),
                Admission::Open => self.plan(at),
            }
            if self.calls[at].copied.is_some() {
                return;
            }
        }
    }

    fn wait(&mut self, at: usize, earlier: Earlier) {
        self.calls[at].waits = Some(match earlier {
            Earlier::Load(ticket) => ticket.id,
            Earlier::Commit(ticket) => ticket.id,
            Earlier::Delete(ticket) => ticket.id,
        });
    }

    fn plan(&mut self, at: usize) {
        if let Plan::End(which) = self.calls[at].plan {
            return self.plan_end(at, which);
        }
        let call = &self.calls[at];
        let planner = Planner { config: &self.config, id: &self.id, fetched: &call.fetched };
        let view = self.machine.top().expect("a call is planned on a state");
        let count = |plan| if let Plan::Append(count) = plan { count } else { 1 };
        let made: Planned<()> = match call.plan {
            Plan::Append(count) => {
                planner.add(view, &messages(call.number, count)).map(|(_, changes)| ((), changes))
            }
            Plan::Again(other) => {
                let other = other.min(call.number);
                let again = messages(other, count(self.calls[other].plan));
                planner.add(view, &again).map(|(_, changes)| ((), changes))
            }
            Plan::SetApp => planner.set_app(view, format!("{{\"n\":{at}}}").into()),
            Plan::Replace(seq) => {
                planner.replace(view, seq, &Message::user(format!("replaced by {at}")), None)
            }
            Plan::Open => {
                let message = Message::assistant(format!("reply {}:", call.number));
                let opening = ReplyOpening::new(claim_of(call.number), "text");
                planner.open(view, None, &message, opening).map(|(_, changes)| ((), changes))
            }
            Plan::End(_) => unreachable!("it is planned above"),
            Plan::Pop => planner.pop(view).map(|(_, changes)| ((), changes)),
            Plan::Remove(seq) => planner.remove(view, seq),
            Plan::ForgetBefore(seq) => planner.forget_before(view, seq),
            Plan::Turn => planner.add(view, &messages(call.number, 1)).map(|(_, mut changes)| {
                changes.push(Change::SetApp(format!("{{\"turn\":{at}}}").into()));
                changes.extend((view.head.next_seq > 3).then(|| {
                    let message = Message::user(format!("turned by {at}"));
                    Change::replace(view.head.next_seq - 3, message)
                }));
                ((), changes)
            }),
        };
        match (made, call.plan) {
            (Ok(((), changes)), Plan::Turn) => {
                let mut after = View::clone(view);
                after.apply_all(&changes);
                self.calls[at].copied = Some((self.machine.revision(), changes, after));
            }
            (Ok(((), changes)), _) => self.stage(at, changes, None),
            (Err(Halt::Refused(_)), _) => self.calls[at].end = Some("refused"),
            (Err(Halt::Fetch(seqs)), _) => {
                let mark = self.machine.view().map(|view| view.mark()).expect("it was planned on");
                let read = |seq: u64| {
                    let stored = self.store.content.messages.iter().find(|(at, _)| *at == seq);
                    stored.and_then(|(_, new)| Message::from_stored(new.body.clone()))
                };
                // Another writer's change shows at the next load.
                if self.machine.view().map(|view| view.head.base)
                    != self.store.head.map(|head| head.base)
                {
                    self.calls[at].end = Some("another writer");
                    return;
                }
                let read: Vec<_> = seqs.into_iter().map(|seq| (seq, read(seq))).collect();
                // As the driver does: what was read of the same state stays.
                let fetched = &mut self.calls[at].fetched;
                if fetched.mark() != Some(mark) {
                    *fetched = Fetched::at(mark);
                }
                for (seq, message) in read {
                    fetched.add(seq, message);
                }
            }
            (Err(Halt::Deeper | Halt::Whole), _) => {
                let all = Reach::tail(TailBounds::new(100, 1 << 20));
                let earlier = self.machine.earlier_or_load(all);
                self.wait(at, earlier);
            }
        }
    }

    pub(super) fn stage(&mut self, at: usize, changes: Vec<Change>, after: Option<View>) {
        let next_seq = self.machine.top().expect("there is a state").head.next_seq;
        let appended = changes.iter().filter(|change| change.appends());
        let appended = appended.filter_map(|change| change.message().cloned());
        let appended = (next_seq..).zip(appended).collect();
        let has_changes = !changes.is_empty();
        assert!(self.machine.deletes.is_empty(), "a call after a delete waits for it");
        let ticket = if has_changes {
            self.machine.stage(changes, after.map(Arc::new))
        } else {
            self.machine.last_commit()
        };
        match ticket {
            Some(ticket) => {
                self.staged += 1;
                let order = self.staged;
                self.calls[at].staged = Some(Staged { ticket, order, appended, has_changes });
            }
            None => self.calls[at].end = Some("nothing to do"),
        }
    }

    /// A caller goes away.
    pub(super) fn leave(&mut self, at: usize) {
        let call = &mut self.calls[at];
        if call.end.is_none() {
            let staged = call.staged.take().map(|staged| staged.ticket.id);
            staged.or(call.waits.take()).into_iter().for_each(|id| self.machine.leave(id));
            call.end = Some("left");
        }
        self.let_go();
    }

    pub(super) fn delete(&mut self) {
        let ticket = self.machine.delete(DeleteIf::Any);
        self.deletes.push(ticket.id);
    }

    pub(super) fn other_writer(&mut self) {
        self.store.write(vec![other()]);
    }

    pub(super) fn watch(&mut self) {
        if self.watchers == 0 {
            self.told = self.machine.view().and_then(|view| view.version());
        }
        self.machine.watch();
        self.watchers += 1;
    }

    pub(super) fn read(&mut self, now: u64) {
        if let Some(view) = self.machine.view().filter(|view| view.exists).cloned() {
            self.machine.accessed(&view, now);
        }
    }

    /// Sends everything that can be sent.
    pub(super) fn send(&mut self) {
        while let Some(call) = self.machine.next(1) {
            match call {
                StoreCall::Touch(_) => {
                    assert!(!self.touch, "one touch at a time");
                    self.touch = true;
                }
                StoreCall::Extend(extension) => {
                    let same = |other: &Extension| other.seq == extension.seq;
                    assert!(!self.extending.iter().any(same), "one extension of a reply at a time");
                    self.extending.push(extension);
                }
                StoreCall::Make(make) => {
                    let same = |other: &Extension| other.seq == make.seq;
                    assert!(!self.extending.iter().any(same), "no extension is under way");
                    self.replies.making.push(*make);
                }
                StoreCall::Ask(query) => self.asks(query),
                main => {
                    assert!(self.main.is_none(), "one load, commit or delete at a time");
                    let waits = |call: &Call| call.staged.is_some() || call.waits.is_some();
                    let awaited = self.calls.iter().any(waits)
                        || !self.deletes.is_empty()
                        || self.is_reading();
                    let interrupts = matches!(&main, StoreCall::Commit(commit, _)
                        if commit.ops.iter().any(|op| matches!(op, Op::Close { .. })));
                    assert!(awaited || interrupts, "nothing is sent that nobody waits for");
                    if let StoreCall::Commit(commit, calls) = &main {
                        assert!(*calls == 1 || commit.ops.len() <= 7, "a commit within its bounds");
                    }
                    self.main = Some(main);
                }
            }
        }
        for extension in &self.extending {
            assert!(!self.ends(extension.seq), "what ends a reply waits for its extension");
        }
    }

    /// Whether the call that is with the store ends the reply at `seq`.
    fn ends(&self, seq: u64) -> bool {
        match &self.main {
            Some(StoreCall::Delete(_)) => true,
            Some(StoreCall::Commit(commit, _)) => commit.ops.iter().any(|op| match op {
                Op::Replace { seq: replaced, .. } | Op::Close { seq: replaced, .. } => {
                    *replaced == seq
                }
                Op::Remove { first, last } => (*first..=*last).contains(&seq),
                _ => false,
            }),
            _ => false,
        }
    }

    /// The state that is shown was durable, and is never older than the one before.
    pub(super) fn check(&mut self) {
        self.check_readers();
        self.check_top();
        self.check_replies();
        let Some(view) = self.machine.view().filter(|view| view.exists) else { return };
        let version = view.head.version;
        let past = &self.store.past;
        let at = past.iter().position(|(head, _)| head.version == version);
        let at = at.expect("nothing is shown that is not durable");
        assert!(at >= self.shown, "what is shown does not go back");
        self.shown = at;
        let (head, content) = &past[at];
        let shown: Vec<_> = view.messages().map(|(seq, message)| (seq, message.body())).collect();
        let stored: Vec<_> =
            content.messages.iter().map(|(seq, new)| (*seq, new.body.clone())).collect();
        assert!(stored.ends_with(&shown), "{shown:?} is not the end of {stored:?}");
        assert!(!shown.is_empty() || stored.is_empty() || !view.exact || view.head.messages > 0);
        // App state that was never set is stored as nothing.
        assert!(view.app.as_bytes() == &content.app || content.app.is_empty() && view.app == "{}");
        assert_eq!((view.head.next_seq, view.head.messages), (head.next_seq, head.messages));
        assert_eq!(view.head.bytes, head.bytes);
        let open = view.replies().iter().map(|reply| (reply.seq, reply.claim));
        assert_eq!(open.collect::<Vec<_>>(), content.replies, "the open replies");
        let texts: std::collections::HashSet<_> = stored.iter().map(|(_, body)| body).collect();
        let others = stored.iter().filter(|(_, body)| body.ends_with(b"\"other\"}")).count();
        assert!(texts.len() + others.saturating_sub(1) == stored.len(), "twice in {stored:?}");
    }

    /// The state that a call is planned on is the durable one with all pending changes.
    fn check_top(&mut self) {
        let Phase::Resident { view, pending } = &mut self.machine.phase else { return };
        let mut expected = View::clone(view);
        pending.iter().for_each(|batch| expected.apply_all(batch.changes()));
        let sealed = pending.last().is_some_and(|last| last.sealed);
        let top = pending.top(view);
        let all: Vec<_> = expected.messages().collect();
        let shown: Vec<_> = top.messages().collect();
        // Either window may reach further back.
        assert!(all.ends_with(&shown) || shown.ends_with(&all), "{shown:?} and {all:?}");
        assert_eq!((&top.app, top.exists), (&expected.app, view.exists));
        assert_eq!(top.replies(), expected.replies());
        assert_eq!(
            (top.head.version, top.head.next_seq),
            (view.head.version, expected.head.next_seq)
        );
        assert_eq!((top.head.base, top.head.closed), (view.head.base, view.head.closed));
        if expected.counted && top.counted {
            let counts = |view: &View| (view.head.messages, view.head.bytes);
            assert_eq!(counts(top), counts(&expected));
        }
        assert!(sealed || top.counted, "the state below a new plan is known exactly");
    }

    /// Lets everything end well.
    pub(super) fn finish(&mut self) {
        self.end_all();
        self.end_replies();
        for call in &self.calls {
            assert!(call.end.is_some(), "every call ends: {:?}", call.plan);
        }
        assert_eq!((self.deletes.len(), self.extensions.len()), (0, 0));
    }

    pub(super) fn end_all(&mut self) {
        for _ in 0..1_000 {
            for at in 0..self.calls.len() {
                self.go_on(at);
                self.go_on(at);
            }
            self.send();
            let making = !self.replies.making.is_empty();
            let reading = self.is_reading();
            if self.main.is_none()
                && self.extending.is_empty()
                && !(self.touch || making || reading)
            {
                break;
            }
            self.answer_make(0, Luck::Works);
            self.answer_extension(0, Luck::Works);
            self.answer_touch(Luck::Works);
            self.answer_question(Luck::Works);
            self.answer(Luck::Works);
            self.check();
        }
        assert!(!self.machine.is_busy(), "nothing is left over");
    }
}
