//! The walk through one table of redb.

use super::lookup::{StoredTable, View};
use crate::error::Fault;
use crate::memtable::Span;
use crate::tables::{Blob, KeyRange, Table, TableKey};
use durable_session::store::Order;
use redb::{AccessGuard, Cursor, ReadableTable};
use std::ops::Bound;

type StoredCursor<'v, T> = Cursor<'v, <<T as Table>::Key as TableKey>::Stored, Blob>;

/// The rows of a table in one range and order.
pub(super) struct StoredWalk<'v, T: Table> {
    view: &'v View<'v>,
    order: Order,
    /// The range that was not walked yet; `None` once there is no more.
    rest: Option<KeyRange<T::Key>>,
    cursor: Option<StoredCursor<'v, T>>,
    next: Option<(T::Key, AccessGuard<'v, Blob>)>,
}

impl<'v, T: Table> StoredWalk<'v, T> {
    pub(super) fn new(view: &'v View<'v>, order: Order, range: KeyRange<T::Key>) -> Self {
        Self { view, order, rest: Some(range), cursor: None, next: None }
    }

    /// The key of the next row.
    pub(super) fn peek(&mut self) -> Result<Option<&T::Key>, Fault> {
        if self.next.is_none()
            && let Some((first, last)) = &self.rest
        {
            let cursor = match &mut self.cursor {
                Some(cursor) => cursor,
                none => {
                    let table = self.view.stored::<T>()?;
                    none.insert(seek::<T>(table, self.order, first, last)?)
                }
            };
            let (found, end) = match self.order {
                Order::Forward => (cursor.next()?, last),
                Order::Backward => (cursor.prev()?, first),
            };
            let found = found.map(|(key, row)| (T::Key::own(key.value()), row));
            self.next = found.filter(|(key, _)| match (self.order, end) {
                (_, Bound::Unbounded) => true,
                (Order::Forward, Bound::Included(last)) => key <= last,
                (Order::Forward, Bound::Excluded(last)) => key < last,
                (Order::Backward, Bound::Included(first)) => key >= first,
                (Order::Backward, Bound::Excluded(first)) => key > first,
            });
            // To look for another one might mean to read a large row that is not asked for.
            let ends = match &self.next {
                None => true,
                Some((key, _)) => matches!(end, Bound::Included(end) if end == key),
            };
            if ends {
                self.rest = None;
            }
        }
        Ok(self.next.as_ref().map(|(key, _)| key))
    }

    /// Takes the row that was peeked at.
    pub(super) fn take(&mut self) -> Option<(T::Key, AccessGuard<'v, Blob>)> {
        self.next.take()
    }

    /// Goes on behind this range, in which the row is that was peeked at.
    pub(super) fn skip(&mut self, span: &Span<T::Key>) {
        self.next = None;
        self.cursor = None;
        if let Some((first, last)) = &mut self.rest {
            match self.order {
                Order::Forward => *first = Bound::Included(span.1.clone()),
                Order::Backward => *last = Bound::Excluded(span.0.clone()),
            }
        }
    }
}

fn seek<'v, T: Table>(
    table: &'v StoredTable<T>,
    order: Order,
    first: &Bound<T::Key>,
    last: &Bound<T::Key>,
) -> Result<StoredCursor<'v, T>, Fault> {
    Ok(match order {
        Order::Forward => table.lower_bound(first.as_ref().map(TableKey::stored))?,
        Order::Backward => table.upper_bound(last.as_ref().map(TableKey::stored))?,
    })
}
