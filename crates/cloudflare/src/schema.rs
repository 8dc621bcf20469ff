//! The tables, and which layout of them an object holds.
//!
//! ```text
//! durable_session_meta      key → value     "layout", "next_number", "taken_over"
//! durable_session_numbers   id → row        the session's number, as `durable_session::rows` writes it
//! durable_session_heads     n → row         the head and the app state
//! durable_session_messages  (n, seq) → row  one row per message: an append writes this row and nothing else
//! ```
//!
//! The tables are made by the first commit, not by a look: an id that was only asked for leaves nothing behind.

use crate::sql::{Sql, SqlError, integer, text};
use durable_session::store::{StoreError, StoreErrorKind};

/// The layout that this code writes.
const LAYOUT: u64 = 1;

const CREATE: &str = "
CREATE TABLE durable_session_meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE durable_session_numbers (id TEXT PRIMARY KEY, row BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE durable_session_heads (n INTEGER PRIMARY KEY, row BLOB NOT NULL) STRICT;
CREATE TABLE durable_session_messages (
    n INTEGER NOT NULL, seq INTEGER NOT NULL, row BLOB NOT NULL, PRIMARY KEY (n, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO durable_session_meta (key, value) VALUES ('layout', 1), ('next_number', 1);
";

/// Whether the tables are there; an error if a later release made them.
pub(crate) fn exists(sql: &Sql) -> Result<bool, StoreError> {
    let what = "could not look for the session tables";
    let table = sql
        .first(
            "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'durable_session_meta'",
            Vec::new(),
        )
        .map_err(|e| e.into_store(what))?;
    if table.is_none() {
        return Ok(false);
    }
    let layout = meta(sql, "layout").map_err(|e| e.into_store(what))?;
    if layout == Some(LAYOUT) {
        return Ok(true);
    }
    Err(StoreError::new(
        StoreErrorKind::Unavailable,
        format!(
            "the object holds layout {layout:?}, this release reads layout {LAYOUT}: deploy the release that wrote it"
        ),
    ))
}

/// Makes the tables. For use inside a transaction.
pub(crate) fn create(sql: &Sql) -> Result<(), SqlError> {
    sql.run(CREATE, Vec::new())
}

pub(crate) fn meta(sql: &Sql, key: &str) -> Result<Option<u64>, SqlError> {
    sql.first("SELECT value FROM durable_session_meta WHERE key = ?", vec![text(key)])?
        .map(|row| row.integer(0))
        .transpose()
}

pub(crate) fn set_meta(sql: &Sql, key: &str, value: u64) -> Result<(), SqlError> {
    sql.run(
        "INSERT INTO durable_session_meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        vec![text(key), integer(value)],
    )
}

/// Whether there are no sessions, no tables of anybody else, and no keys.
pub(crate) fn holds_nothing(sql: &Sql) -> Result<bool, SqlError> {
    let rows = sql.first(
        "SELECT 1 FROM durable_session_numbers UNION ALL
         SELECT 1 FROM sqlite_master WHERE type = 'table' AND name NOT GLOB 'durable_session_*'
             AND name NOT GLOB '_cf_*' AND name NOT GLOB 'sqlite_*'
         LIMIT 1",
        Vec::new(),
    )?;
    Ok(rows.is_none() && !sql.has_keys()?)
}
