//! The walk through a table of the view: layers and redb merged, key by key.

use super::layer_walk::LayerWalk;
use super::lookup::View;
use super::stored_walk::StoredWalk;
use super::value::Value;
use crate::error::Fault;
use crate::memtable::LogRef;
use crate::tables::{Blob, Table};
use durable_session::store::Order;
use redb::AccessGuard;
use std::ops::RangeBounds;

/// The rows of a table in one range and order.
pub(crate) struct Walk<'v, T: Table> {
    order: Order,
    /// The newest first.
    layers: Vec<LayerWalk<'v, T>>,
    stored: StoredWalk<'v, T>,
}

/// A row that a walk has reached. It is read only when it is asked for.
pub(crate) struct Entry<'w, 'v, T: Table> {
    pub(crate) key: T::Key,
    row: Row<'w, 'v, T>,
}

enum Row<'w, 'v, T: Table> {
    Stored(AccessGuard<'v, Blob>),
    Logged(&'w mut LayerWalk<'v, T>, LogRef),
}

impl View<'_> {
    /// Walks through the keys of a range in this order.
    pub(crate) fn walk<T: Table>(
        &self,
        range: impl RangeBounds<T::Key>,
        order: Order,
    ) -> Walk<'_, T> {
        let range = (range.start_bound().cloned(), range.end_bound().cloned());
        let layers = self.layers().iter();
        Walk {
            order,
            layers: layers.map(|layer| LayerWalk::new(layer, order, range.clone())).collect(),
            stored: StoredWalk::new(self, order, range),
        }
    }

    /// The first row of a range, seen from this end.
    pub(crate) fn first<T: Table>(
        &self,
        range: impl RangeBounds<T::Key>,
        order: Order,
    ) -> Result<Option<(T::Key, Value<'_>)>, Fault> {
        let mut walk = self.walk::<T>(range, order);
        match walk.next()? {
            Some(entry) => entry.read().map(Some),
            None => Ok(None),
        }
    }

    /// Whether there is a row in the range.
    pub(crate) fn any<T: Table>(&self, range: impl RangeBounds<T::Key>) -> Result<bool, Fault> {
        Ok(self.walk::<T>(range, Order::Forward).next()?.is_some())
    }
}

impl<'v, T: Table> Walk<'v, T> {
    /// Goes to the next row.
    pub(crate) fn next(&mut self) -> Result<Option<Entry<'_, 'v, T>>, Fault> {
        loop {
            let Some((source, key)) = self.nearest()? else { return Ok(None) };
            let mut newer = self.layers.iter_mut().take(source);
            let hidden = newer.find_map(|layer| layer.hides(&key).cloned());
            if let Some(span) = hidden {
                match self.layers.get_mut(source) {
                    Some(layer) => layer.skip(&span),
                    None => self.stored.skip(&span),
                }
                continue;
            }
            return Ok(match self.layers.get_mut(source) {
                Some(layer) => {
                    layer.take().map(|(key, row)| Entry { key, row: Row::Logged(layer, row) })
                }
                None => self.stored.take().map(|(key, row)| Entry { key, row: Row::Stored(row) }),
            });
        }
    }

    /// The next key, and the newest source that has it. Older ones pass it.
    fn nearest(&mut self) -> Result<Option<(usize, T::Key)>, Fault> {
        let mut nearest: Option<(usize, T::Key)> = None;
        for (source, layer) in self.layers.iter_mut().enumerate() {
            let Some(key) = layer.peek() else { continue };
            match &nearest {
                Some((_, other)) if other == key => drop(layer.take()),
                Some((_, other)) if !is_before(self.order, key, other) => {}
                _ => nearest = Some((source, key.clone())),
            }
        }
        let Some(key) = self.stored.peek()? else { return Ok(nearest) };
        match &nearest {
            Some((_, other)) if other == key => drop(self.stored.take()),
            Some((_, other)) if !is_before(self.order, key, other) => {}
            _ => nearest = Some((self.layers.len(), key.clone())),
        }
        Ok(nearest)
    }
}

fn is_before<K: Ord>(order: Order, key: &K, other: &K) -> bool {
    match order {
        Order::Forward => key < other,
        Order::Backward => key > other,
    }
}

impl<'v, T: Table> Entry<'_, 'v, T> {
    /// The bytes of the row.
    pub(crate) fn len(&self) -> usize {
        match &self.row {
            Row::Stored(row) => row.value().len(),
            Row::Logged(_, row) => row.len as usize,
        }
    }

    /// Reads the row.
    pub(crate) fn read(self) -> Result<(T::Key, Value<'v>), Fault> {
        let row = match self.row {
            Row::Stored(row) => Value::Stored(row),
            Row::Logged(layer, row) => Value::Logged(layer.read(row).map_err(redb::Error::Io)?),
        };
        Ok((self.key, row))
    }
}
