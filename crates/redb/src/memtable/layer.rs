//! A layer: the edits of consecutive batches, by table and key.

use super::edit::{self, BadEdits, EditSink};
use super::spans::Span;
use super::versions::{LogRef, Seen, Versions};
use crate::tables::{Family, Heads, Table, TableKey, Tables, Visit, visit_all};
use crate::wal::{Position, Segment};
use bytes::Bytes;
use durable_session::store::Order;
use std::collections::VecDeque;
use std::io;
use std::num::NonZeroU32;
use std::ops::{Bound, Range};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The edits of consecutive batches. Keys are in memory; rows stay in the log.
///
/// One thread changes it and others read it at the same time. Each reader says up to which version
/// it sees edits.
pub(crate) struct Layer {
    /// The position of its first batch.
    first: Position,
    /// The first session number that was free when the layer began: no layer below has rows of it.
    first_number: u64,
    edits: RwLock<Edits>,
}

#[derive(Default)]
struct Edits {
    tables: Tables<ByTable>,
    rows: RowBytes,
}

struct ByTable;

impl Family for ByTable {
    type Of<T: Table> = Versions<T::Key>;
}

/// Where the rows are.
enum RowBytes {
    /// In segments of the log, which are not used again while the layer holds them.
    Log(Vec<Arc<Segment>>),
    /// In a batch that is not written yet.
    Batch(Vec<u8>),
}

impl Default for RowBytes {
    fn default() -> Self {
        Self::Log(Vec::new())
    }
}

/// A batch that is about to be applied.
pub(super) struct Applied<'a> {
    pub(super) position: Position,
    pub(super) segment: &'a Arc<Segment>,
    pub(super) payload_at: u64,
    pub(super) payload: &'a [u8],
    pub(super) count: u32,
}

impl Layer {
    /// A layer whose batches begin at `first`.
    pub(super) fn new(first: Position, first_number: u64) -> Self {
        Self { first, first_number, edits: RwLock::default() }
    }

    /// A layer over `batch`, to which it adds its rows.
    pub(super) fn over_batch(batch: Vec<u8>, first_number: u64) -> Self {
        let edits = Edits { rows: RowBytes::Batch(batch), ..Edits::default() };
        Self { first: 0, first_number, edits: RwLock::new(edits) }
    }

    fn edits(&self) -> RwLockReadGuard<'_, Edits> {
        self.edits.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn edits_mut(&self) -> RwLockWriteGuard<'_, Edits> {
        self.edits.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many of the layer's batches a reader at this position sees.
    pub(super) fn version(&self, at: Position) -> u32 {
        u32::try_from((at + 1).saturating_sub(self.first)).unwrap_or(u32::MAX)
    }

    /// Adds the edits of a batch. `alone`: no reader has the layer. Returns `next_number`, or the
    /// first session number that is free after the batch if that is higher.
    pub(super) fn apply(
        &self,
        batch: &Applied<'_>,
        alone: bool,
        next_number: u64,
    ) -> Result<u64, BadEdits> {
        let mut edits = self.edits_mut();
        let edits = &mut *edits;
        if alone {
            edits.forget_older();
        }
        let mut target = Target {
            tables: &mut edits.tables,
            segment: edits.rows.number(batch.segment),
            payload_at: batch.payload_at,
            at: self.version(batch.position),
            alone,
            first_number: self.first_number,
            next_number,
        };
        edit::read(batch.payload, batch.count, &mut target)?;
        Ok(target.next_number)
    }

    /// Adds a put to the layer and its batch.
    pub(super) fn stage_put<T: Table>(&self, key: T::Key, row: impl FnOnce(&mut Vec<u8>)) {
        let mut edits = self.edits_mut();
        let Edits { tables, rows: RowBytes::Batch(batch) } = &mut *edits else { return };
        let row = edit::write_put::<T>(batch, &key, row);
        // The requests of a batch have far less than 4 GiB together.
        #[allow(clippy::cast_possible_truncation)]
        let (offset, len) = (row.start as u32, row.len() as u32);
        let row = LogRef { segment: NonZeroU32::MIN, offset, len };
        T::of_mut(tables).put(key, row, 0, true);
    }

    /// Adds a removal to the layer and its batch.
    pub(super) fn stage_removal<T: Table>(&self, first: T::Key, last: &T::Key) {
        let mut edits = self.edits_mut();
        let Edits { tables, rows: RowBytes::Batch(batch) } = &mut *edits else { return };
        edit::write_removal::<T>(batch, &first, last);
        let below = first.number().is_none_or(|number| number < self.first_number);
        T::of_mut(tables).remove(first, last, 0, true, below);
    }

    /// Takes the batch out of a layer that is over one.
    pub(super) fn take_batch(&self) -> Vec<u8> {
        match &mut self.edits_mut().rows {
            RowBytes::Batch(batch) => std::mem::take(batch),
            RowBytes::Log(_) => Vec::new(),
        }
    }

    pub(super) fn get<T: Table>(&self, key: &T::Key, at: u32) -> Seen {
        T::of(&self.edits().tables).get(key, at)
    }

    /// Adds to `out` up to `max` of the rows in a range, as version `at` shows them.
    pub(super) fn rows<T: Table>(
        &self,
        range: (Bound<&T::Key>, Bound<&T::Key>),
        order: Order,
        at: u32,
        max: usize,
        out: &mut VecDeque<(T::Key, LogRef)>,
    ) {
        T::of(&self.edits().tables).rows(range, order, at, max, out);
    }

    /// The range hidden from below that holds this key or comes next in this order.
    pub(super) fn next_hidden<T: Table>(
        &self,
        key: &T::Key,
        order: Order,
        at: u32,
    ) -> Option<Span<T::Key>> {
        T::of(&self.edits().tables).next_hidden(key, order, at)
    }

    /// Adds to `out` up to `max` of the ranges hidden from below.
    pub(super) fn hidden<T: Table>(
        &self,
        start: Bound<&T::Key>,
        max: usize,
        out: &mut VecDeque<Span<T::Key>>,
    ) {
        out.extend(T::of(&self.edits().tables).hidden(start).take(max));
    }

    /// The bytes at a place in the log.
    pub(super) fn read(&self, segment: NonZeroU32, at: Range<u32>) -> io::Result<Bytes> {
        let segment = match &self.edits().rows {
            RowBytes::Batch(batch) => {
                let place = at.start as usize..at.end as usize;
                let bytes = batch.get(place).ok_or(io::ErrorKind::UnexpectedEof)?;
                return Ok(Bytes::copy_from_slice(bytes));
            }
            RowBytes::Log(segments) => segments.get(segment.get() as usize - 1).cloned(),
        };
        let segment = segment.ok_or(io::ErrorKind::NotFound)?;
        Ok(segment.read(at.start.into(), at.len())?.into())
    }

    /// The number of keys of a table in it.
    pub(super) fn len<T: Table>(&self) -> usize {
        T::of(&self.edits().tables).len()
    }

    /// About the bytes of memory that it has.
    pub(crate) fn bytes(&self) -> usize {
        struct Sum<'a>(&'a Tables<ByTable>, usize);

        impl Visit for Sum<'_> {
            type Error = std::convert::Infallible;

            fn table<T: Table>(&mut self) -> Result<(), Self::Error> {
                self.1 += T::of(self.0).bytes();
                Ok(())
            }
        }

        let edits = self.edits();
        let mut sum = Sum(&edits.tables, 0);
        let Ok(()) = visit_all(&mut sum);
        sum.1
    }
}

impl Edits {
    fn forget_older(&mut self) {
        struct Forget<'a>(&'a mut Tables<ByTable>);

        impl Visit for Forget<'_> {
            type Error = std::convert::Infallible;

            fn table<T: Table>(&mut self) -> Result<(), Self::Error> {
                T::of_mut(self.0).forget_older();
                Ok(())
            }
        }

        let Ok(()) = visit_all(&mut Forget(&mut self.tables));
    }
}

impl RowBytes {
    /// The number of the segment in the layer.
    fn number(&mut self, segment: &Arc<Segment>) -> NonZeroU32 {
        let Self::Log(segments) = self else { return NonZeroU32::MIN };
        if !segments.last().is_some_and(|last| Arc::ptr_eq(last, segment)) {
            segments.push(Arc::clone(segment));
        }
        u32::try_from(segments.len()).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX)
    }
}

/// Where the edits of a batch go.
struct Target<'a> {
    tables: &'a mut Tables<ByTable>,
    segment: NonZeroU32,
    payload_at: u64,
    at: u32,
    alone: bool,
    first_number: u64,
    next_number: u64,
}

impl EditSink for Target<'_> {
    fn put<T: Table>(&mut self, key: T::Key, row: Range<usize>) -> Result<(), &'static str> {
        let offset = u32::try_from(self.payload_at + row.start as u64);
        let (Ok(offset), Ok(len)) = (offset, u32::try_from(row.len())) else {
            return Err("its place in the segment is beyond 4 GiB");
        };
        if T::ID == Heads::ID
            && let Some(number) = key.number()
        {
            self.next_number = self.next_number.max(number.saturating_add(1));
        }
        let row = LogRef { segment: self.segment, offset, len };
        T::of_mut(self.tables).put(key, row, self.at, self.alone);
        Ok(())
    }

    fn remove<T: Table>(&mut self, first: T::Key, last: T::Key) {
        let below = first.number().is_none_or(|number| number < self.first_number);
        T::of_mut(self.tables).remove(first, &last, self.at, self.alone, below);
    }
}
