//! The layout on disk, version 3: the one place that knows tables, keys and rows.
//!
//! | table | key | value |
//! |---|---|---|
//! | `durable-session.meta` | name | a checked integer, see [`meta`] |
//! | `durable-session.ids` | session id (bytes) | number row |
//! | `durable-session.heads` | session number | head row |
//! | `durable-session.rows` | (session number, seq) | message row |
//! | `durable-session.log-a`, `-b` | position | messages and head rows that are not yet in their tables, see [`log`] |
//!
//! The rows are those of [`durable_session::rows`]. A session number belongs to one life of one session and is never
//! used again. An append writes message rows only; the head is derived from the head row and the last message row.
//!
//! Version 1 had no logs, and those of version 2 held no head rows; opening such a file makes it version 3.
//!
//! Ids are keyed as bytes, not as `str`: redb panics on a `str` key that damage has made invalid UTF-8.

mod commit;
mod delete;
mod fold;
mod known;
mod list;
pub(crate) mod log;
mod logged;
pub(crate) mod meta;
pub(crate) mod read;
mod salvage;
pub(crate) mod seqs;

pub(crate) use fold::{LogDraft, Slice, empty_logs};
pub(crate) use known::Known;
pub(crate) use log::Position;
pub(crate) use logged::{Counting, Effects, Logged, Newest, Tail};

use crate::error::{Fault, contradiction};
use durable_session::SessionId;
use durable_session::rows::{self, HeadRow};
use durable_session::store::{Head, StoreError};
use redb::{
    ReadOnlyTable, ReadTransaction, ReadableTable, Table, TableDefinition, TableError, WriteTransaction,
};

/// The layout that this code writes, as stored in the file.
pub(crate) const VERSION: u64 = 3;

type Blob = &'static [u8];
type Place = (u64, u64);

pub(crate) const META: TableDefinition<'_, &'static str, Blob> = TableDefinition::new("durable-session.meta");
pub(crate) const IDS: TableDefinition<'_, Blob, Blob> = TableDefinition::new("durable-session.ids");
pub(crate) const HEADS: TableDefinition<'_, u64, Blob> = TableDefinition::new("durable-session.heads");
pub(crate) const ROWS: TableDefinition<'_, Place, Blob> = TableDefinition::new("durable-session.rows");

/// The three tables that hold sessions, in a read or a write transaction.
pub(crate) struct Tables<I, H, R> {
    pub(crate) index: Index<I, H>,
    pub(crate) rows: R,
}

/// The two tables that lead from an id to its rows.
pub(crate) struct Index<I, H> {
    pub(crate) ids: I,
    pub(crate) heads: H,
}

/// The tables of a read transaction.
pub(crate) type Snapshot =
    Tables<ReadOnlyTable<Blob, Blob>, ReadOnlyTable<u64, Blob>, ReadOnlyTable<Place, Blob>>;

/// The tables of a write transaction.
pub(crate) struct Draft<'txn> {
    index: LazyIndex<'txn>,
    rows: LazyRows<'txn>,
    txn: &'txn WriteTransaction,
    known: &'txn mut Known,
    log: LogDraft<'txn>,
}

type OpenIndex<'txn> = Index<Table<'txn, Blob, Blob>, Table<'txn, u64, Blob>>;
type OpenRows<'txn> = Table<'txn, Place, Blob>;

/// Every table that is opened for writing adds to the cost of the commit, and an append to a known session needs none
/// of these.
struct LazyIndex<'txn>(Option<OpenIndex<'txn>>);
struct LazyRows<'txn>(Option<OpenRows<'txn>>);

impl Snapshot {
    pub(crate) fn open(txn: &ReadTransaction) -> Result<Self, TableError> {
        let index = Index { ids: txn.open_table(IDS)?, heads: txn.open_table(HEADS)? };
        Ok(Self { index, rows: txn.open_table(ROWS)? })
    }
}

impl<'txn> Draft<'txn> {
    /// `known` must be thrown away unless the transaction is committed.
    pub(crate) fn open(txn: &'txn WriteTransaction, known: &'txn mut Known, log: LogDraft<'txn>) -> Self {
        Self { index: LazyIndex(None), rows: LazyRows(None), txn, known, log }
    }
}

impl<'txn> LazyIndex<'txn> {
    fn open(&mut self, txn: &'txn WriteTransaction) -> Result<&mut OpenIndex<'txn>, TableError> {
        match &mut self.0 {
            Some(index) => Ok(index),
            none => Ok(none.insert(Index { ids: txn.open_table(IDS)?, heads: txn.open_table(HEADS)? })),
        }
    }
}

impl<'txn> LazyRows<'txn> {
    fn open(&mut self, txn: &'txn WriteTransaction) -> Result<&mut OpenRows<'txn>, TableError> {
        match &mut self.0 {
            Some(rows) => Ok(rows),
            none => Ok(none.insert(txn.open_table(ROWS)?)),
        }
    }
}

/// Where a session is and what its head says.
struct Found {
    number: u64,
    /// The head as the table of heads has it: without what is logged, and without the appends since.
    stored: Head,
    current: Head,
}

impl<I, H> Index<I, H>
where
    I: ReadableTable<Blob, Blob>,
    H: ReadableTable<u64, Blob>,
{
    fn number(&self, id: &SessionId) -> Result<Option<u64>, Fault> {
        match self.ids.get(id.as_str().as_bytes())? {
            Some(row) => Ok(Some(rows::decode_number(id, row.value())?)),
            None => Ok(None),
        }
    }

    /// Finds the session; `newest` gives what the logs have of it, `take` copies what is needed from the head row.
    fn find<'n, T>(
        &self,
        rows: &impl ReadableTable<Place, Blob>,
        newest: impl FnOnce(u64) -> Newest<'n>,
        id: &SessionId,
        take: impl FnOnce(&HeadRow<'_>) -> T,
    ) -> Result<Option<(Found, T)>, Fault> {
        let Some(number) = self.number(id)? else { return Ok(None) };
        let row = self.heads.get(number)?.ok_or_else(|| missing_head(id))?;
        let stored = rows::decode_head(number, id, row.value())?;
        let newest = newest(number);
        let head_row = newer(id, number, stored, newest.head)?;
        let current = derive(rows, newest.message, id, number, &head_row)?;
        Ok(Some((Found { number, stored: stored.head, current }, take(&head_row))))
    }
}

/// The newer one of the head row in the table and the one in a log, if there is one.
///
/// Equal counters mean that it has been folded or settled, and maybe touched since.
pub(crate) fn newer<'a>(
    id: &SessionId,
    number: u64,
    stored: HeadRow<'a>,
    logged: Option<&'a [u8]>,
) -> Result<HeadRow<'a>, StoreError> {
    let Some(row) = logged else { return Ok(stored) };
    let logged = rows::decode_head(number, id, row)?;
    if logged.head.version.counter() <= stored.head.version.counter() {
        return Ok(stored);
    }
    seqs::continues_head(id, &stored.head, &logged.head)?;
    Ok(logged)
}

/// Whether a logged head row says more than the one in the table. What cannot be read is not passed over.
fn head_counts(number: u64, id: &SessionId, stored: &[u8], logged: &[u8]) -> bool {
    match (rows::decode_head(number, id, stored), rows::decode_head(number, id, logged)) {
        (Ok(stored), Ok(logged)) => logged.head.version.counter() > stored.head.version.counter(),
        _ => true,
    }
}

/// The current head. Only messages past the end that the head row tells of were appended since, and the last of them
/// carries the head; damage to older ones does not hide it.
fn derive(
    rows: &impl ReadableTable<Place, Blob>,
    newest: Option<(u64, &[u8])>,
    id: &SessionId,
    number: u64,
    head_row: &HeadRow<'_>,
) -> Result<Head, Fault> {
    if let Some((seq, row)) = newest.filter(|(seq, _)| *seq >= head_row.head.next_seq) {
        let last = rows::decode_message(id, number, seq, row)?;
        seqs::continues(id, &head_row.head, &last)?;
        return Ok(head_row.current(Some(&last)));
    }
    let appended = (number, head_row.head.next_seq)..=(number, u64::MAX);
    match rows.range(appended)?.next_back() {
        Some(entry) => {
            let (place, row) = entry?;
            let last = rows::decode_message(id, number, place.value().1, row.value())?;
            seqs::continues(id, &head_row.head, &last)?;
            Ok(head_row.current(Some(&last)))
        }
        None => Ok(head_row.current(None)),
    }
}

/// The seq from which on logged messages count, by the session's head row. With a head row that cannot be read, all do.
pub(crate) fn counts_from(number: u64, id: &SessionId, head_row: &[u8]) -> u64 {
    rows::decode_head(number, id, head_row).map_or(0, |row| row.head.next_seq)
}

fn missing_head(id: &SessionId) -> StoreError {
    contradiction("the session's head row is missing").in_session(id)
}
