//! The edits of one table in one layer.

use super::spans::{Span, Spans, nodes};
use crate::tables::TableKey;
use durable_session::store::Order;
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::ops::Bound;

/// Where a row is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogRef {
    /// Which of the layer's segments, from 1.
    pub(crate) segment: NonZeroU32,
    pub(crate) offset: u32,
    pub(crate) len: u32,
}

/// What a layer says of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    Put(LogRef),
    Removed,
    /// Nothing: ask the layer below.
    Below,
}

/// A key as an edit left it. Without a row it was removed.
#[derive(Debug, Clone, Copy)]
struct Version {
    at: u32,
    row: Option<LogRef>,
}

/// The edits of one table. Versions count the layer's batches.
#[derive(Debug)]
pub(super) struct Versions<K> {
    newest: BTreeMap<K, Version>,
    /// Versions before the newest, for readers that began before it.
    older: BTreeMap<(K, Reverse<u32>), Option<LogRef>>,
    /// Keys that are in `newest` without a row.
    rowless: Vec<K>,
    hidden: Spans<K>,
    heap_bytes: usize,
}

impl<K> Default for Versions<K> {
    fn default() -> Self {
        Self {
            newest: BTreeMap::new(),
            older: BTreeMap::new(),
            rowless: Vec::new(),
            hidden: Spans::default(),
            heap_bytes: 0,
        }
    }
}

impl<K: TableKey> Versions<K> {
    /// `alone`: nobody sees an earlier version, so that none is kept.
    pub(super) fn put(&mut self, key: K, row: LogRef, at: u32, alone: bool) {
        let new = Version { at, row: Some(row) };
        match self.newest.get_mut(&key) {
            None => {
                self.heap_bytes += key.heap_bytes();
                self.newest.insert(key, new);
            }
            Some(newest) => {
                let old = std::mem::replace(newest, new);
                if !alone && old.at < at {
                    self.older.insert((key, Reverse(old.at)), old.row);
                }
            }
        }
    }

    /// `below`: whether there can be rows below that are to be hidden.
    pub(super) fn remove(&mut self, first: K, last: &K, at: u32, alone: bool, below: bool) {
        if alone {
            let gone = self.newest.extract_if(&first..=last, |_, _| true);
            self.heap_bytes -= gone.map(|(key, _)| key.heap_bytes()).sum::<usize>();
        } else {
            for (key, newest) in self.newest.range_mut(&first..=last) {
                if newest.row.is_some() {
                    let old = std::mem::replace(newest, Version { at, row: None });
                    if old.at < at {
                        self.older.insert((key.clone(), Reverse(old.at)), old.row);
                    }
                    self.rowless.push(key.clone());
                }
            }
        }
        if below {
            self.hidden.hide(first, last, at, alone);
        }
    }

    /// Drops all versions but the newest: nobody sees them any more.
    pub(super) fn forget_older(&mut self) {
        self.older.clear();
        for key in self.rowless.drain(..) {
            if self.newest.get(&key).is_some_and(|newest| newest.row.is_none()) {
                self.heap_bytes -= key.heap_bytes();
                self.newest.remove(&key);
            }
        }
    }

    pub(super) fn get(&self, key: &K, at: u32) -> Seen {
        let found = self.newest.get(key).map(|newest| self.as_of(key, *newest, at));
        match found {
            None | Some(Seen::Below) if self.hidden.hides(key, at) => Seen::Removed,
            found => found.unwrap_or(Seen::Below),
        }
    }

    /// What the edits of the key say as of version `at`.
    fn as_of(&self, key: &K, newest: Version, at: u32) -> Seen {
        let row = if newest.at <= at {
            Some(newest.row)
        } else {
            let key = key.clone();
            let before = (key.clone(), Reverse(at))..=(key, Reverse(0));
            self.older.range(before).next().map(|(_, row)| *row)
        };
        match row {
            Some(Some(row)) => Seen::Put(row),
            Some(None) => Seen::Removed,
            None => Seen::Below,
        }
    }

    /// Adds to `out` up to `max` of the rows in this range, as version `at` shows them.
    pub(super) fn rows(
        &self,
        range: (Bound<&K>, Bound<&K>),
        order: Order,
        at: u32,
        max: usize,
        out: &mut VecDeque<(K, LogRef)>,
    ) {
        let visible = |(key, newest): (&K, &Version)| match self.as_of(key, *newest, at) {
            Seen::Put(row) => Some((key.clone(), row)),
            Seen::Removed | Seen::Below => None,
        };
        if is_empty(range) {
            return;
        }
        let rows = self.newest.range(range);
        match order {
            Order::Forward => out.extend(rows.filter_map(visible).take(max)),
            Order::Backward => out.extend(rows.rev().filter_map(visible).take(max)),
        }
    }

    /// The range hidden from below that holds this key or comes next in this order.
    pub(super) fn next_hidden(&self, key: &K, order: Order, at: u32) -> Option<Span<K>> {
        self.hidden.next(key, order, at)
    }

    /// The ranges hidden from below, from one that begins there on.
    pub(super) fn hidden(&self, start: Bound<&K>) -> impl Iterator<Item = Span<K>> {
        self.hidden.from(start)
    }

    pub(super) fn len(&self) -> usize {
        self.newest.len()
    }

    /// About the bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        nodes(size_of::<K>() + size_of::<Version>(), self.newest.len())
            + nodes(size_of::<(K, u32, Option<LogRef>)>(), self.older.len())
            + self.hidden.bytes()
            + size_of::<K>() * self.rowless.len()
            + self.heap_bytes
    }
}

/// Of an empty range whose ends are the wrong way round, a map panics.
fn is_empty<K: Ord>(range: (Bound<&K>, Bound<&K>)) -> bool {
    match range {
        (Bound::Included(first), Bound::Included(last)) => first > last,
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (
            Bound::Included(first) | Bound::Excluded(first),
            Bound::Included(last) | Bound::Excluded(last),
        ) => first >= last,
    }
}

#[cfg(test)]
mod tests {
    use super::{LogRef, Order, Seen, Versions};
    use std::collections::VecDeque;
    use std::num::NonZeroU32;
    use std::ops::Bound;

    const LAST: u64 = 10_000;

    fn row(offset: u32) -> LogRef {
        LogRef { segment: NonZeroU32::MIN, offset, len: 1 }
    }

    fn seqs(versions: &Versions<(u64, u64)>, order: Order, at: u32, max: usize) -> Vec<u64> {
        let mut rows = VecDeque::new();
        versions.rows((Bound::Unbounded, Bound::Unbounded), order, at, max, &mut rows);
        rows.into_iter().map(|((_, seq), _)| seq).collect()
    }

    /// A long session of which the oldest messages were removed, one by one.
    fn shortened(alone: bool) -> Versions<(u64, u64)> {
        let mut versions = Versions::default();
        for seq in 1..=LAST {
            versions.put((1, seq), row(1), 1, alone);
        }
        for seq in 1..LAST {
            let at = u32::try_from(seq).unwrap() + 1;
            versions.remove((1, seq), &(1, seq), at, alone, true);
        }
        versions
    }

    #[test]
    fn many_removals_are_one_to_whoever_walks_past_them() {
        let versions = shortened(true);
        assert_eq!(versions.len(), 1, "no key is left of what was removed");
        let hidden: Vec<_> = versions.hidden(Bound::Unbounded).collect();
        assert_eq!(hidden, [((1, 1), (1, LAST))]);
        assert_eq!(versions.get(&(1, 5), u32::MAX), Seen::Removed);
        assert_eq!(versions.next_hidden(&(1, LAST), Order::Forward, u32::MAX), None);
    }

    #[test]
    fn versions_for_a_reader_go_when_it_goes() {
        let mut versions = shortened(false);
        assert_eq!(versions.len(), 10_000);
        assert_eq!(seqs(&versions, Order::Forward, 1, 3), [1, 2, 3]);
        assert_eq!(seqs(&versions, Order::Backward, 5, 9_999).last(), Some(&5));
        assert_eq!(seqs(&versions, Order::Forward, u32::MAX, 3), [LAST]);
        let before = versions.bytes();
        versions.forget_older();
        versions.remove((1, 1), &(1, 1), 20_000, true, true);
        assert_eq!((versions.len(), versions.hidden(Bound::Unbounded).count()), (1, 1));
        assert!(versions.bytes() < before / 100);
    }

    #[test]
    fn a_row_that_was_removed_and_put_again_is_the_new_one() {
        for alone in [false, true] {
            let mut versions = Versions::default();
            versions.put(7_u64, row(1), 1, alone);
            versions.remove(7, &7, 2, alone, true);
            versions.put(7, row(3), 2, alone);
            versions.put(7, row(4), 3, alone);
            versions.remove(8, &9, 3, alone, false);
            let seen = |at| versions.get(&7, at);
            assert_eq!(seen(3), Seen::Put(row(4)));
            if !alone {
                let earlier = [Seen::Below, Seen::Put(row(1)), Seen::Put(row(3))];
                assert_eq!([seen(0), seen(1), seen(2)], earlier);
            }
            assert_eq!(versions.get(&8, 3), Seen::Below, "nothing below is to be hidden");
            versions.forget_older();
            assert_eq!(versions.get(&7, 3), Seen::Put(row(4)));
        }
    }

    #[test]
    fn memory_is_about_sixty_bytes_a_message() {
        let mut versions = Versions::default();
        for number in 0..1000 {
            for seq in 0..10 {
                versions.put((number, seq), row(1), 1, true);
            }
        }
        let each = versions.bytes() / 10_000;
        assert!((40..=70).contains(&each), "{each} bytes");
        let mut names = Versions::default();
        names.put(Box::from(&[7; 100][..]), row(1), 1, true);
        names.put(Box::from(&[7; 100][..]), row(1), 2, true);
        let with_name = names.bytes();
        assert!((100..=250).contains(&with_name), "{with_name} bytes");
        names.remove(Box::from(&[7; 100][..]), &Box::from(&[7; 100][..]), 3, true, false);
        assert_eq!(names.bytes(), 0);
    }
}
