//! Commits: worked out first, staged only when nothing can refuse them any more.

use super::draft::Draft;
use super::find::{self, labels_of, missing_head};
use super::known::Entry;
use super::lists::{key_of_open_replies, list_open_replies, list_owner};
use super::replies::{self, Beside};
use crate::error::{Fault, contradiction};
use crate::memtable::Stage;
use crate::tables::{Heads, Ids, Lists, Replies, Rows, Tags};
use crate::view::{Value, View};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::rows::{self, LARGE_BODY, ReplyRow};
use durable_session::store::{
    Claim, Commit, CommitOutcome, Expect, Head, Incarnation, Labels, NewMessage, Op, Order,
    ReplyCounts, Version,
};
use std::collections::BTreeMap;

/// A message that the commit leaves behind, and the running totals that its row carries.
struct Written<'a> {
    message: &'a NewMessage,
    messages: u64,
    bytes: u64,
}

/// The state of the session while the operations are worked out, one after the other.
struct Plan<'a> {
    number: Option<u64>,
    head: Head,
    /// The first seq that the session did not have before this commit.
    fresh: u64,
    written: BTreeMap<u64, Written<'a>>,
    /// Removed ranges of stored messages, first to last, apart from each other.
    removed: BTreeMap<u64, u64>,
    app: Option<&'a Bytes>,
    labels: Labels,
    /// A row that goes could not be read, so its length may not be what the head counted for it.
    recount: bool,
}

impl Draft<'_> {
    /// Applies `commit`, or finds a reason not to and writes nothing.
    ///
    /// `incarnation` is asked for random bits only if the commit creates the session and does not
    /// bring them.
    pub(crate) fn commit(
        &mut self,
        id: &SessionId,
        commit: &Commit,
        incarnation: impl FnOnce() -> Result<Incarnation, Fault>,
    ) -> Result<CommitOutcome, Fault> {
        let salt = self.salt;
        let found = self.locate(id)?;
        let mut plan = match (commit.expect, &found) {
            (Expect::Absent { created_at, incarnation: given }, None) => {
                let incarnation = given.map_or_else(incarnation, Ok)?;
                Plan::create(Head::created(commit, Version::new(incarnation, 1), created_at))
            }
            (Expect::Version { version, next_seq }, Some(found))
                if found.head.version == version.salted(salt)
                    && found.head.next_seq == next_seq =>
            {
                Plan::change(found, commit)
            }
            _ => {
                let current = found.map(|found| found.head.version.salted(salt));
                return Ok(CommitOutcome::Conflict { current });
            }
        };
        for op in &commit.ops {
            if let Some(refusal) = plan_op(&self.view, id, &mut plan, op)? {
                return Ok(refusal);
            }
        }
        recount(&self.view, &mut plan)?;
        let rest = Rest::of(&self.view, id, &plan, commit)?;
        let number = plan.number.unwrap_or(self.next_number);
        if plan.number.is_none() {
            self.next_number += 1;
        }
        stage_commit(&mut self.stage, id, number, &plan, &rest);
        let before = found.as_ref().map(|found| (&found.labels, &found.head));
        list_owner(&mut self.stage, id, before, Some((&plan.labels, &plan.head)));
        let Plan { head, labels, .. } = plan;
        self.known.put(id, Entry { number, head, labels });
        Ok(CommitOutcome::Committed(head.salted(salt)))
    }

    fn locate(&self, id: &SessionId) -> Result<Option<Entry>, Fault> {
        if let Some(entry) = self.known.get(id) {
            return Ok(Some(entry));
        }
        let found = find::find(&self.view, id, labels_of)?;
        Ok(found.map(|(found, labels)| Entry { number: found.number, head: found.current, labels }))
    }
}

/// Works out one operation, or finds a reason to refuse the commit.
fn plan_op<'a>(
    view: &View<'_>,
    id: &SessionId,
    plan: &mut Plan<'a>,
    op: &'a Op,
) -> Result<Option<CommitOutcome>, Fault> {
    match op {
        Op::Append(message) => plan.append(message),
        Op::Replace { seq, message } => {
            let Some(old) = body_bytes(view, id, plan, *seq)? else {
                return Ok(Some(CommitOutcome::NoSuchSeq { seq: *seq }));
            };
            plan.replace(*seq, message, old);
        }
        Op::Remove { first, last } => plan_removal(view, id, plan, *first, *last)?,
        Op::SetApp(app) => plan.app = Some(app),
        Op::SetLabels(labels) => plan.labels = labels.clone(),
        Op::Close { seq, claim, counts, message } => {
            let seq = *seq;
            match open_reply(view, id, plan, seq)? {
                Some((holder, has)) if holder == *claim => {
                    if has != *counts {
                        return Ok(Some(CommitOutcome::Grew { seq, counts: has }));
                    }
                }
                _ => return Ok(Some(CommitOutcome::ReplyEnded { seq })),
            }
            let lost = || contradiction("a reply is open on a message that is not there");
            let old = body_bytes(view, id, plan, seq)?
                .ok_or_else(|| lost().in_session(id).at_seq(seq))?;
            plan.replace(seq, message, old);
        }
    }
    Ok(None)
}

/// Who holds the reply that is open at `seq` at this point of the commit, and how far it has come.
fn open_reply(
    view: &View<'_>,
    id: &SessionId,
    plan: &Plan<'_>,
    seq: u64,
) -> Result<Option<(Claim, ReplyCounts)>, Fault> {
    if let Some(written) = plan.written.get(&seq) {
        let opens = written.message.opens.as_ref();
        return Ok(opens.map(|opens| (opens.claim, ReplyCounts::default())));
    }
    let Some(number) = plan.number.filter(|_| seq < plan.fresh && !plan.is_removed(seq)) else {
        return Ok(None);
    };
    let found = replies::find(view, id, (number, seq))?;
    Ok(found.map(|found| (found.row.opening.claim, found.counts())))
}

/// The length of the body that is at `seq` at this point of the commit. A stored row need not be
/// whole for it.
fn body_bytes(
    view: &View<'_>,
    id: &SessionId,
    plan: &mut Plan<'_>,
    seq: u64,
) -> Result<Option<u64>, Fault> {
    if let Some(written) = plan.written.get(&seq) {
        return Ok(Some(written.message.body.len() as u64));
    }
    let Some(number) = plan.number else { return Ok(None) };
    if seq >= plan.fresh || plan.is_removed(seq) {
        return Ok(None);
    }
    let row = view.get::<Rows>(&(number, seq))?;
    Ok(row.map(|row| plan.bytes_that_go(id, number, seq, &row)))
}

fn plan_removal(
    view: &View<'_>,
    id: &SessionId,
    plan: &mut Plan<'_>,
    first: u64,
    last: u64,
) -> Result<(), Fault> {
    if first > last {
        return Ok(());
    }
    let (mut messages, mut bytes) = (0, 0);
    if let Some(number) = plan.number {
        let mut walk = view.walk::<Rows>((number, first)..=(number, last), Order::Forward);
        while let Some(entry) = walk.next()? {
            let ((_, seq), row) = entry.read()?;
            if !plan.is_removed(seq) && !plan.written.contains_key(&seq) {
                messages += 1;
                bytes += plan.bytes_that_go(id, number, seq, &row);
            }
        }
        plan.note_removed(first, last);
    }
    let mut kept = plan.written.split_off(&first);
    let mut after = last.checked_add(1).map_or_else(BTreeMap::new, |next| kept.split_off(&next));
    for written in kept.values() {
        messages += 1;
        bytes += written.message.body.len() as u64;
    }
    plan.written.append(&mut after);
    plan.head.messages = plan.head.messages.saturating_sub(messages);
    plan.head.bytes = plan.head.bytes.saturating_sub(bytes);
    Ok(())
}

/// Counts the bytes of all bodies that there will be, after damage to rows that go.
fn recount(view: &View<'_>, plan: &mut Plan<'_>) -> Result<(), Fault> {
    let Some(number) = plan.number.filter(|_| plan.recount) else { return Ok(()) };
    let mut bytes = plan.written.values().map(|written| written.message.body.len() as u64).sum();
    let mut walk = view.walk::<Rows>((number, 0)..=(number, u64::MAX), Order::Forward);
    while let Some(entry) = walk.next()? {
        let (_, seq) = entry.key;
        if !plan.is_removed(seq) && !plan.written.contains_key(&seq) {
            bytes += rows::body_bytes(entry.len());
        }
    }
    plan.head.bytes = bytes;
    Ok(())
}

/// The rest of the input of a commit's edits.
#[derive(Default)]
struct Rest<'a> {
    /// Whether the head row is written, and the app state that it gets.
    head: Option<App<'a>>,
    /// Ranges of messages that go or are written anew, and the rows beside them.
    beside: Vec<(u64, u64, Beside)>,
    /// Whether the session comes into the list of open replies, or goes out of it.
    listed: Option<bool>,
}

enum App<'a> {
    New(&'a [u8]),
    /// The head row that has it.
    Stored(Value<'a>),
}

impl<'a> Rest<'a> {
    fn of(
        view: &'a View<'_>,
        id: &SessionId,
        plan: &Plan<'a>,
        commit: &Commit,
    ) -> Result<Self, Fault> {
        let mut rest = Self::default();
        // Other commits leave message rows, which carry all that they change in the head.
        let sets_labels = commit.ops.iter().any(|op| matches!(op, Op::SetLabels(_)));
        if commit.moves_base() || commit.closes_replies() || sets_labels {
            rest.head = Some(match (plan.app, plan.number) {
                (Some(app), _) => App::New(app),
                (None, None) => App::New(&[]),
                (None, Some(number)) => {
                    let row = view.get::<Heads>(&number)?.ok_or_else(|| missing_head(id))?;
                    rows::decode_head(number, id, &row)?;
                    App::Stored(row)
                }
            });
        }
        if let Some(number) = plan.number {
            let replaced = plan.written.range(..plan.fresh).map(|(&seq, _)| (seq, seq));
            for (first, last) in plan.removed.iter().map(|(&a, &b)| (a, b)).chain(replaced) {
                let beside = Beside::of(view, number, first, last)?;
                rest.beside.push((first, last, beside));
            }
        }
        let opens = plan.written.values().any(|written| written.message.opens.is_some());
        if opens || rest.beside.iter().any(|(.., beside)| beside.replies) {
            let belongs = opens || keeps_replies(view, plan)?;
            let is_listed = view.has::<Lists>(&key_of_open_replies(id))?;
            rest.listed = Some(belongs).filter(|_| belongs != is_listed);
        }
        Ok(rest)
    }
}

/// Whether a reply that is open now stays open.
fn keeps_replies(view: &View<'_>, plan: &Plan<'_>) -> Result<bool, Fault> {
    let Some(number) = plan.number else { return Ok(false) };
    let mut walk = view.walk::<Replies>((number, 0)..=(number, u64::MAX), Order::Forward);
    while let Some(entry) = walk.next()? {
        let (_, seq) = entry.key;
        if !plan.is_removed(seq) && !plan.written.contains_key(&seq) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Stages what was worked out.
fn stage_commit(stage: &mut Stage, id: &SessionId, number: u64, plan: &Plan<'_>, rest: &Rest<'_>) {
    if plan.number.is_none() {
        let row = rows::encode_number(id, number);
        stage.put::<Ids>(find::key(id), |out| out.extend_from_slice(&row));
    }
    if let Some(app) = &rest.head {
        let app = match app {
            App::New(app) => app,
            // It was decoded before.
            App::Stored(row) => rows::decode_head(number, id, row).map_or(&[][..], |row| row.app),
        };
        stage.put::<Heads>(number, |out| {
            rows::write_head(out, number, id, &plan.head, &plan.labels, app);
        });
    }
    for (&first, &last) in &plan.removed {
        stage.remove::<Rows>((number, first), &(number, last));
    }
    for (first, last, beside) in &rest.beside {
        beside.remove(stage, number, *first, *last);
    }
    for (&seq, Written { message, messages, bytes }) in &plan.written {
        let head = Head { messages: *messages, bytes: *bytes, ..plan.head };
        stage.put::<Rows>((number, seq), |out| {
            rows::write_message(out, number, &head, seq, message.tag, &message.body);
        });
        if message.body.len() > LARGE_BODY {
            let tag = rows::encode_tag(number, seq, message.tag);
            stage.put::<Tags>((number, seq), |out| out.extend_from_slice(&tag));
        }
        if let Some(opening) = &message.opens {
            let body_bytes = message.body.len() as u64;
            let row = ReplyRow { opening: (**opening).clone(), body_bytes, beats: 0 };
            let row = rows::encode_reply(number, seq, &row);
            stage.put::<Replies>((number, seq), |out| out.extend_from_slice(&row));
        }
    }
    if let Some(has_any) = rest.listed {
        list_open_replies(stage, id, has_any);
    }
}

impl<'a> Plan<'a> {
    fn create(head: Head) -> Self {
        Self::new(None, head, Labels::NONE)
    }

    fn change(found: &Entry, commit: &Commit) -> Self {
        Self::new(Some(found.number), found.head.advanced(commit), found.labels.clone())
    }

    fn new(number: Option<u64>, head: Head, labels: Labels) -> Self {
        Self {
            number,
            fresh: head.next_seq,
            head,
            written: BTreeMap::new(),
            removed: BTreeMap::new(),
            app: None,
            labels,
            recount: false,
        }
    }

    fn append(&mut self, message: &'a NewMessage) {
        self.head.messages += 1;
        self.head.bytes += message.body.len() as u64;
        self.put(self.head.next_seq, message);
        self.head.next_seq += 1;
    }

    fn replace(&mut self, seq: u64, message: &'a NewMessage, old_bytes: u64) {
        self.head.bytes = self.head.bytes.saturating_sub(old_bytes) + message.body.len() as u64;
        self.put(seq, message);
    }

    fn put(&mut self, seq: u64, message: &'a NewMessage) {
        let written = Written { message, messages: self.head.messages, bytes: self.head.bytes };
        self.written.insert(seq, written);
    }

    /// The length of the body in a stored row that goes.
    fn bytes_that_go(&mut self, id: &SessionId, number: u64, seq: u64, row: &[u8]) -> u64 {
        self.recount |= rows::decode_message(id, number, seq, row).is_err();
        rows::body_bytes(row.len())
    }

    fn is_removed(&self, seq: u64) -> bool {
        self.removed.range(..=seq).next_back().is_some_and(|(_, &last)| seq <= last)
    }

    /// Joins the range with those that it meets, so that looking one up stays cheap.
    fn note_removed(&mut self, mut first: u64, mut last: u64) {
        while let Some((&start, &end)) = self.removed.range(..=last).next_back()
            && end >= first
        {
            first = first.min(start);
            last = last.max(end);
            self.removed.remove(&start);
        }
        self.removed.insert(first, last);
    }
}
