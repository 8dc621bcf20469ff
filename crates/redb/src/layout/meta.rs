//! The meta table: the layout version and the next session number.
//!
//! A value is 16 bytes: an integer, little-endian, then the XXH3-64 checksum of the integer and its name.

use super::{HEADS, IDS, META, ROWS, VERSION};
use crate::error::{Fault, OpenError, caught};
use durable_session::store::{StoreError, StoreErrorKind};
use redb::{
    Database, ReadableDatabase, ReadableTable, StorageError, TableError, TableHandle, WriteTransaction,
};
use xxhash_rust::xxh3::Xxh3;

const LAYOUT: &str = "layout";
const NEXT_NUMBER: &str = "next-session-number";

/// Makes sure that `db` holds a store that this code can use, creating one if `create` allows.
///
/// With `create`, the tables are added when the database has no store yet: in a database that a host owns, beside the
/// host's tables.
pub(crate) fn prepare(db: &Database, create: Create) -> Result<(), OpenError> {
    match stored_layout(db)? {
        Some(VERSION) => check_tables(db),
        Some(found) if found < VERSION && found > 0 => {
            check_tables(db)?;
            upgrade(db)
        }
        Some(found) => Err(OpenError::NewerFormat { found, supported: VERSION }),
        None if has_our_tables(db)? => Err(OpenError::damaged("the table durable-session.meta is missing")),
        None => match create {
            Create::Always => initialize(db),
            Create::IfEmpty if is_empty(db)? => initialize(db),
            Create::IfEmpty | Create::Never => Err(OpenError::ForeignDatabase),
        },
    }
}

/// Whether sessions can be looked up in a damaged file: its tables are there, and not of a newer layout.
pub(crate) fn check_readable(db: &impl ReadableDatabase) -> Result<(), OpenError> {
    match stored_layout(db) {
        Ok(Some(found)) if found > VERSION => Err(OpenError::NewerFormat { found, supported: VERSION }),
        // The row with the layout may be what is damaged.
        _ => has_readable_rows(db).map_err(Fault::on_opening),
    }
}

/// Each table can be entered from one of its ends: its root is whole.
fn has_readable_rows(db: &impl ReadableDatabase) -> Result<(), Fault> {
    let txn = db.begin_read()?;
    let super::Snapshot { index, rows } = super::Snapshot::open(&txn)?;
    either(|| index.ids.first().map(drop), || index.ids.last().map(drop))?;
    either(|| index.heads.first().map(drop), || index.heads.last().map(drop))?;
    either(|| rows.first().map(drop), || rows.last().map(drop))
}

fn either(
    first: impl FnOnce() -> Result<(), StorageError>,
    last: impl FnOnce() -> Result<(), StorageError>,
) -> Result<(), Fault> {
    match caught(first) {
        Ok(Ok(())) => Ok(()),
        _ => Ok(caught(last).map_err(Fault::Panic)??),
    }
}

fn has_our_tables(db: &Database) -> Result<bool, OpenError> {
    let txn = db.begin_read().map_err(OpenError::redb)?;
    let mut tables = txn.list_tables().map_err(OpenError::redb)?;
    Ok(tables.any(|table| table.name().starts_with("durable-session.")))
}

/// When a database without a store becomes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Create {
    Always,
    IfEmpty,
    Never,
}

fn stored_layout(db: &impl ReadableDatabase) -> Result<Option<u64>, OpenError> {
    let txn = db.begin_read().map_err(OpenError::redb)?;
    let meta = match txn.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(e) => return Err(OpenError::redb(e)),
    };
    let row = meta.get(LAYOUT).map_err(OpenError::redb)?;
    let row = row.ok_or_else(|| OpenError::damaged("the row with the layout version is missing"))?;
    decode(LAYOUT, row.value())
        .map(Some)
        .ok_or_else(|| OpenError::damaged("the row with the layout version fails its checksum"))
}

fn check_tables(db: &impl ReadableDatabase) -> Result<(), OpenError> {
    let txn = db.begin_read().map_err(OpenError::redb)?;
    super::Snapshot::open(&txn).map(drop).map_err(OpenError::redb)
}

fn is_empty(db: &Database) -> Result<bool, OpenError> {
    let txn = db.begin_read().map_err(OpenError::redb)?;
    Ok(txn.list_tables().map_err(OpenError::redb)?.next().is_none()
        && txn.list_multimap_tables().map_err(OpenError::redb)?.next().is_none())
}

fn initialize(db: &Database) -> Result<(), OpenError> {
    let txn = db.begin_write().map_err(OpenError::redb)?;
    create_tables(&txn, 1).map_err(OpenError::redb)?;
    txn.commit().map_err(OpenError::redb)
}

/// All that an earlier layout has, this one has, too.
fn upgrade(db: &Database) -> Result<(), OpenError> {
    let txn = db.begin_write().map_err(OpenError::redb)?;
    let mut meta = txn.open_table(META).map_err(OpenError::redb)?;
    meta.insert(LAYOUT, &encode(LAYOUT, VERSION)[..]).map_err(OpenError::redb)?;
    drop(meta);
    txn.commit().map_err(OpenError::redb)
}

/// Creates the tables of an empty store.
pub(crate) fn create_tables(txn: &WriteTransaction, next_number: u64) -> Result<(), redb::Error> {
    let mut meta = txn.open_table(META)?;
    meta.insert(LAYOUT, &encode(LAYOUT, VERSION)[..])?;
    meta.insert(NEXT_NUMBER, &encode(NEXT_NUMBER, next_number)[..])?;
    txn.open_table(IDS)?;
    txn.open_table(HEADS)?;
    txn.open_table(ROWS)?;
    Ok(())
}

/// The number that the next session gets.
pub(crate) fn next_number(meta: &impl ReadableTable<&'static str, super::Blob>) -> Result<u64, Fault> {
    let row = meta.get(NEXT_NUMBER)?;
    row.and_then(|row| decode(NEXT_NUMBER, row.value())).ok_or_else(|| {
        Fault::Refused(StoreError::new(
            StoreErrorKind::Corrupt,
            "the row with the next session number cannot be read, so no session can be created",
        ))
    })
}

/// Takes a session number: it is never given out again.
pub(super) fn take_number(txn: &WriteTransaction) -> Result<u64, Fault> {
    let mut meta = txn.open_table(META)?;
    let number = next_number(&meta)?;
    meta.insert(NEXT_NUMBER, &encode(NEXT_NUMBER, number + 1)[..])?;
    Ok(number)
}

fn encode(name: &str, value: u64) -> [u8; 16] {
    let mut row = [0; 16];
    row[..8].copy_from_slice(&value.to_le_bytes());
    row[8..].copy_from_slice(&checksum(&value.to_le_bytes(), name).to_le_bytes());
    row
}

fn decode(name: &str, row: &[u8]) -> Option<u64> {
    let row: &[u8; 16] = row.try_into().ok()?;
    let (value, sum) = row.split_at(8);
    (checksum(value, name).to_le_bytes() == sum)
        .then(|| u64::from_le_bytes(value.try_into().unwrap_or_default()))
}

fn checksum(value: &[u8], name: &str) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(value);
    hasher.update(name.as_bytes());
    hasher.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_a_meta_row_is_seen() {
        let row = encode(LAYOUT, 1);
        assert_eq!(decode(LAYOUT, &row), Some(1));
        assert_eq!(decode(NEXT_NUMBER, &row), None);
        for bit in 0..row.len() * 8 {
            let mut bad = row;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(LAYOUT, &bad), None);
        }
    }
}
