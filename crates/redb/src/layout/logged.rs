//! What the logs hold, in memory: reads find it here and never touch the logs.

use super::log::Part;
use super::{Blob, Place, counts_from};
use crate::error::Fault;
use bytes::Bytes;
use durable_session::SessionId;
use redb::ReadableTable;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::RangeInclusive;

/// The durable messages that are not yet among the rows, of all sessions.
#[derive(Debug, Default)]
pub(crate) struct Logged {
    sessions: HashMap<SessionId, Pending>,
    /// The sessions with messages in the frozen log, in the order of the rows table.
    frozen: BTreeMap<u64, SessionId>,
}

/// Those of one session.
#[derive(Debug)]
struct Pending {
    number: u64,
    rows: VecDeque<LoggedRow>,
    /// How many of the rows, from the first, are in the frozen log.
    frozen: usize,
}

/// A message row that is in a log.
#[derive(Debug, Clone)]
pub(crate) struct LoggedRow {
    pub(crate) seq: u64,
    pub(crate) row: Bytes,
}

/// Some of the logged messages of one session, as they were when a read began.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tail {
    /// Of the session's life that they belong to.
    pub(super) number: u64,
    /// The seq of the first that is in a log, whether it is here or not.
    pub(super) first: u64,
    /// In order.
    pub(super) rows: Vec<LoggedRow>,
    /// The newest of them all.
    pub(super) last: Option<LoggedRow>,
}

/// What a transaction does to the logs, once it is durable.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Sessions of which nothing is left in the logs.
    pub(super) settled: Vec<SessionId>,
    /// Sessions of whose frozen messages so many are among the rows.
    pub(super) folded: Vec<(SessionId, usize)>,
    /// Newly logged.
    pub(super) appended: Vec<Part>,
}

impl Logged {
    /// How many messages there are.
    pub(crate) fn len(&self) -> usize {
        self.sessions.values().map(|pending| pending.rows.len()).sum()
    }

    /// Up to `max` messages of a session within `seqs`, from the first or from the last.
    pub(crate) fn tail(
        &self,
        id: &SessionId,
        seqs: RangeInclusive<u64>,
        max: usize,
        from_first: bool,
    ) -> Tail {
        let Some(pending) = self.sessions.get(id) else { return Tail::default() };
        let from = pending.rows.partition_point(|row| row.seq < *seqs.start());
        let to = pending.rows.partition_point(|row| row.seq <= *seqs.end()).max(from);
        let range = if from_first {
            from..to.min(from.saturating_add(max))
        } else {
            from.max(to.saturating_sub(max))..to
        };
        pending.tail(pending.rows.range(range).cloned().collect())
    }

    /// All messages of all sessions, or only the newest of each.
    pub(crate) fn tails(&self, whole: bool) -> HashMap<SessionId, Tail> {
        let tail = |pending: &Pending| {
            pending.tail(if whole { pending.rows.iter().cloned().collect() } else { Vec::new() })
        };
        self.sessions.iter().map(|(id, pending)| (id.clone(), tail(pending))).collect()
    }

    /// All rows of one session.
    pub(super) fn rows(&self, id: &SessionId, number: u64) -> impl Iterator<Item = &LoggedRow> {
        self.pending(id, number).into_iter().flat_map(|pending| &pending.rows)
    }

    /// The newest row of one session.
    pub(super) fn last(&self, id: &SessionId, number: u64) -> Option<&LoggedRow> {
        self.pending(id, number)?.rows.back()
    }

    fn pending(&self, id: &SessionId, number: u64) -> Option<&Pending> {
        self.sessions.get(id).filter(|pending| pending.number == number)
    }

    /// The frozen rows of each session, in the order of the rows table.
    pub(super) fn frozen(&self) -> impl Iterator<Item = (&SessionId, u64, impl Iterator<Item = &LoggedRow>)> {
        self.frozen.iter().filter_map(|(&number, id)| {
            let pending = self.pending(id, number)?;
            Some((id, number, pending.rows.iter().take(pending.frozen)))
        })
    }

    /// Everything here is in the frozen log from now on.
    pub(super) fn freeze(&mut self) {
        for (id, pending) in &mut self.sessions {
            pending.frozen = pending.rows.len();
            self.frozen.insert(pending.number, id.clone());
        }
    }

    /// Takes in what a log had when the store was opened.
    pub(super) fn recovered(&mut self, part: &Part) {
        self.append(part.id.clone(), part.number, LoggedRow { seq: part.seq, row: part.row.clone() });
    }

    /// Takes in what a durable transaction did.
    pub(crate) fn apply(&mut self, effects: Effects) {
        for id in effects.settled {
            if let Some(pending) = self.sessions.remove(&id) {
                self.frozen.remove(&pending.number);
            }
        }
        for (id, count) in effects.folded {
            let Some(pending) = self.sessions.get_mut(&id) else { continue };
            pending.rows.drain(..count.min(pending.rows.len()));
            pending.frozen = pending.frozen.saturating_sub(count);
            if pending.frozen == 0 {
                self.frozen.remove(&pending.number);
            }
            if pending.rows.is_empty() {
                self.sessions.remove(&id);
            }
        }
        for Part { id, number, seq, row } in effects.appended {
            self.append(id, number, LoggedRow { seq, row });
        }
    }

    fn append(&mut self, id: SessionId, number: u64, row: LoggedRow) {
        let new = || Pending { number, rows: VecDeque::new(), frozen: 0 };
        let pending = self.sessions.entry(id).or_insert_with(new);
        if pending.number != number {
            // An earlier life, of which damage has left something in the logs.
            self.frozen.remove(&pending.number);
            *pending = new();
        }
        pending.rows.push_back(row);
    }
}

impl Pending {
    fn tail(&self, rows: Vec<LoggedRow>) -> Tail {
        let first = self.rows.front().map_or(0, |row| row.seq);
        Tail { number: self.number, first, rows, last: self.rows.back().cloned() }
    }
}

impl Tail {
    /// The seq of the first that is in a log.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    pub(crate) fn rows(&self) -> &[LoggedRow] {
        &self.rows
    }

    /// The rows that count, each with its place in the rows table.
    pub(crate) fn counting(
        &self,
        id: &SessionId,
        heads: &impl ReadableTable<u64, Blob>,
    ) -> Result<impl Iterator<Item = (Place, &[u8])>, Fault> {
        let next_seq = match heads.get(self.number)? {
            // The session is gone.
            None => u64::MAX,
            Some(row) => counts_from(self.number, id, row.value()),
        };
        let rows = self.since(self.number, next_seq).map_or(&[][..], |tail| &tail.rows);
        Ok(rows.iter().map(|logged| ((self.number, logged.seq), &logged.row[..])))
    }

    /// What of it counts for a session with this number whose head row tells of the messages before `next_seq`.
    ///
    /// A transaction is durable a moment before its effects are here: until then, what it settled is here and among the
    /// rows.
    pub(crate) fn since(&self, number: u64, next_seq: u64) -> Option<&Self> {
        // Settled as a whole or not at all, so the first stands for all.
        let counts = self.number == number && self.first >= next_seq && self.last.is_some();
        counts.then_some(self)
    }

    /// The newest of all, for a session with this number.
    pub(super) fn newest(&self, number: u64) -> Option<(u64, &[u8])> {
        let last = self.last.as_ref().filter(|_| self.number == number)?;
        Some((last.seq, &last.row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a read meets when a transaction is durable and its effects are not shown yet.
    #[test]
    fn what_was_settled_a_moment_ago_does_not_count() {
        let mut logged = Logged::default();
        let id = SessionId::new("s").unwrap();
        for seq in 4..=6 {
            logged.recovered(&Part { id: id.clone(), number: 2, seq, row: vec![7].into() });
        }
        let tail = logged.tail(&id, 0..=u64::MAX, 9, true);
        assert!(tail.since(2, 4).is_some() && tail.since(2, 1).is_some());
        assert!(tail.since(2, 5).is_none(), "the head row tells of the first of them");
        assert!(tail.since(1, 4).is_none(), "of another life");
        assert!(Tail::default().since(0, 0).is_none(), "nothing is logged");
        assert_eq!(tail.newest(2).map(|(seq, _)| seq), Some(6));
        assert!(tail.newest(1).is_none());
    }
}
