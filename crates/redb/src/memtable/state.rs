//! The layers of a store.

use super::edit::BadEdits;
use super::layer::{Applied, Layer};
use super::seen::{Layers, SeenLayer};
use super::stage::Staged;
use crate::wal::batch::HEADER;
use crate::wal::{Appended, Batch, Position};
use std::sync::Arc;

/// The layers of a store: one that takes edits and, during a flush, one that is being flushed.
pub(crate) struct Memtable {
    active: Arc<Layer>,
    frozen: Option<Arc<Layer>>,
    /// The position of the last batch in it.
    last: Position,
    /// The number that the next session gets. None below it is ever given out again.
    next_number: u64,
}

impl Memtable {
    /// An empty memtable over tables that have everything up to `flushed`.
    pub(crate) fn new(flushed: Position, next_number: u64) -> Self {
        let active = Arc::new(Layer::new(flushed.saturating_add(1), next_number));
        Self { active, frozen: None, last: flushed, next_number }
    }

    /// Adds a batch that was written to the log.
    ///
    /// # Errors
    /// The batch does not hold edits; those before the fault may have been added.
    pub(crate) fn apply(&mut self, staged: &Staged, appended: &Appended) -> Result<(), BadEdits> {
        self.add(&Applied {
            position: appended.position,
            segment: &appended.segment,
            payload_at: appended.payload_at,
            payload: staged.buffer.get(HEADER..).unwrap_or_default(),
            count: staged.count,
        })
    }

    /// Adds a batch that was read from the log.
    ///
    /// # Errors
    /// The batch does not hold edits; those before the fault may have been added.
    pub(crate) fn replay(&mut self, batch: &Batch<'_>) -> Result<(), BadEdits> {
        self.add(&Applied {
            position: batch.position,
            segment: batch.segment,
            payload_at: batch.payload_at,
            payload: batch.payload,
            count: batch.count,
        })
    }

    fn add(&mut self, batch: &Applied<'_>) -> Result<(), BadEdits> {
        // A reader would have an `Arc` of it, and can get none meanwhile.
        let alone = Arc::strong_count(&self.active) == 1;
        self.next_number = self.active.apply(batch, alone, self.next_number)?;
        self.last = batch.position;
        Ok(())
    }

    /// The layers as of the last batch. The transaction that reads the tables below them must begin
    /// before the memtable changes.
    pub(crate) fn snapshot(&self) -> Layers {
        let mut layers = Layers::with_capacity(3);
        layers.push(SeenLayer::new(&self.active, self.active.version(self.last)));
        layers.extend(self.frozen.as_ref().map(SeenLayer::whole));
        layers
    }

    /// Begins a new layer and returns the one before it, to be flushed. `None` if that has no
    /// batch, or the last one is not dropped yet.
    pub(crate) fn freeze(&mut self) -> Option<Arc<Layer>> {
        if self.frozen.is_some() || self.active.version(self.last) == 0 {
            return None;
        }
        let active = Arc::new(Layer::new(self.last + 1, self.next_number));
        let frozen = std::mem::replace(&mut self.active, active);
        self.frozen = Some(Arc::clone(&frozen));
        Some(frozen)
    }

    pub(crate) fn frozen(&self) -> Option<&Arc<Layer>> {
        self.frozen.as_ref()
    }

    /// Drops the frozen layer, now that all of it is in the tables.
    pub(crate) fn drop_frozen(&mut self) {
        self.frozen = None;
    }

    /// The position of the last batch.
    pub(crate) fn last(&self) -> Position {
        self.last
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.next_number
    }

    /// About the bytes of memory of the layer that takes edits.
    pub(crate) fn active_bytes(&self) -> usize {
        self.active.bytes()
    }

    /// About the bytes of memory of all layers.
    pub(crate) fn bytes(&self) -> usize {
        self.active_bytes() + self.frozen.as_ref().map_or(0, |frozen| frozen.bytes())
    }
}
