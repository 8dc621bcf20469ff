//! A batch while it is being worked out.

use super::known::Known;
use crate::memtable::{Layers, Stage, Staged};
use crate::view::View;
use durable_session::store::Salt;
use redb::ReadableDatabase;

/// The edits of a batch, and the tables as these edits leave them.
///
/// Each change is worked out first and staged last, when nothing can fail any more: one that fails
/// leaves nothing behind.
pub(crate) struct Draft<'a> {
    /// With the staged edits.
    pub(super) view: View<'a>,
    pub(super) stage: Stage,
    pub(super) known: &'a mut Known,
    pub(super) salt: Salt,
    /// The number that the next new session gets.
    pub(super) next_number: u64,
}

impl<'a> Draft<'a> {
    /// `known` must be thrown away unless the batch is written. `buffer` gives its room to the
    /// batch.
    pub(crate) fn new(
        mut layers: Layers,
        db: &'a dyn ReadableDatabase,
        known: &'a mut Known,
        salt: Salt,
        next_number: u64,
        buffer: Vec<u8>,
    ) -> Self {
        let stage = Stage::new(buffer, next_number);
        layers.insert(0, stage.layer());
        Self { view: View::over(layers, db), stage, known, salt, next_number }
    }

    pub(crate) fn finish(self) -> Staged {
        self.stage.finish()
    }
}
