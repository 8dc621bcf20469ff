//! One stored session: the contract's rules in their plainest form.

use bytes::Bytes;
use durable_session::store::{
    Commit, CommitOutcome, Expect, Head, Op, Order, Page, ReadQuery, Row, TailBounds, Version,
};
use std::collections::BTreeMap;

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) head: Head,
    pub(crate) app: Bytes,
    rows: BTreeMap<u64, Bytes>,
}

impl Session {
    /// A session before its first commit, whose version will be `first`.
    pub(crate) fn new(created_at: u64, first: Version) -> Self {
        Self { head: Head::new(first, created_at), app: Bytes::new(), rows: BTreeMap::new() }
    }

    /// Applies all operations and makes `version` the session's, or changes nothing.
    ///
    /// Everything is staged beside the stored rows first, so that a refusal half way leaves no trace and the cost is
    /// that of the commit, not of the conversation (S1, S8).
    pub(crate) fn apply(&mut self, commit: Commit, version: Version) -> CommitOutcome {
        let mut staged: BTreeMap<u64, Option<Bytes>> = BTreeMap::new();
        let mut app = None;
        let mut next_seq = self.head.next_seq;
        let creates = matches!(commit.expect, Expect::Absent { .. });
        let appends = !commit.ops.is_empty() && commit.ops.iter().all(|op| matches!(op, Op::Append(_)));
        let only_grows = !creates && appends;

        for op in commit.ops {
            match op {
                Op::Append(body) => {
                    staged.insert(next_seq, Some(body));
                    next_seq += 1;
                }
                Op::Replace { seq, body } => {
                    let exists = match staged.get(&seq) {
                        Some(change) => change.is_some(),
                        None => self.rows.contains_key(&seq),
                    };
                    if !exists {
                        return CommitOutcome::NoSuchSeq { seq };
                    }
                    staged.insert(seq, Some(body));
                }
                Op::Remove { first, last } if first <= last => {
                    staged.range_mut(first..=last).for_each(|(_, change)| *change = None);
                    for (&seq, _) in self.rows.range(first..=last) {
                        staged.insert(seq, None);
                    }
                }
                Op::Remove { .. } => {}
                Op::SetApp(bytes) => app = Some(bytes),
            }
        }

        for (seq, change) in staged {
            let old = match change {
                Some(body) => {
                    self.head.messages += 1;
                    self.head.bytes += body.len() as u64;
                    self.rows.insert(seq, body)
                }
                None => self.rows.remove(&seq),
            };
            if let Some(old) = old {
                self.head.messages -= 1;
                self.head.bytes -= old.len() as u64;
            }
        }
        if let Some(app) = app {
            self.app = app;
        }
        self.head.next_seq = next_seq;
        self.head.version = version;
        if !only_grows {
            self.head.base = version;
        }
        self.touch(commit.at);
        CommitOutcome::Committed(self.head)
    }

    pub(crate) fn touch(&mut self, at: u64) {
        self.head.last_accessed_at = self.head.last_accessed_at.max(at);
    }

    pub(crate) fn tail(&self, bounds: TailBounds) -> Vec<Row> {
        let newest_first = self.rows.iter().rev();
        let (mut tail, _) = bounded(newest_first, bounds.max_messages, bounds.max_bytes);
        tail.reverse();
        tail
    }

    pub(crate) fn page(&self, query: &ReadQuery) -> Page {
        let (rows, more) = if query.first > query.last {
            (Vec::new(), false)
        } else {
            let range = self.rows.range(query.first..=query.last);
            match query.order {
                Order::Forward => bounded(range, query.max_messages, query.max_bytes),
                Order::Backward => bounded(range.rev(), query.max_messages, query.max_bytes),
            }
        };
        Page { head: self.head, rows, more }
    }
}

/// The longest run from the start within both bounds, at least one row; and whether anything was left out.
fn bounded<'a>(
    rows: impl Iterator<Item = (&'a u64, &'a Bytes)>,
    max_messages: usize,
    max_bytes: u64,
) -> (Vec<Row>, bool) {
    let mut taken = Vec::new();
    let mut bytes = 0_u64;
    for (&seq, body) in rows {
        bytes = bytes.saturating_add(body.len() as u64);
        if !taken.is_empty() && (taken.len() >= max_messages || bytes > max_bytes) {
            return (taken, true);
        }
        taken.push(Row { seq, body: body.clone() });
    }
    (taken, false)
}
