//! The meta table: the layout version, the next session number, the salt, and how far the log was
//! flushed.
//!
//! A row is its value, then the XXH3-64 checksum of the value and the row's name. Integers are
//! little-endian.

use crate::error::{Fault, OpenError, caught};
use crate::scrub;
use crate::tables::{Blob, Heads, Ids, META, Rows, Table, Visit, visit_all};
use crate::wal::{LogId, Position};
use durable_session::env::Random;
use durable_session::store::Salt;
use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, StorageError,
    TableError, TableHandle, WriteTransaction,
};
use std::io;
use xxhash_rust::xxh3::Xxh3;

/// The layout that this code writes and reads.
pub(crate) const VERSION: u64 = 5;

const LAYOUT: &str = "layout";
const NEXT_NUMBER: &str = "next-session-number";
/// What identifies the history that the file belongs to. In a new store and in a copy it is
/// [`UNDRAWN`], so that whoever opens it draws one: a copy that is opened twice makes two
/// histories.
const SALT: &str = "salt";
/// The identity of the log that belongs to the file. In a new store and in a copy it is undrawn, so
/// that whoever opens it begins a log.
const LOG: &str = "log";
/// The position of the last batch that the tables have.
const FLUSHED: &str = "flushed";
const UNDRAWN: u64 = 0;

/// Makes sure that `db` holds a store that this code can use, creating one if `create` allows.
pub(crate) fn prepare(db: &Database, create: Create) -> Result<(), OpenError> {
    match stored_layout(db)? {
        Some(found) => {
            check_layout(found)?;
            check_tables(db)
        }
        None if has_our_tables(db)? => {
            Err(OpenError::damaged("the table durable-session.meta is missing"))
        }
        None => match create {
            Create::IfEmpty if is_empty(db)? => initialize(db),
            Create::IfEmpty | Create::Never => Err(OpenError::ForeignDatabase),
        },
    }
}

fn check_layout(found: u64) -> Result<(), OpenError> {
    match found {
        VERSION => Ok(()),
        ..VERSION => Err(OpenError::EarlierLayout { found, supported: VERSION }),
        _ => Err(OpenError::NewerFormat { found, supported: VERSION }),
    }
}

/// What identifies a store, and how far its tables are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    /// `None` in a new store and in a copy.
    pub(crate) salt: Option<Salt>,
    /// The log that belongs to the file; `None` in a new store and in a copy.
    pub(crate) log: Option<LogId>,
    /// The position of the last batch that the tables have.
    pub(crate) flushed: Position,
    /// The number that the next session gets, as far as the tables know.
    pub(crate) next_number: u64,
}

/// The identity of the store.
pub(crate) fn identity(db: &dyn ReadableDatabase) -> Result<Identity, OpenError> {
    let meta = Meta::open(db)?;
    Ok(Identity {
        salt: salt(meta.integer(SALT, "the salt")?),
        log: meta.value(LOG, "the identity of the log").map(LogId).map(drawn)?,
        flushed: meta.integer(FLUSHED, "the position up to which the log was flushed")?,
        next_number: meta.integer(NEXT_NUMBER, "the next session number")?,
    })
}

/// The identity of a damaged store, which is open for reading only, as far as it can be read.
pub(crate) fn readable_identity(db: &dyn ReadableDatabase) -> Identity {
    let meta = caught(|| Meta::open(db)).ok().and_then(Result::ok);
    let integer = |name| {
        let read = || meta.as_ref()?.integer(name, "").ok();
        caught(read).ok().flatten()
    };
    let log = || meta.as_ref()?.value(LOG, "").ok();
    Identity {
        salt: integer(SALT).and_then(salt),
        log: caught(log).ok().flatten().map(LogId).and_then(drawn),
        flushed: integer(FLUSHED).unwrap_or(0),
        next_number: integer(NEXT_NUMBER).unwrap_or(u64::MAX),
    }
}

fn salt(stored: u64) -> Option<Salt> {
    (stored != UNDRAWN).then(|| Salt::new(stored))
}

fn drawn(id: LogId) -> Option<LogId> {
    (id != LogId::UNDRAWN).then_some(id)
}

/// Draws a salt for a new history.
pub(crate) fn draw_salt(random: &dyn Random) -> Result<Salt, OpenError> {
    let mut bits = [0; 8];
    random.fill(&mut bits).map_err(|e| {
        OpenError::io("drawing random bytes for the store's versions", io::Error::other(e))
    })?;
    Ok(Salt::new(u64::from_le_bytes(bits).max(UNDRAWN + 1)))
}

/// Stores the log that was begun and the salt, durably.
pub(crate) fn store_identity(db: &Database, log: LogId, salt: Salt) -> Result<(), OpenError> {
    change(db, |txn| {
        put(txn, LOG, &log.0)?;
        put(txn, SALT, &salt.get().to_le_bytes())
    })
}

/// Says, in the transaction that makes it true, up to which position the tables have all batches.
pub(super) fn store_flushed(txn: &WriteTransaction, flushed: Position) -> Result<(), redb::Error> {
    put(txn, FLUSHED, &flushed.to_le_bytes())
}

/// No row in the tables has this session number or a higher one.
pub(super) fn store_next_number(txn: &WriteTransaction, next: u64) -> Result<(), redb::Error> {
    put(txn, NEXT_NUMBER, &next.to_le_bytes())
}

/// The meta table, open for reading.
struct Meta(ReadOnlyTable<&'static str, Blob>);

impl Meta {
    fn open(db: &dyn ReadableDatabase) -> Result<Self, OpenError> {
        let txn = db.begin_read().map_err(OpenError::redb)?;
        txn.open_table(META).map(Self).map_err(OpenError::redb)
    }

    fn integer(&self, name: &str, text: &'static str) -> Result<u64, OpenError> {
        self.value(name, text).map(u64::from_le_bytes)
    }

    fn value<const N: usize>(&self, name: &str, text: &'static str) -> Result<[u8; N], OpenError> {
        let row = self.0.get(name).map_err(OpenError::redb)?;
        row.and_then(|row| decode(name, row.value())).ok_or_else(|| {
            OpenError::damaged(format!("the row with {text} is missing or fails its checksum"))
        })
    }
}

fn change(
    db: &Database,
    write: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
) -> Result<(), OpenError> {
    let mut txn = db.begin_write().map_err(OpenError::redb)?;
    // As every commit: with the list of free pages, so that opening never has to make it.
    txn.set_quick_repair(true);
    write(&txn).map_err(OpenError::redb)?;
    txn.commit().map_err(OpenError::redb)
}

fn put(txn: &WriteTransaction, name: &str, value: &[u8]) -> Result<(), redb::Error> {
    txn.open_table(META)?.insert(name, &encode(name, value)[..])?;
    Ok(())
}

/// Whether sessions can be looked up in a damaged file: its tables are there, and not of another
/// layout.
pub(crate) fn check_readable(db: &dyn ReadableDatabase) -> Result<(), OpenError> {
    match stored_layout(db) {
        Ok(Some(found)) => {
            check_layout(found)?;
            has_readable_rows(db).map_err(Fault::on_opening)
        }
        Ok(None) if matches!(has_our_tables(db), Ok(false)) => Err(OpenError::ForeignDatabase),
        // The row with the layout may be what is damaged.
        _ => has_readable_rows(db).map_err(Fault::on_opening),
    }
}

/// Each table can be entered from one of its ends: its root is whole.
fn has_readable_rows(db: &dyn ReadableDatabase) -> Result<(), Fault> {
    let txn = db.begin_read()?;
    let ids = txn.open_table(Ids::DEFINITION)?;
    let heads = txn.open_table(Heads::DEFINITION)?;
    let rows = txn.open_table(Rows::DEFINITION)?;
    either(|| ids.first().map(drop), || ids.last().map(drop))?;
    either(|| heads.first().map(drop), || heads.last().map(drop))?;
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

fn has_our_tables(db: &dyn ReadableDatabase) -> Result<bool, OpenError> {
    let txn = db.begin_read().map_err(OpenError::redb)?;
    let mut tables = txn.list_tables().map_err(OpenError::redb)?;
    Ok(tables.any(|table| table.name().starts_with("durable-session.")))
}

/// When a database without a store becomes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Create {
    IfEmpty,
    Never,
}

fn stored_layout(db: &dyn ReadableDatabase) -> Result<Option<u64>, OpenError> {
    let txn = db.begin_read().map_err(OpenError::redb)?;
    let meta = match txn.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(e) => return Err(OpenError::redb(e)),
    };
    let row = meta.get(LAYOUT).map_err(OpenError::redb)?;
    let row =
        row.ok_or_else(|| OpenError::damaged("the row with the layout version is missing"))?;
    decode(LAYOUT, row.value())
        .map(|layout| Some(u64::from_le_bytes(layout)))
        .ok_or_else(|| OpenError::damaged("the row with the layout version fails its checksum"))
}

/// All tables are there, and no other one but what a scrub leaves that is killed.
fn check_tables(db: &dyn ReadableDatabase) -> Result<(), OpenError> {
    struct Open<'a>(&'a ReadTransaction, Vec<&'static str>);

    impl Visit for Open<'_> {
        type Error = TableError;

        fn table<T: Table>(&mut self) -> Result<(), TableError> {
            self.1.push(T::NAME);
            self.0.open_table(T::DEFINITION).map(drop)
        }
    }

    let txn = db.begin_read().map_err(OpenError::redb)?;
    let mut open = Open(&txn, vec![META.name()]);
    visit_all(&mut open).map_err(OpenError::redb)?;
    let ours = open.1;
    let mut tables = txn.list_tables().map_err(OpenError::redb)?;
    let is_known = |name: &str| ours.contains(&name) || scrub::may_leave(name);
    match tables.find(|table| !is_known(table.name())) {
        Some(table) => Err(OpenError::damaged(format!(
            "the file has a table \"{}\", which no store has",
            table.name().escape_debug()
        ))),
        None => Ok(()),
    }
}

fn is_empty(db: &Database) -> Result<bool, OpenError> {
    let txn = db.begin_read().map_err(OpenError::redb)?;
    Ok(txn.list_tables().map_err(OpenError::redb)?.next().is_none()
        && txn.list_multimap_tables().map_err(OpenError::redb)?.next().is_none())
}

fn initialize(db: &Database) -> Result<(), OpenError> {
    change(db, |txn| create_tables(txn, 1))
}

/// Creates the tables of an empty store, which has neither salt nor log yet.
pub(crate) fn create_tables(txn: &WriteTransaction, next_number: u64) -> Result<(), redb::Error> {
    struct Create<'a>(&'a WriteTransaction);

    impl Visit for Create<'_> {
        type Error = TableError;

        fn table<T: Table>(&mut self) -> Result<(), TableError> {
            self.0.open_table(T::DEFINITION).map(drop)
        }
    }

    put(txn, LAYOUT, &VERSION.to_le_bytes())?;
    put(txn, SALT, &UNDRAWN.to_le_bytes())?;
    put(txn, LOG, &LogId::UNDRAWN.0)?;
    store_flushed(txn, 0)?;
    store_next_number(txn, next_number)?;
    Ok(visit_all(&mut Create(txn))?)
}

fn encode(name: &str, value: &[u8]) -> Vec<u8> {
    [value, &checksum(value, name).to_le_bytes()].concat()
}

fn decode<const N: usize>(name: &str, row: &[u8]) -> Option<[u8; N]> {
    let (value, sum) = row.split_first_chunk::<N>()?;
    (checksum(value, name).to_le_bytes() == *sum).then_some(*value)
}

fn checksum(value: &[u8], name: &str) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(value);
    hasher.update(name.as_bytes());
    hasher.digest()
}

#[cfg(test)]
mod tests {
    use super::{LAYOUT, NEXT_NUMBER, decode, encode};

    #[test]
    fn every_flipped_bit_of_a_meta_row_is_seen() {
        let row = encode(LAYOUT, &[1; 8]);
        assert_eq!(decode(LAYOUT, &row), Some([1; 8]));
        assert_eq!(decode::<8>(NEXT_NUMBER, &row), None);
        for bit in 0..row.len() * 8 {
            let mut bad = row.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode::<8>(LAYOUT, &bad), None);
        }
        assert_eq!(decode::<7>(LAYOUT, &row), None);
        assert_eq!(decode::<16>(LAYOUT, &row), None);
    }
}
