//! Commits: worked out on a copy first, written only when nothing can refuse them any more.

use super::known::Entry;
use super::log::HEAD;
use super::{Draft, meta};
use crate::error::Fault;
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::rows;
use durable_session::store::{Commit, CommitOutcome, Expect, Head, Incarnation, Op, Version};
use redb::ReadableTable;
use std::collections::BTreeMap;

/// A body that the commit leaves behind, and the running totals that its row carries.
struct Written {
    body: Bytes,
    messages: u64,
    bytes: u64,
}

/// The state of the session while the operations are worked out, one after the other.
struct Plan {
    number: Option<u64>,
    head: Head,
    /// The first seq that the session did not have before this commit.
    fresh: u64,
    written: BTreeMap<u64, Written>,
    /// Removed ranges of stored messages, first to last, apart from each other.
    removed: BTreeMap<u64, u64>,
    app: Option<Bytes>,
    /// Whether the commit does more than append, so that it writes the head row.
    rewrites: bool,
}

impl Draft<'_> {
    /// Applies `commit`, or finds a reason not to and writes nothing.
    ///
    /// `incarnation` is asked for random bits only if the commit creates the session.
    pub(crate) fn commit(
        &mut self,
        id: &SessionId,
        commit: &Commit,
        incarnation: impl FnOnce() -> Result<Incarnation, Fault>,
    ) -> Result<CommitOutcome, Fault> {
        let found = self.locate(id)?;
        let current = found.map(|found| found.head.version);
        let mut plan = match (commit.expect, found) {
            (Expect::Absent { created_at }, None) => Plan::create(incarnation()?, created_at, commit.at),
            (Expect::Version(version), Some(found)) if current == Some(version) => {
                Plan::change(found, commit.at)
            }
            _ => return Ok(CommitOutcome::Conflict { current }),
        };
        let fits_a_log = commit.ops.iter().all(|op| matches!(op, Op::Append(_) | Op::SetApp(_)));
        let logs =
            plan.number.is_some() && fits_a_log && !commit.ops.is_empty() && self.log.takes(commit.bytes());
        if let Some(number) = plan.number.filter(|_| !logs) {
            self.settle(id, number)?;
        }
        // Only rows carry a version: with no message to carry it, the head row does.
        plan.rewrites |= commit.ops.is_empty();
        for op in &commit.ops {
            if let Some(seq) = self.plan_op(&mut plan, op)? {
                return Ok(CommitOutcome::NoSuchSeq { seq });
            }
        }
        if plan.rewrites {
            plan.head.base = plan.head.version;
        }
        let number = self.write(id, &plan, logs)?;
        self.known.put(id, Entry { number, head: plan.head });
        Ok(CommitOutcome::Committed(plan.head))
    }

    fn locate(&mut self, id: &SessionId) -> Result<Option<Entry>, Fault> {
        if let Some(entry) = self.known.get(id) {
            return Ok(Some(entry));
        }
        let (index, rows) = (self.index.open(self.txn)?, self.rows.open(self.txn)?);
        let found = index.find(rows, |number| self.log.newest(id, number), id, |_| ())?;
        Ok(found.map(|(found, ())| Entry { number: found.number, head: found.current }))
    }

    /// Works out one operation; answers the seq that a replace did not find.
    fn plan_op(&mut self, plan: &mut Plan, op: &Op) -> Result<Option<u64>, Fault> {
        match op {
            Op::Append(body) => plan.append(body),
            Op::Replace { seq, body } => {
                let Some(old) = self.body_bytes(plan, *seq)? else { return Ok(Some(*seq)) };
                plan.replace(*seq, body, old);
            }
            Op::Remove { first, last } => self.plan_removal(plan, *first, *last)?,
            Op::SetApp(app) => {
                plan.app = Some(app.clone());
                plan.rewrites = true;
            }
        }
        Ok(None)
    }

    /// The length of the body that is at `seq` at this point of the commit. Stored rows are not decoded for it.
    fn body_bytes(&mut self, plan: &Plan, seq: u64) -> Result<Option<u64>, Fault> {
        if let Some(written) = plan.written.get(&seq) {
            return Ok(Some(written.body.len() as u64));
        }
        let Some(number) = plan.number else { return Ok(None) };
        if seq >= plan.fresh || plan.is_removed(seq) {
            return Ok(None);
        }
        let row = self.rows.open(self.txn)?.get((number, seq))?;
        Ok(row.map(|row| rows::body_bytes(row.value().len())))
    }

    fn plan_removal(&mut self, plan: &mut Plan, first: u64, last: u64) -> Result<(), Fault> {
        plan.rewrites = true;
        if first > last {
            return Ok(());
        }
        let (mut messages, mut bytes) = (0, 0);
        if let Some(number) = plan.number {
            for entry in self.rows.open(self.txn)?.range((number, first)..=(number, last))? {
                let (place, row) = entry?;
                let seq = place.value().1;
                if !plan.is_removed(seq) && !plan.written.contains_key(&seq) {
                    messages += 1;
                    bytes += rows::body_bytes(row.value().len());
                }
            }
            plan.note_removed(first, last);
        }
        let mut kept = plan.written.split_off(&first);
        let mut after = last.checked_add(1).map_or_else(BTreeMap::new, |next| kept.split_off(&next));
        for written in kept.values() {
            messages += 1;
            bytes += written.body.len() as u64;
        }
        plan.written.append(&mut after);
        plan.head.messages = plan.head.messages.saturating_sub(messages);
        plan.head.bytes = plan.head.bytes.saturating_sub(bytes);
        Ok(())
    }

    /// Writes what was worked out, under the number that it answers; to a log if it `logs`. Only the storage can fail now, and
    /// then the whole transaction does.
    fn write(&mut self, id: &SessionId, plan: &Plan, logs: bool) -> Result<u64, Fault> {
        let number = if let Some(number) = plan.number {
            number
        } else {
            let number = meta::take_number(self.txn)?;
            self.index
                .open(self.txn)?
                .ids
                .insert(id.as_str().as_bytes(), &rows::encode_number(id, number)[..])?;
            number
        };
        if plan.rewrites {
            let app = match (&plan.app, plan.number) {
                (Some(app), _) => app.clone(),
                (None, Some(number)) => self.stored_app(id, number)?,
                (None, None) => Bytes::new(),
            };
            let row = rows::encode_head(number, id, &plan.head, &app);
            if logs {
                self.log.append(id, number, HEAD, row);
            } else {
                self.put(number, HEAD, &row)?;
            }
        }
        for (&first, &last) in &plan.removed {
            self.remove_rows(number, first, last)?;
        }
        for (&seq, written) in &plan.written {
            let head = Head { messages: written.messages, bytes: written.bytes, ..plan.head };
            let row = rows::encode_message(number, &head, seq, &written.body);
            if logs {
                self.log.append(id, number, seq, row);
            } else {
                self.put(number, seq, &row)?;
            }
        }
        Ok(number)
    }

    fn stored_app(&mut self, id: &SessionId, number: u64) -> Result<Bytes, Fault> {
        let row = self.index.open(self.txn)?.heads.get(number)?.ok_or_else(|| super::missing_head(id))?;
        Ok(Bytes::copy_from_slice(rows::decode_head(number, id, row.value())?.app))
    }
}

impl Plan {
    fn create(incarnation: Incarnation, created_at: u64, at: u64) -> Self {
        let version = Version::new(incarnation, 1);
        let head = Head { last_accessed_at: created_at.max(at), ..Head::new(version, created_at) };
        Self {
            number: None,
            head,
            fresh: 1,
            written: BTreeMap::new(),
            removed: BTreeMap::new(),
            app: None,
            rewrites: true,
        }
    }

    fn change(found: Entry, at: u64) -> Self {
        let mut head = found.head;
        head.version = head.version.next();
        head.last_accessed_at = head.last_accessed_at.max(at);
        Self {
            number: Some(found.number),
            fresh: head.next_seq,
            head,
            written: BTreeMap::new(),
            removed: BTreeMap::new(),
            app: None,
            rewrites: false,
        }
    }

    fn append(&mut self, body: &Bytes) {
        self.head.messages += 1;
        self.head.bytes += body.len() as u64;
        self.put(self.head.next_seq, body);
        self.head.next_seq += 1;
    }

    fn replace(&mut self, seq: u64, body: &Bytes, old_bytes: u64) {
        self.head.bytes = self.head.bytes.saturating_sub(old_bytes) + body.len() as u64;
        self.put(seq, body);
        self.rewrites = true;
    }

    fn put(&mut self, seq: u64, body: &Bytes) {
        let written = Written { body: body.clone(), messages: self.head.messages, bytes: self.head.bytes };
        self.written.insert(seq, written);
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
