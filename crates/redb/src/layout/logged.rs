//! What the logs hold, in memory: reads find it here and never touch the logs.

use super::log::{HEAD, Part};
use super::{Blob, Place, counts_from, head_counts};
use crate::error::Fault;
use bytes::Bytes;
use durable_session::SessionId;
use redb::ReadableTable;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::RangeInclusive;

/// The durable messages and head rows that are not yet in their tables, of all sessions.
#[derive(Debug, Default)]
pub(crate) struct Logged {
    sessions: HashMap<SessionId, Pending>,
    /// The sessions with something in the frozen log, in the order of the rows table.
    frozen: BTreeMap<u64, SessionId>,
}

/// Those of one session.
#[derive(Debug)]
struct Pending {
    number: u64,
    rows: VecDeque<LoggedRow>,
    /// How many of the rows, from the first, are in the frozen log.
    frozen: usize,
    /// The last head row, and whether it is in the frozen log.
    head: Option<(Bytes, bool)>,
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
    /// The last head row.
    pub(super) head: Option<Bytes>,
}

/// The newest that the logs hold of a session.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Newest<'a> {
    /// The last message, with its seq.
    pub(super) message: Option<(u64, &'a [u8])>,
    /// The head row of the last commit that wrote the app state.
    pub(crate) head: Option<&'a [u8]>,
}

/// What of a [`Tail`] counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counting<'a> {
    /// From this seq on, all messages are in a log.
    pub(crate) first: u64,
    pub(super) rows: &'a [LoggedRow],
}

/// What a transaction does to the logs, once it is durable.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Sessions of which nothing is left in the logs.
    pub(super) settled: Vec<SessionId>,
    /// Sessions of whose frozen messages so many are among the rows, and whether their frozen head row is in its table.
    pub(super) folded: Vec<(SessionId, usize, bool)>,
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

    /// All of one session, the head row last.
    pub(super) fn all(&self, id: &SessionId, number: u64) -> impl Iterator<Item = (u64, &Bytes)> {
        self.pending(id, number).into_iter().flat_map(|pending| {
            let head = pending.head.iter().map(|(row, _)| (HEAD, row));
            pending.rows.iter().map(|logged| (logged.seq, &logged.row)).chain(head)
        })
    }

    pub(super) fn newest(&self, id: &SessionId, number: u64) -> Newest<'_> {
        let Some(pending) = self.pending(id, number) else { return Newest::default() };
        Newest {
            message: pending.rows.back().map(|last| (last.seq, &last.row[..])),
            head: pending.head.as_ref().map(|(row, _)| &row[..]),
        }
    }

    fn pending(&self, id: &SessionId, number: u64) -> Option<&Pending> {
        self.sessions.get(id).filter(|pending| pending.number == number)
    }

    /// What is frozen of each session, its head row last, in the order of the rows table.
    pub(super) fn frozen(
        &self,
    ) -> impl Iterator<Item = (&SessionId, u64, impl Iterator<Item = (u64, &Bytes)>)> {
        self.frozen.iter().filter_map(|(&number, id)| {
            let pending = self.pending(id, number)?;
            let rows = pending.rows.iter().take(pending.frozen).map(|logged| (logged.seq, &logged.row));
            let head = pending.head.iter().filter(|(_, frozen)| *frozen).map(|(row, _)| (HEAD, row));
            Some((id, number, rows.chain(head)))
        })
    }

    /// Everything here is in the frozen log from now on.
    pub(super) fn freeze(&mut self) {
        for (id, pending) in &mut self.sessions {
            pending.frozen = pending.rows.len();
            if let Some((_, frozen)) = &mut pending.head {
                *frozen = true;
            }
            self.frozen.insert(pending.number, id.clone());
        }
    }

    /// Takes in what a log had when the store was opened.
    pub(super) fn recovered(&mut self, part: &Part) {
        self.append(part.id.clone(), part.number, part.seq, part.row.clone());
    }

    /// Takes in what a durable transaction did.
    pub(crate) fn apply(&mut self, effects: Effects) {
        for id in effects.settled {
            if let Some(pending) = self.sessions.remove(&id) {
                self.frozen.remove(&pending.number);
            }
        }
        for (id, count, head) in effects.folded {
            let Some(pending) = self.sessions.get_mut(&id) else { continue };
            pending.rows.drain(..count.min(pending.rows.len()));
            pending.frozen = pending.frozen.saturating_sub(count);
            pending.head.take_if(|(_, frozen)| *frozen && head);
            if pending.frozen == 0 && pending.head.as_ref().is_none_or(|(_, frozen)| !frozen) {
                self.frozen.remove(&pending.number);
            }
            if pending.rows.is_empty() && pending.head.is_none() {
                self.sessions.remove(&id);
            }
        }
        for Part { id, number, seq, row } in effects.appended {
            self.append(id, number, seq, row);
        }
    }

    fn append(&mut self, id: SessionId, number: u64, seq: u64, row: Bytes) {
        let new = || Pending { number, rows: VecDeque::new(), frozen: 0, head: None };
        let pending = self.sessions.entry(id).or_insert_with(new);
        if pending.number != number {
            // An earlier life, of which damage has left something in the logs.
            self.frozen.remove(&pending.number);
            *pending = new();
        }
        if seq == HEAD {
            pending.head = Some((row, false));
        } else {
            pending.rows.push_back(LoggedRow { seq, row });
        }
    }
}

impl Pending {
    fn tail(&self, rows: Vec<LoggedRow>) -> Tail {
        let first = self.rows.front().map_or(0, |row| row.seq);
        let head = self.head.as_ref().map(|(row, _)| row.clone());
        Tail { number: self.number, first, rows, last: self.rows.back().cloned(), head }
    }
}

impl Tail {
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
        let rows = self.since(self.number, next_seq).map_or(&[][..], |counting| counting.rows);
        Ok(rows.iter().map(|logged| ((self.number, logged.seq), &logged.row[..])))
    }

    /// The head row, with its number, if it counts.
    pub(crate) fn counting_head(
        &self,
        id: &SessionId,
        heads: &impl ReadableTable<u64, Blob>,
    ) -> Result<Option<(u64, &[u8])>, Fault> {
        let Some(row) = &self.head else { return Ok(None) };
        let stored = heads.get(self.number)?;
        let counts = stored.is_some_and(|stored| head_counts(self.number, id, stored.value(), row));
        Ok(counts.then_some((self.number, &row[..])))
    }

    /// The messages that count for a session with this number whose stored head row tells of those before `next_seq`.
    ///
    /// A transaction is durable a moment before its effects are here: until then, what it settled or folded is here and in
    /// the tables.
    pub(crate) fn since(&self, number: u64, next_seq: u64) -> Option<Counting<'_>> {
        self.last.as_ref().filter(|last| self.number == number && last.seq >= next_seq)?;
        let told = self.rows.partition_point(|row| row.seq < next_seq);
        Some(Counting { first: self.first.max(next_seq), rows: &self.rows[told..] })
    }

    /// The newest of all, for a session with this number.
    pub(crate) fn newest(&self, number: u64) -> Newest<'_> {
        if self.number != number {
            return Newest::default();
        }
        Newest {
            message: self.last.as_ref().map(|last| (last.seq, &last.row[..])),
            head: self.head.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::newer;
    use super::*;
    use durable_session::rows::{self, HeadRow};
    use durable_session::store::{Head, Incarnation, Version};

    /// What a read meets when a transaction is durable and its effects are not shown yet.
    #[test]
    fn what_was_settled_a_moment_ago_does_not_count() {
        let mut logged = Logged::default();
        let id = SessionId::new("s").unwrap();
        for seq in 4..=6 {
            logged.recovered(&Part { id: id.clone(), number: 2, seq, row: vec![7].into() });
        }
        let tail = logged.tail(&id, 0..=u64::MAX, 9, true);
        let counting =
            |next_seq| tail.since(2, next_seq).map(|counting| (counting.first, counting.rows.len()));
        assert_eq!([counting(1), counting(4)], [Some((4, 3)); 2]);
        assert_eq!(counting(6), Some((6, 1)), "the head row tells of the others");
        assert_eq!(counting(7), None, "the head row tells of all");
        assert!(tail.since(1, 4).is_none(), "of another life");
        assert!(Tail::default().since(0, 0).is_none(), "nothing is logged");
        assert_eq!(tail.newest(2).message.map(|(seq, _)| seq), Some(6));
        assert!(tail.newest(1).message.is_none());
    }

    /// The same for a head row: settled, and touched since.
    #[test]
    fn of_two_head_rows_of_one_version_the_stored_one_counts() {
        let id = SessionId::new("s").unwrap();
        let head = |counter, last_accessed_at| {
            let version = Version::new(Incarnation::from_bytes([7; 16]), counter);
            Head { last_accessed_at, ..Head::new(version, 0) }
        };
        let stored = HeadRow { head: head(5, 90), app: b"stored" };
        for (counter, expected) in [(4, &b"stored"[..]), (5, b"stored"), (6, b"logged")] {
            let logged = rows::encode_head(1, &id, &head(counter, 10), b"logged");
            assert_eq!(newer(&id, 1, stored, Some(&logged)).unwrap().app, expected);
            let stored = rows::encode_head(1, &id, &stored.head, stored.app);
            assert_eq!(head_counts(1, &id, &stored, &logged), expected == b"logged");
        }
        assert_eq!(newer(&id, 1, stored, None).unwrap(), stored);
    }
}
