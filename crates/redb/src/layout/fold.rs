//! From the logs into the rows.

use super::log::{self, HEAD, LOGS, Part, Position};
use super::logged::{Effects, Logged, Newest};
use super::{Draft, Known, Place};
use crate::error::{Fault, OpenError};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::planted::bug;
use redb::Database;
use std::collections::{BTreeMap, HashSet};

/// A commit of more bytes gains nothing from a log: its rows fill pages of their own.
const MOST_LOGGED: u64 = 256 * 1024;

/// What a transaction does to the logs, while it is being made.
#[derive(Debug)]
pub(crate) struct LogDraft<'txn> {
    logged: &'txn Logged,
    /// Whether anything is logged.
    takes: bool,
    /// Message rows and head rows to be logged.
    appended: BTreeMap<Place, (SessionId, Bytes)>,
    settled: HashSet<SessionId>,
}

impl<'txn> LogDraft<'txn> {
    pub(crate) fn new(logged: &'txn Logged, position: &Position) -> Self {
        Self { logged, takes: position.takes(), appended: BTreeMap::new(), settled: HashSet::new() }
    }

    pub(super) fn takes(&self, bytes: u64) -> bool {
        self.takes && bytes <= MOST_LOGGED
    }

    /// The newest that is logged of a session.
    pub(super) fn newest(&self, id: &SessionId, number: u64) -> Newest<'_> {
        let mut newest =
            if self.settled.contains(id) { Newest::default() } else { self.logged.newest(id, number) };
        for (&(_, seq), (_, row)) in self.appended.range((number, HEAD)..=(number, u64::MAX)) {
            if seq == HEAD {
                newest.head = Some(row);
            } else {
                newest.message = Some((seq, row));
            }
        }
        newest
    }

    pub(super) fn append(&mut self, id: &SessionId, number: u64, seq: u64, row: Vec<u8>) {
        self.appended.insert((number, seq), (id.clone(), row.into()));
    }

    /// Takes what is logged of a session out of the logs, the newest head row last of those.
    pub(super) fn settle(&mut self, id: &SessionId, number: u64) -> Vec<(u64, Bytes)> {
        let mut rows = Vec::new();
        if self.settled.insert(id.clone()) {
            rows.extend(self.logged.all(id, number).map(|(seq, row)| (seq, row.clone())));
        }
        let of_session = self.appended.extract_if((number, HEAD)..=(number, u64::MAX), |_, _| true);
        rows.extend(of_session.map(|((_, seq), (_, row))| (seq, row)));
        rows
    }
}

impl Draft<'_> {
    /// Puts what is logged of a session into the tables, so that what comes next finds it there.
    pub(super) fn settle(&mut self, id: &SessionId, number: u64) -> Result<(), Fault> {
        for (seq, row) in self.log.settle(id, number) {
            self.put(number, seq, &row)?;
        }
        Ok(())
    }

    /// Writes a message row, or the head row, into its table.
    pub(super) fn put(&mut self, number: u64, seq: u64, row: &[u8]) -> Result<(), Fault> {
        if seq == HEAD {
            self.index.open(self.txn)?.heads.insert(number, row)?;
        } else {
            self.rows.open(self.txn)?.insert((number, seq), row)?;
        }
        Ok(())
    }

    /// Writes what was logged, and folds a part of the frozen log. Nothing can be drafted after this.
    pub(crate) fn finish(mut self, position: &mut Position, slice: Slice) -> Result<Effects, Fault> {
        let appended = std::mem::take(&mut self.log.appended);
        let part = |((number, seq), (id, row))| Part { id, number, seq, row };
        let mut effects = Effects {
            settled: self.log.settled.iter().cloned().collect(),
            folded: Vec::new(),
            appended: appended.into_iter().map(part).collect(),
        };
        let mut logged = 0;
        if !effects.appended.is_empty() {
            let mut log = self.txn.open_table(LOGS[position.active])?;
            for parts in log::entries(&mut effects.appended) {
                let entry = log::encode(position.next, parts);
                log.insert(position.next, &entry[..])?;
                logged += entry.len() as u64;
                position.next += 1;
            }
            position.bytes += logged;
        }
        if let Some(room) = slice.room(position, logged) {
            self.fold(position, room, &mut effects)?;
        }
        Ok(effects)
    }

    fn fold(&mut self, position: &mut Position, room: u64, effects: &mut Effects) -> Result<(), Fault> {
        let mut bytes = 0;
        let (logged, settled) = (self.log.logged, std::mem::take(&mut self.log.settled));
        for (id, number, rows) in logged.frozen().filter(|(id, ..)| !settled.contains(*id)) {
            let (mut count, mut head) = (0, false);
            for (seq, row) in rows {
                if bug("drop-the-log-unfolded") {
                    break;
                }
                if bytes >= room {
                    effects.folded.push((id.clone(), count, head));
                    return Ok(());
                }
                self.put(number, seq, row)?;
                bytes += row.len() as u64;
                count += usize::from(seq != HEAD);
                head |= seq == HEAD;
            }
            effects.folded.push((id.clone(), count, head));
        }
        self.txn.delete_table(LOGS[1 - position.active])?;
        position.frozen = false;
        Ok(())
    }
}

/// How much of the frozen log one transaction folds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slice {
    /// In proportion to what the transaction logs, so that the frozen log is gone before the active one is full.
    Share,
    /// As much as is good in one go, since nothing waits.
    Idle,
    /// All.
    Whole,
}

impl Slice {
    /// More of the frozen log than is logged meanwhile.
    const SHARE: u64 = 3;
    const LEAST: u64 = 256 * 1024;
    const MOST: u64 = 2 * 1024 * 1024;

    fn room(self, position: &Position, logged: u64) -> Option<u64> {
        let share = logged.saturating_mul(Self::SHARE);
        match self {
            _ if !position.frozen => None,
            Self::Share if position.is_full() => Some(share.max(Self::MOST)),
            Self::Share => Some(share.clamp(Self::LEAST, Self::MOST)),
            Self::Idle => Some(Self::MOST),
            Self::Whole => Some(u64::MAX),
        }
    }
}

/// Puts all that the logs hold among the rows.
pub(crate) fn empty_logs(db: &Database) -> Result<(), OpenError> {
    let (mut logged, mut position) = log::recover(db, 0)?;
    // The first round empties the older log, the second the other.
    for _ in 0..2 {
        position.freeze(&mut logged);
        if !position.frozen {
            continue;
        }
        let txn = db.begin_write().map_err(OpenError::redb)?;
        let mut known = Known::default();
        let draft = Draft::open(&txn, &mut known, LogDraft::new(&logged, &position));
        let effects = draft.finish(&mut position, Slice::Whole).map_err(Fault::on_opening)?;
        txn.commit().map_err(OpenError::redb)?;
        logged.apply(effects);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{HEADS, ROWS, meta};
    use super::*;
    use redb::{ReadableDatabase, ReadableTableMetadata};

    const KIB: u64 = 1024;

    fn database() -> Database {
        let db = Database::builder().create_with_backend(redb::backends::InMemoryBackend::new()).unwrap();
        let txn = db.begin_write().unwrap();
        meta::create_tables(&txn, 1).unwrap();
        txn.commit().unwrap();
        db
    }

    /// Logs rows of 40 KiB, one for each session and seq given, and folds a slice.
    fn write(db: &Database, (logged, position): (&mut Logged, &mut Position), rows: &[Place], slice: Slice) {
        let txn = db.begin_write().unwrap();
        let mut known = Known::default();
        let mut log = LogDraft::new(logged, position);
        for &(number, seq) in rows {
            log.append(&SessionId::new(format!("s{number}")).unwrap(), number, seq, vec![7; 40 * 1024]);
        }
        let effects = Draft::open(&txn, &mut known, log).finish(position, slice).unwrap();
        txn.commit().unwrap();
        logged.apply(effects);
    }

    /// Until all messages that a head row tells of are among the rows, those in the log would be lost behind it.
    #[test]
    fn a_head_row_is_folded_after_its_messages() {
        let db = database();
        let (mut logged, mut position) = log::recover(&db, KIB).unwrap();
        let rows: Vec<Place> = (HEAD..=10).map(|seq| (1, seq)).collect();
        write(&db, (&mut logged, &mut position), &rows, Slice::Share);
        position.switch(&mut logged);
        let folded = || {
            let txn = db.begin_read().unwrap();
            let (rows, heads) = (txn.open_table(ROWS).unwrap(), txn.open_table(HEADS).unwrap());
            (rows.len().unwrap(), heads.len().unwrap())
        };
        write(&db, (&mut logged, &mut position), &[], Slice::Share);
        assert_eq!((folded(), logged.len(), position.is_frozen()), ((7, 0), 3, true));
        // With a newer one in the same transaction, which stays in the other log.
        write(&db, (&mut logged, &mut position), &[(1, HEAD)], Slice::Share);
        assert_eq!((folded(), logged.len(), position.is_frozen()), ((10, 1), 0, false));
        position.freeze(&mut logged);
        assert_eq!(logged.frozen().count(), 1, "a session of which only the head row is logged");
        write(&db, (&mut logged, &mut position), &[], Slice::Idle);
        assert_eq!((logged.frozen().count(), position.is_frozen()), (0, false));
        assert!(logged.tails(true).is_empty(), "nothing is kept of it");
    }

    #[test]
    fn what_a_transaction_logs_is_newer_than_what_was_logged_before() {
        let db = database();
        let id = SessionId::new("s1").unwrap();
        let (mut logged, mut position) = log::recover(&db, KIB).unwrap();
        write(&db, (&mut logged, &mut position), &[(1, HEAD), (1, 3), (1, 4)], Slice::Share);
        let mut log = LogDraft::new(&logged, &position);
        let newest = |log: &LogDraft<'_>| {
            let Newest { message, head } = log.newest(&id, 1);
            (message.map(|(seq, row)| (seq, row[0])), head.map(|row| row[0]))
        };
        assert_eq!(newest(&log), (Some((4, 7)), Some(7)));
        log.append(&id, 1, 5, vec![8]);
        assert_eq!(newest(&log), (Some((5, 8)), Some(7)));
        log.append(&id, 1, HEAD, vec![9]);
        log.append(&id, 2, 6, vec![6]);
        assert_eq!(newest(&log), (Some((5, 8)), Some(9)));
        let settled = log.settle(&id, 1);
        assert!(settled.iter().map(|&(seq, _)| seq).eq([3, 4, HEAD, HEAD, 5]));
        assert_eq!(newest(&log), (None, None));
    }

    #[test]
    fn a_frozen_log_is_folded_a_slice_at_a_time() {
        let db = database();
        let (mut logged, mut position) = log::recover(&db, KIB).unwrap();
        let rows: Vec<Place> = (1..=3).flat_map(|number| (1..=10).map(move |seq| (number, seq))).collect();
        write(&db, (&mut logged, &mut position), &rows, Slice::Share);
        position.switch(&mut logged);
        // Seven rows of 40 KiB are the least that is more than 256 KiB.
        for left in [23, 16, 9, 2] {
            write(&db, (&mut logged, &mut position), &[], Slice::Share);
            assert_eq!((logged.len(), position.is_frozen()), (left, true));
        }
        write(&db, (&mut logged, &mut position), &[], Slice::Share);
        assert_eq!((logged.len(), position.is_frozen()), (0, false));
        assert_eq!(db.begin_read().unwrap().open_table(ROWS).unwrap().len().unwrap(), 30);
    }

    #[test]
    fn a_slice_is_more_than_is_logged_meanwhile_and_not_too_much_at_once() {
        let (_, mut position) = log::recover(&database(), 4096 * KIB).unwrap();
        assert_eq!(Slice::Whole.room(&position, 0), None, "nothing is frozen");
        position.frozen = true;
        assert_eq!(Slice::Share.room(&position, 0), Some(256 * KIB));
        assert_eq!(Slice::Share.room(&position, 200 * KIB), Some(600 * KIB));
        assert_eq!(Slice::Share.room(&position, 1024 * KIB), Some(2048 * KIB));
        assert_eq!(Slice::Idle.room(&position, 0), Some(2048 * KIB));
        assert_eq!(Slice::Whole.room(&position, 0), Some(u64::MAX));
        // With the other log full, too, nothing is spared.
        position.bytes = 4096 * KIB;
        assert_eq!(Slice::Share.room(&position, 0), Some(2048 * KIB));
        assert_eq!(Slice::Share.room(&position, 1024 * KIB), Some(3072 * KIB));
    }

    #[test]
    fn a_large_commit_is_not_logged() {
        let (logged, mut position) = log::recover(&database(), KIB).unwrap();
        let draft = LogDraft::new(&logged, &position);
        assert!(draft.takes(0) && draft.takes(256 * KIB) && !draft.takes(256 * KIB + 1));
        position = Position::none();
        assert!(!LogDraft::new(&logged, &position).takes(0), "without logs");
    }
}
