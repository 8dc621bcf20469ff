//! A layer as a reader sees it.

use super::layer::Layer;
use super::spans::Span;
use super::versions::{LogRef, Seen};
use crate::tables::Table;
use bytes::Bytes;
use durable_session::store::Order;
use std::collections::VecDeque;
use std::io;
use std::ops::Bound;
use std::sync::Arc;

/// The layers over the tables, the newest first.
pub(crate) type Layers = Vec<SeenLayer>;

/// A layer, up to one of its versions: later edits are not seen.
#[derive(Clone)]
pub(crate) struct SeenLayer {
    layer: Arc<Layer>,
    at: u32,
}

impl SeenLayer {
    pub(super) fn new(layer: &Arc<Layer>, at: u32) -> Self {
        Self { layer: Arc::clone(layer), at }
    }

    /// All of a layer that does not change any more.
    pub(crate) fn whole(layer: &Arc<Layer>) -> Self {
        Self::new(layer, u32::MAX)
    }

    pub(crate) fn get<T: Table>(&self, key: &T::Key) -> Seen {
        self.layer.get::<T>(key, self.at)
    }

    /// Adds to `out` up to `max` of the rows in a range.
    pub(crate) fn rows<T: Table>(
        &self,
        range: (Bound<&T::Key>, Bound<&T::Key>),
        order: Order,
        max: usize,
        out: &mut VecDeque<(T::Key, LogRef)>,
    ) {
        self.layer.rows::<T>(range, order, self.at, max, out);
    }

    /// The range hidden from below that holds this key or comes next in this order.
    pub(crate) fn next_hidden<T: Table>(&self, key: &T::Key, order: Order) -> Option<Span<T::Key>> {
        self.layer.next_hidden::<T>(key, order, self.at)
    }

    /// Adds to `out` up to `max` of the ranges hidden from below, from one that begins there on.
    pub(crate) fn hidden<T: Table>(
        &self,
        start: Bound<&T::Key>,
        max: usize,
        out: &mut VecDeque<Span<T::Key>>,
    ) {
        self.layer.hidden::<T>(start, max, out);
    }

    /// About how many rows a table has in it.
    pub(crate) fn len<T: Table>(&self) -> usize {
        self.layer.len::<T>()
    }
}

/// Reads rows of one layer, several at a time where they lie next to each other in the log.
#[derive(Default)]
pub(crate) struct RowReader {
    /// The bytes that were read last, and where they begin.
    last: Option<(LogRef, Bytes)>,
}

/// The most bytes of several rows that are read at once.
const RUN: u32 = 64 * 1024;
/// The most bytes between two rows that are read together. To read them takes less time than
/// another read.
const GAP: u32 = 1024;

impl RowReader {
    /// Reads a row, and with it those of `following` that lie beside it.
    pub(crate) fn read(
        &mut self,
        layer: &SeenLayer,
        row: LogRef,
        following: impl Iterator<Item = LogRef>,
    ) -> io::Result<Bytes> {
        if row.len == 0 {
            return Ok(Bytes::new());
        }
        if let Some((run, bytes)) = &self.last
            && run.segment == row.segment
            && run.offset <= row.offset
            && row.end() <= run.end()
        {
            let start = (row.offset - run.offset) as usize;
            return Ok(bytes.slice(start..start + row.len as usize));
        }
        let mut run = row;
        for next in following {
            match run.joined(next) {
                Some(joined) => run = joined,
                None => break,
            }
        }
        let bytes = layer.layer.read(run.segment, run.offset..run.end())?;
        let start = (row.offset - run.offset) as usize;
        let read = bytes.slice(start..start + row.len as usize);
        self.last = (run != row).then_some((run, bytes));
        Ok(read)
    }
}

impl LogRef {
    fn end(self) -> u32 {
        self.offset.saturating_add(self.len)
    }

    /// The place of both, if it is worth reading them together.
    fn joined(self, other: Self) -> Option<Self> {
        let offset = self.offset.min(other.offset);
        let len = self.end().max(other.end()) - offset;
        let close = len <= (self.len.saturating_add(other.len)).saturating_add(GAP);
        (self.segment == other.segment && close && len <= RUN).then_some(Self {
            segment: self.segment,
            offset,
            len,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{GAP, LogRef, RUN};
    use std::num::NonZeroU32;

    #[test]
    fn rows_close_to_each_other_are_read_together() {
        let at = |segment, offset, len| LogRef {
            segment: NonZeroU32::new(segment).unwrap(),
            offset,
            len,
        };
        let first = at(1, 5000, 100);
        assert_eq!(first.joined(at(1, 5120, 100)), Some(at(1, 5000, 220)));
        assert_eq!(first.joined(at(1, 4880, 100)), Some(at(1, 4880, 220)));
        assert!(first.joined(at(1, 5100 + GAP, 100)).is_some());
        assert_eq!(first.joined(at(1, 5101 + GAP, 100)), None);
        assert_eq!(first.joined(at(2, 5120, 100)), None);
        assert_eq!(first.joined(at(1, 5100, RUN - 99)), None);
        assert!(first.joined(at(1, 5100, RUN - 100)).is_some());
    }
}
