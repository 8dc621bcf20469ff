//! Ranges of keys that are hidden from the layers and the tables below.

use crate::tables::TableKey;
use durable_session::store::Order;
use std::collections::BTreeMap;
use std::ops::Bound;

/// Half-open ranges that do not overlap, each with the version from which on it is hidden.
///
/// Once hidden, a range stays hidden for as long as its layer exists: a key that is put again is
/// found in the layer itself. So the first removal of a key is the one that counts.
#[derive(Debug)]
pub(super) struct Spans<K> {
    spans: BTreeMap<K, (K, u32)>,
    heap_bytes: usize,
}

/// A range: its first key, and the first key after it.
pub(crate) type Span<K> = (K, K);

impl<K> Default for Spans<K> {
    fn default() -> Self {
        Self { spans: BTreeMap::new(), heap_bytes: 0 }
    }
}

impl<K: TableKey> Spans<K> {
    /// Hides `first` to `last` from version `at` on.
    ///
    /// `alone`: nobody sees an earlier version, so that ranges which meet become one.
    pub(super) fn hide(&mut self, first: K, last: &K, at: u32, alone: bool) {
        let end = last.after();
        if alone {
            self.hide_from_all(first, end, at);
            return;
        }
        let mut from = first;
        while from < end {
            let before = self.spans.range(..=&from).next_back();
            if let Some((_, (after, _))) = before.filter(|(_, (after, _))| *after > from) {
                from = after.clone();
                continue;
            }
            let next =
                self.spans.range(&from..&end).next().map_or(&end, |(start, _)| start).clone();
            self.insert(std::mem::replace(&mut from, next.clone()), next, at);
        }
    }

    fn hide_from_all(&mut self, mut first: K, mut end: K, at: u32) {
        while let Some((start, (after, _))) = self.spans.range(..=&end).next_back()
            && *after >= first
        {
            let start = start.clone();
            if let Some((after, _)) = self.spans.remove(&start) {
                self.heap_bytes -= start.heap_bytes() + after.heap_bytes();
                end = end.max(after);
            }
            first = first.min(start);
        }
        self.insert(first, end, at);
    }

    /// Adds a range of keys that are in no other.
    fn insert(&mut self, first: K, end: K, at: u32) {
        self.heap_bytes += first.heap_bytes() + end.heap_bytes();
        self.spans.insert(first, (end, at));
    }

    /// The range that holds this key, as version `at` shows it.
    pub(super) fn around(&self, key: &K, at: u32) -> Option<Span<K>> {
        let (start, (end, since)) = self.spans.range(..=key).next_back()?;
        (key < end && *since <= at).then(|| (start.clone(), end.clone()))
    }

    pub(super) fn hides(&self, key: &K, at: u32) -> bool {
        let found = self.spans.range(..=key).next_back();
        found.is_some_and(|(_, (end, since))| key < end && *since <= at)
    }

    /// The range that holds this key or, if none does, the next one in this order.
    pub(super) fn next(&self, key: &K, order: Order, at: u32) -> Option<Span<K>> {
        if let Some(span) = self.around(key, at) {
            return Some(span);
        }
        let visible = |(_, (_, since)): &(&K, &(K, u32))| *since <= at;
        let found = match order {
            Order::Forward => self.spans.range(key..).find(visible),
            Order::Backward => self.spans.range(..=key).rev().find(visible),
        };
        found.map(|(start, (end, _))| (start.clone(), end.clone()))
    }

    /// Ranges in order, from one that begins there on.
    pub(super) fn from(&self, start: Bound<&K>) -> impl Iterator<Item = Span<K>> {
        let spans = self.spans.range((start, Bound::Unbounded));
        spans.map(|(start, (end, _))| (start.clone(), end.clone()))
    }

    /// About the bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        nodes(size_of::<(K, K, u32)>(), self.spans.len()) + self.heap_bytes
    }
}

/// About the bytes of so many entries in the nodes of a B-tree, which are about two thirds full.
pub(super) fn nodes(entry: usize, count: usize) -> usize {
    (entry + entry / 2 + 4) * count
}

#[cfg(test)]
mod tests {
    use super::Spans;
    use crate::tables::Name;
    use durable_session::store::Order;

    /// Hides ranges, and says from which version on each key is hidden.
    fn check(ranges: &[(u64, u64, u32)], alone: bool) -> usize {
        let mut spans = Spans::default();
        let mut since = [u32::MAX; 20];
        for &(first, last, at) in ranges {
            spans.hide(first, &last, at, alone);
            for key in first..=last {
                let since = &mut since[usize::try_from(key).unwrap()];
                *since = at.min(*since);
            }
        }
        let newest = ranges.iter().map(|(_, _, at)| *at).max().unwrap();
        for at in if alone { newest } else { 0 }..=newest + 1 {
            let hidden = |key: &u64| since[usize::try_from(*key).unwrap()] <= at;
            for key in 0..20_u64 {
                assert_eq!(spans.hides(&key, at), hidden(&key), "{ranges:?} {key} {at}");
                let around = spans.around(&key, at);
                assert_eq!(around.is_some(), hidden(&key));
                assert!(around.is_none_or(|(start, end)| (start..end).all(|key| hidden(&key))));
                let next = spans.next(&key, Order::Forward, at).map(|(start, _)| start.max(key));
                assert_eq!(next, (key..20).find(hidden), "{ranges:?} {key} {at}");
                let next = spans.next(&key, Order::Backward, at).map(|(_, end)| (end - 1).min(key));
                assert_eq!(next, (0..=key).rev().find(hidden), "{ranges:?} {key} {at}");
            }
        }
        assert_eq!(spans.heap_bytes, 0);
        spans.spans.len()
    }

    #[test]
    fn the_keys_on_the_heap_count() {
        let name = |n: u8| Name::from([n; 100]);
        for alone in [true, false] {
            let mut spans = Spans::default();
            spans.hide(name(1), &name(1), 1, alone);
            let one = spans.bytes();
            assert!((250..=400).contains(&one), "{one} bytes");
            spans.hide(name(3), &name(3), 1, alone);
            assert_eq!(spans.bytes(), 2 * one);
            // One range takes the place of both, if nobody reads an earlier version.
            spans.hide(name(0), &name(9), 2, alone);
            assert_eq!(spans.bytes() < one + 10, alone);
        }
    }

    #[test]
    fn the_first_removal_of_a_key_counts_for_readers_of_earlier_versions() {
        let ranges = [(5, 7, 1), (10, 10, 2), (6, 12, 3), (0, 3, 4), (2, 19, 5), (0, 19, 6)];
        for end in 1..=ranges.len() {
            check(&ranges[..end], false);
            check(&ranges[..end], true);
        }
    }

    #[test]
    fn ranges_that_meet_become_one_when_nobody_reads_an_earlier_version() {
        assert_eq!(check(&[(1, 1, 1), (2, 2, 2), (3, 3, 3)], true), 1);
        assert_eq!(check(&[(3, 3, 1), (2, 2, 2), (1, 1, 3)], true), 1);
        assert_eq!(check(&[(1, 2, 1), (5, 6, 2), (9, 9, 3), (0, 19, 4)], true), 1);
        assert_eq!(check(&[(1, 2, 1), (4, 6, 2), (3, 3, 3)], true), 1);
        assert_eq!(check(&[(1, 2, 1), (4, 6, 2)], true), 2);
        assert_eq!(check(&[(1, 1, 1), (2, 2, 2), (3, 3, 3)], false), 3);
    }

    #[test]
    fn any_order_of_removals_gives_the_same() {
        let ranges = [(0, 4), (3, 8), (8, 8), (9, 12), (2, 15), (18, 19)];
        for n in 0..720_usize {
            let (mut rest, mut left, mut order) = (ranges.to_vec(), n, Vec::new());
            while !rest.is_empty() {
                let (first, last) = rest.remove(left % rest.len());
                left /= rest.len() + 1;
                order.push((first, last, u32::try_from(order.len()).unwrap() + 1));
            }
            check(&order, false);
            assert_eq!(check(&order, true), 2);
        }
    }
}
