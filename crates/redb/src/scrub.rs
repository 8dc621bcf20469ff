//! Removing every byte of deleted text from the file.
//!
//! redb leaves old bytes in two places: in free pages, and behind the rows in a page that lost a
//! row. So all tables are written anew, which leaves no page that lost a row, the file is
//! compacted, and the pages that are free then are filled with zeros.

use crate::tables::{Blob, Table, TableKey, Visit, visit_all};
use redb::{Database, ReadableTable, TableDefinition, TableError, TableHandle};

/// The name of a table while it is written anew.
const NEW: &str = "durable-session.new";

/// The table whose zeros fill free pages. A scrub that is killed leaves it.
const ZEROS: TableDefinition<'_, u64, Blob> = TableDefinition::new("durable-session.zeros");

/// The bytes of a page that are not zeros, at most: its header, a key and offsets.
const OVERHEAD: u64 = 128;

/// More pages than redb allocates for itself while it fills the others.
const SPARE_PAGES: u64 = 64;

/// Why a scrub ended early. What it has done so far is stored, and no row is lost.
pub(crate) enum Ended {
    /// A backup or a verification reads the file.
    Compaction(redb::CompactionError),
    Failed(redb::Error),
}

impl<E: Into<redb::Error>> From<E> for Ended {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Whether a scrub that was killed may have left a table with this name.
pub(crate) fn may_leave(table: &str) -> bool {
    table == ZEROS.name()
}

/// Removes what a scrub that was killed has left.
pub(crate) fn clear(txn: &redb::WriteTransaction) -> Result<(), redb::Error> {
    txn.delete_table(ZEROS)?;
    Ok(())
}

/// Scrubs a file of `len` bytes, as `len` tells it at any moment.
pub(crate) fn scrub(
    db: &mut Database,
    len: impl Fn() -> Result<u64, redb::Error>,
) -> Result<(), Ended> {
    compact(db)?;
    let txn = db.begin_write()?;
    visit_all(&mut Rewrite(&txn))?;
    txn.commit()?;
    compact(db)?;
    fill(db, len()?)?;
    compact(db)
}

fn compact(db: &mut Database) -> Result<(), Ended> {
    match db.compact() {
        Ok(_) => Ok(()),
        Err(redb::CompactionError::Storage(error)) => Err(error.into()),
        Err(other) => Err(Ended::Compaction(other)),
    }
}

/// Writes each table anew, under its own name in the end.
struct Rewrite<'t>(&'t redb::WriteTransaction);

impl Visit for Rewrite<'_> {
    type Error = TableError;

    fn table<T: Table>(&mut self) -> Result<(), TableError> {
        let anew: TableDefinition<'_, <T::Key as TableKey>::Stored, Blob> =
            TableDefinition::new(NEW);
        {
            let old = self.0.open_table(T::DEFINITION)?;
            let mut new = self.0.open_table(anew)?;
            for row in old.iter()? {
                let (key, value) = row?;
                new.insert(key.value(), value.value())?;
            }
        }
        self.0.delete_table(T::DEFINITION)?;
        self.0.rename_table(anew, T::DEFINITION)
    }
}

/// Fills the free pages of a file of `len` bytes with zeros, and frees them again.
fn fill(db: &Database, len: u64) -> Result<(), Ended> {
    let txn = db.begin_write()?;
    let stats = txn.stats()?;
    let page = stats.page_size() as u64;
    let free = (len / page).saturating_sub(stats.allocated_pages()) + SPARE_PAGES;
    let zeros = vec![0; usize::try_from(page.saturating_sub(OVERHEAD)).unwrap_or_default()];
    {
        let mut table = txn.open_table(ZEROS)?;
        for n in 0..free {
            table.insert(n, &zeros[..])?;
        }
    }
    txn.commit()?;
    let txn = db.begin_write()?;
    clear(&txn)?;
    txn.commit()?;
    Ok(())
}
