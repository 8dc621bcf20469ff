//! The walk through one layer.

use crate::memtable::{LogRef, RowReader, SeenLayer, Span};
use crate::tables::{KeyRange, Table};
use bytes::Bytes;
use durable_session::store::Order;
use std::collections::VecDeque;
use std::io;
use std::ops::Bound;

/// The most rows that are fetched at once.
const MOST: usize = 64;

/// The rows of a layer in one range and order, and the ranges that it hides from below.
pub(super) struct LayerWalk<'v, T: Table> {
    layer: &'v SeenLayer,
    order: Order,
    /// Rows that were fetched.
    ahead: VecDeque<(T::Key, LogRef)>,
    /// The range that was not fetched yet; `None` once there is no more.
    rest: Option<KeyRange<T::Key>>,
    /// How many rows to fetch next.
    fetch: usize,
    hidden: Hidden<T::Key>,
    reader: RowReader,
}

/// The hidden range that is next in the order of the walk.
enum Hidden<K> {
    /// Not looked up yet.
    Unknown,
    Next(Span<K>),
    /// No more.
    None,
}

impl<'v, T: Table> LayerWalk<'v, T> {
    pub(super) fn new(layer: &'v SeenLayer, order: Order, range: KeyRange<T::Key>) -> Self {
        Self {
            layer,
            order,
            ahead: VecDeque::new(),
            rest: Some(range),
            fetch: 1,
            hidden: Hidden::Unknown,
            reader: RowReader::default(),
        }
    }

    /// The key of the next row.
    pub(super) fn peek(&mut self) -> Option<&T::Key> {
        if self.ahead.is_empty()
            && let Some((first, last)) = self.rest.take()
        {
            let range = (first.as_ref(), last.as_ref());
            self.layer.rows::<T>(range, self.order, self.fetch, &mut self.ahead);
            if self.ahead.len() == self.fetch
                && let Some((key, _)) = self.ahead.back()
            {
                let beyond = Bound::Excluded(key.clone());
                self.rest = Some(match self.order {
                    Order::Forward => (beyond, last),
                    Order::Backward => (first, beyond),
                });
            }
            self.fetch = (self.fetch * 4).min(MOST);
        }
        self.ahead.front().map(|(key, _)| key)
    }

    /// Takes the row that was peeked at.
    pub(super) fn take(&mut self) -> Option<(T::Key, LogRef)> {
        self.ahead.pop_front()
    }

    /// Reads a row that was taken.
    pub(super) fn read(&mut self, row: LogRef) -> io::Result<Bytes> {
        self.reader.read(self.layer, row, self.ahead.iter().map(|(_, row)| *row))
    }

    /// Goes on behind this range.
    pub(super) fn skip(&mut self, span: &Span<T::Key>) {
        let order = self.order;
        while self.ahead.front().is_some_and(|(key, _)| is_within(key, span)) {
            self.ahead.pop_front();
        }
        if self.ahead.is_empty()
            && let Some((first, last)) = &mut self.rest
        {
            match order {
                Order::Forward if starts_before(first, &span.1) => {
                    *first = Bound::Included(span.1.clone());
                }
                Order::Backward if ends_after(last, &span.0) => {
                    *last = Bound::Excluded(span.0.clone());
                }
                _ => {}
            }
        }
    }

    /// The range that hides this key from below. Keys come in the order of the walk.
    pub(super) fn hides(&mut self, key: &T::Key) -> Option<&Span<T::Key>> {
        let passed = match &self.hidden {
            Hidden::Unknown => true,
            Hidden::None => false,
            Hidden::Next(span) => match self.order {
                Order::Forward => *key >= span.1,
                Order::Backward => *key < span.0,
            },
        };
        if passed {
            let next = self.layer.next_hidden::<T>(key, self.order);
            self.hidden = next.map_or(Hidden::None, Hidden::Next);
        }
        match &self.hidden {
            Hidden::Next(span) if is_within(key, span) => Some(span),
            _ => None,
        }
    }
}

fn is_within<K: Ord>(key: &K, (start, end): &Span<K>) -> bool {
    start <= key && key < end
}

fn starts_before<K: Ord>(first: &Bound<K>, key: &K) -> bool {
    match first {
        Bound::Included(first) | Bound::Excluded(first) => first < key,
        Bound::Unbounded => true,
    }
}

fn ends_after<K: Ord>(last: &Bound<K>, key: &K) -> bool {
    match last {
        Bound::Included(last) | Bound::Excluded(last) => key <= last,
        Bound::Unbounded => true,
    }
}
