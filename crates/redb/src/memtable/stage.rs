//! The edits of a batch that is being worked out.

use super::layer::Layer;
use super::seen::SeenLayer;
use crate::tables::Table;
use crate::wal::batch::HEADER;
use std::sync::Arc;

/// Collects edits: in a layer of their own, for what comes later in the batch, and in the bytes of
/// the batch.
pub(crate) struct Stage {
    layer: Arc<Layer>,
    count: u32,
}

/// The edits of a batch, ready for the log.
#[derive(Debug)]
pub(crate) struct Staged {
    /// Begins with room for the batch's header.
    pub(crate) buffer: Vec<u8>,
    /// How many edits there are.
    pub(crate) count: u32,
}

impl Stage {
    /// `buffer` gives its room; its bytes are dropped. `first_number`: the first session number
    /// that is free.
    pub(crate) fn new(mut buffer: Vec<u8>, first_number: u64) -> Self {
        buffer.clear();
        buffer.resize(HEADER, 0);
        Self { layer: Arc::new(Layer::over_batch(buffer, first_number)), count: 0 }
    }

    /// The layer of these edits. It shows each edit as soon as it is made.
    pub(crate) fn layer(&self) -> SeenLayer {
        SeenLayer::whole(&self.layer)
    }

    /// `row` writes the row at the end of the batch.
    pub(crate) fn put<T: Table>(&mut self, key: T::Key, row: impl FnOnce(&mut Vec<u8>)) {
        self.layer.stage_put::<T>(key, row);
        self.count += 1;
    }

    /// Removes all keys from `first` to `last`.
    pub(crate) fn remove<T: Table>(&mut self, first: T::Key, last: &T::Key) {
        self.layer.stage_removal::<T>(first, last);
        self.count += 1;
    }

    pub(crate) fn finish(self) -> Staged {
        Staged { buffer: self.layer.take_batch(), count: self.count }
    }
}

impl Staged {
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }
}
