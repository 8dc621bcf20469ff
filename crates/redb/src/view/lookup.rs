//! The table view: layers and, below them, a read transaction of redb.

use super::value::Value;
use crate::error::Fault;
use crate::memtable::{Layers, RowReader, Seen, SeenLayer};
use crate::tables::{Blob, Family, Table, TableKey, Tables};
use redb::{ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTableMetadata};
use std::cell::OnceCell;
use std::iter;

/// All tables at one moment. A transaction and tables that nobody asks for are not opened.
pub(crate) struct View<'a> {
    layers: Layers,
    db: Option<&'a dyn ReadableDatabase>,
    txn: OnceCell<ReadTransaction>,
    tables: Tables<Opened>,
}

pub(super) type StoredTable<T> = ReadOnlyTable<<<T as Table>::Key as TableKey>::Stored, Blob>;

struct Opened;

impl Family for Opened {
    type Of<T: Table> = OnceCell<StoredTable<T>>;
}

impl View<'static> {
    /// `txn` was begun before the memtable changed from which `layers` are.
    pub(crate) fn of(layers: Layers, txn: ReadTransaction) -> Self {
        Self { layers, db: None, txn: OnceCell::from(txn), tables: Tables::default() }
    }
}

impl<'a> View<'a> {
    /// Begins its transaction when it is needed. Until then no layer that is newer than `layers`
    /// may be flushed.
    pub(crate) fn over(layers: Layers, db: &'a dyn ReadableDatabase) -> Self {
        Self { layers, db: Some(db), txn: OnceCell::new(), tables: Tables::default() }
    }

    pub(super) fn layers(&self) -> &[SeenLayer] {
        &self.layers
    }

    /// The table in redb.
    pub(super) fn stored<T: Table>(&self) -> Result<&StoredTable<T>, Fault> {
        let cell = T::of(&self.tables);
        if let Some(table) = cell.get() {
            return Ok(table);
        }
        let table = self.txn()?.open_table(T::DEFINITION)?;
        Ok(cell.get_or_init(|| table))
    }

    #[cfg(test)]
    pub(crate) fn has_begun(&self) -> bool {
        self.txn.get().is_some()
    }

    fn txn(&self) -> Result<&ReadTransaction, Fault> {
        if let (None, Some(db)) = (self.txn.get(), self.db) {
            let txn = db.begin_read()?;
            return Ok(self.txn.get_or_init(|| txn));
        }
        self.txn.get().ok_or_else(|| redb::Error::DatabaseClosed.into())
    }

    /// A number of rows that the table does not exceed, and mostly has.
    pub(crate) fn at_most<T: Table>(&self) -> Result<u64, Fault> {
        let layers = self.layers.iter().map(|layer| layer.len::<T>() as u64);
        Ok(self.stored::<T>()?.len()? + layers.sum::<u64>())
    }

    pub(crate) fn get<T: Table>(&self, key: &T::Key) -> Result<Option<Value<'_>>, Fault> {
        for layer in &self.layers {
            match layer.get::<T>(key) {
                Seen::Put(row) => {
                    let row = RowReader::default().read(layer, row, iter::empty());
                    return Ok(Some(Value::Logged(row.map_err(redb::Error::Io)?)));
                }
                Seen::Removed => return Ok(None),
                Seen::Below => {}
            }
        }
        Ok(self.stored::<T>()?.get(key.stored())?.map(Value::Stored))
    }

    /// Whether there is a row.
    pub(crate) fn has<T: Table>(&self, key: &T::Key) -> Result<bool, Fault> {
        for layer in &self.layers {
            match layer.get::<T>(key) {
                Seen::Put(_) => return Ok(true),
                Seen::Removed => return Ok(false),
                Seen::Below => {}
            }
        }
        Ok(self.stored::<T>()?.get(key.stored())?.is_some())
    }
}
