//! The layout on disk, version 1: the one place that knows tables, keys and rows.
//!
//! | table | key | value |
//! |---|---|---|
//! | `durable-session.meta` | name | a checked integer, see [`meta`] |
//! | `durable-session.ids` | session id (bytes) | number row |
//! | `durable-session.heads` | session number | head row |
//! | `durable-session.rows` | (session number, seq) | message row |
//!
//! The rows are those of [`durable_session::rows`]. A session number belongs to one life of one session and is never
//! used again. An append writes message rows only; the head is derived from the head row and the last message row.
//!
//! Ids are keyed as bytes, not as `str`: redb panics on a `str` key that damage has made invalid UTF-8.

mod commit;
mod delete;
mod known;
mod list;
pub(crate) mod meta;
mod read;
mod salvage;
pub(crate) mod seqs;

pub(crate) use known::Known;

use crate::error::{Fault, contradiction};
use durable_session::SessionId;
use durable_session::rows::{self, HeadRow};
use durable_session::store::{Head, StoreError};
use redb::{
    ReadOnlyTable, ReadTransaction, ReadableTable, Table, TableDefinition, TableError, WriteTransaction,
};

/// The layout that this code writes, as stored in the file.
pub(crate) const VERSION: u64 = 1;

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
    rows: Table<'txn, Place, Blob>,
    txn: &'txn WriteTransaction,
    known: &'txn mut Known,
}

type OpenIndex<'txn> = Index<Table<'txn, Blob, Blob>, Table<'txn, u64, Blob>>;

/// Every table that is opened for writing adds to the cost of the commit, and an append to a known session needs only
/// the rows.
struct LazyIndex<'txn>(Option<OpenIndex<'txn>>);

impl Snapshot {
    pub(crate) fn open(txn: &ReadTransaction) -> Result<Self, TableError> {
        let index = Index { ids: txn.open_table(IDS)?, heads: txn.open_table(HEADS)? };
        Ok(Self { index, rows: txn.open_table(ROWS)? })
    }
}

impl<'txn> Draft<'txn> {
    /// `known` must be thrown away unless the transaction is committed.
    pub(crate) fn open(txn: &'txn WriteTransaction, known: &'txn mut Known) -> Result<Self, TableError> {
        Ok(Self { index: LazyIndex(None), rows: txn.open_table(ROWS)?, txn, known })
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

/// Where a session is and what its head says.
struct Found {
    number: u64,
    /// The head as the head row has it: without the appends since.
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

    fn find(&self, rows: &impl ReadableTable<Place, Blob>, id: &SessionId) -> Result<Option<Found>, Fault> {
        self.find_with(rows, id, |_| ()).map(|found| found.map(|(found, ())| found))
    }

    /// Finds the session and lets `take` copy what it needs from the head row.
    fn find_with<T>(
        &self,
        rows: &impl ReadableTable<Place, Blob>,
        id: &SessionId,
        take: impl FnOnce(&HeadRow<'_>) -> T,
    ) -> Result<Option<(Found, T)>, Fault> {
        let Some(number) = self.number(id)? else { return Ok(None) };
        let row = self.heads.get(number)?.ok_or_else(|| missing_head(id))?;
        let head_row = rows::decode_head(number, id, row.value())?;
        let current = derive(rows, id, number, &head_row)?;
        Ok(Some((Found { number, stored: head_row.head, current }, take(&head_row))))
    }
}

/// The current head. Only messages past the end that the head row tells of were appended since, and the last of them
/// carries the head; damage to older ones does not hide it.
fn derive(
    rows: &impl ReadableTable<Place, Blob>,
    id: &SessionId,
    number: u64,
    head_row: &HeadRow<'_>,
) -> Result<Head, Fault> {
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

fn missing_head(id: &SessionId) -> StoreError {
    contradiction("the session's head row is missing").in_session(id)
}
