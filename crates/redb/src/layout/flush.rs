//! A flush: from a frozen layer into the tables of redb.

use super::meta;
use crate::error::Fault;
use crate::memtable::{Layer, RowReader, SeenLayer};
use crate::scrub;
use crate::tables::{Blob, Table, TableKey, Visit, visit_all};
use crate::wal::Position;
use durable_session::store::Order;
use redb::{Database, WriteTransaction};
use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;

/// How many keys are fetched from the layer at once.
const FETCH: usize = 256;

/// Puts all edits of a frozen layer into the tables, in durable transactions: slices. The last one
/// stores that the tables have everything up to `flushed`.
///
/// Edits say what is there after them. So the tables may already have a part of them, from a flush
/// that did not end. Until `flushed` is stored, opening reads all of them from the log again.
///
/// `next_slice` says how many bytes the next slice has, about, or tells the flush to stop. Returns
/// whether all was flushed.
pub(crate) fn flush(
    layer: &Arc<Layer>,
    db: &Database,
    flushed: Position,
    next_number: u64,
    next_slice: impl FnMut() -> Option<usize>,
) -> Result<bool, Fault> {
    let layer = SeenLayer::whole(layer);
    let mut slices = Slices { db, layer, next_number, next_slice, txn: None, left: 0 };
    match visit_all(&mut slices).and_then(|()| slices.finish(flushed)) {
        Ok(()) => Ok(true),
        Err(Stop::Asked) => Ok(false),
        Err(Stop::Fault(fault)) => Err(fault),
    }
}

/// Why a flush ends early.
enum Stop {
    Asked,
    Fault(Fault),
}

impl<E: Into<Fault>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Fault(error.into())
    }
}

struct Slices<'a, F> {
    db: &'a Database,
    layer: SeenLayer,
    next_number: u64,
    next_slice: F,
    /// The slice that is being written, and about the bytes that it still takes.
    txn: Option<WriteTransaction>,
    left: usize,
}

type StoredKey<T> = <<T as Table>::Key as TableKey>::Stored;

impl<F: FnMut() -> Option<usize>> Slices<'_, F> {
    /// Calls `write` with the table until it has no more to write; it returns early when a slice is
    /// full.
    fn fill<T: Table>(
        &mut self,
        mut write: impl FnMut(
            &mut redb::Table<'_, StoredKey<T>, Blob>,
            &mut Budget,
        ) -> Result<bool, Fault>,
    ) -> Result<(), Stop> {
        loop {
            if self.txn.is_none() {
                self.txn = Some(self.begin()?);
            }
            let Some(txn) = &self.txn else { continue };
            let mut budget = Budget { left: self.left };
            let more = write(&mut txn.open_table(T::DEFINITION)?, &mut budget)?;
            self.left = budget.left;
            if budget.is_spent()
                && let Some(txn) = self.txn.take()
            {
                txn.commit()?;
            }
            if !more {
                return Ok(());
            }
        }
    }

    fn finish(mut self, flushed: Position) -> Result<(), Stop> {
        let txn = match self.txn.take() {
            Some(txn) => txn,
            None => self.begin()?,
        };
        meta::store_flushed(&txn, flushed)?;
        scrub::clear(&txn)?;
        Ok(txn.commit()?)
    }

    fn begin(&mut self) -> Result<WriteTransaction, Stop> {
        self.left = (self.next_slice)().ok_or(Stop::Asked)?;
        let mut txn = self.db.begin_write()?;
        txn.set_quick_repair(true);
        // With the first rows of a session, its number counts as taken.
        meta::store_next_number(&txn, self.next_number)?;
        Ok(txn)
    }
}

/// The bytes that a slice still takes.
struct Budget {
    left: usize,
}

impl Budget {
    fn spend(&mut self, bytes: usize) {
        // A key and the entries of a page's index take some bytes, too.
        self.left = self.left.saturating_sub(bytes + 32);
    }

    fn is_spent(&self) -> bool {
        self.left == 0
    }
}

impl<F: FnMut() -> Option<usize>> Visit for Slices<'_, F> {
    type Error = Stop;

    fn table<T: Table>(&mut self) -> Result<(), Stop> {
        let layer = self.layer.clone();
        let mut hidden = Portions::new(|from, out| layer.hidden::<T>(from, FETCH, out));
        if hidden.fetch() {
            self.fill::<T>(|table, budget| {
                while hidden.fetch()
                    && let Some((first, end)) = hidden.ahead.front()
                {
                    let range = first.stored()..end.stored();
                    for removed in table.extract_from_if(range, |_, _| true)? {
                        budget.spend(removed?.1.value().len());
                        if budget.is_spent() {
                            return Ok(true);
                        }
                    }
                    hidden.ahead.pop_front();
                }
                Ok(false)
            })?;
        }
        let mut reader = RowReader::default();
        let mut rows = Portions::new(|from, out| {
            layer.rows::<T>((from, Bound::Unbounded), Order::Forward, FETCH, out);
        });
        if !rows.fetch() {
            return Ok(());
        }
        self.fill::<T>(|table, budget| {
            while rows.fetch() {
                while let Some((key, row)) = rows.ahead.pop_front() {
                    let following = rows.ahead.iter().map(|(_, row)| *row);
                    let row = reader.read(&layer, row, following);
                    let row = row.map_err(redb::Error::Io)?;
                    table.insert(key.stored(), &row[..])?;
                    budget.spend(row.len());
                    if budget.is_spent() {
                        return Ok(true);
                    }
                }
            }
            Ok(false)
        })
    }
}

/// What a layer has of a table, in the order of the keys, fetched in portions.
struct Portions<K, V, F> {
    /// Adds to the queue what begins there.
    more: F,
    from: Bound<K>,
    ahead: VecDeque<(K, V)>,
}

impl<K: Clone, V, F: FnMut(Bound<&K>, &mut VecDeque<(K, V)>)> Portions<K, V, F> {
    fn new(more: F) -> Self {
        Self { more, from: Bound::Unbounded, ahead: VecDeque::new() }
    }

    /// Whether there is more.
    fn fetch(&mut self) -> bool {
        if self.ahead.is_empty() {
            (self.more)(self.from.as_ref(), &mut self.ahead);
            if let Some((key, _)) = self.ahead.back() {
                self.from = Bound::Excluded(key.clone());
            }
        }
        !self.ahead.is_empty()
    }
}
