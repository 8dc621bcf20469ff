//! A consistent view of all sessions.

use crate::memtable::Layers;
use crate::view::View;
use durable_session::store::Salt;
use redb::ReadTransaction;

/// The tables at one moment, and the salt of the versions that are reported.
pub(crate) struct Snapshot<'a> {
    pub(crate) view: View<'a>,
    pub(crate) salt: Salt,
}

impl Snapshot<'static> {
    /// `txn` was begun before the memtable changed that `layers` are of.
    pub(crate) fn new(txn: ReadTransaction, layers: Layers, salt: Salt) -> Self {
        Self { view: View::of(layers, txn), salt }
    }
}
