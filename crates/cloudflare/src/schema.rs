//! The tables, and which layout of them an object holds.
//!
//! ```text
//! durable_session_meta      key -> value             layout, next_number, taken_over, salt
//! durable_session_numbers   id -> row                the session's number
//! durable_session_heads     n -> row                 the head, the labels and the app state
//! durable_session_messages  (n, seq) -> tag, row     one message
//! durable_session_replies   (n, seq) -> row          the open reply on the message
//! durable_session_chunks    (n, seq, offset) -> row  chunks of one extension, by its first offset
//! ```
//!
//! `row` is a row of `durable_session::rows`. An append writes a row of `durable_session_messages`
//! and nothing else; an opening and a beat write a row of `durable_session_replies`.
//!
//! `tag` is the tag row of a message with a large body. It is null for the others, because their
//! row has the tag. The column stands before `row`, so that SQLite reads it without the overflow
//! pages of a large row.
//!
//! The first commit makes the tables. Reading an absent session leaves nothing behind.

use crate::sql::{Sql, SqlError, integer, text};
use durable_session::store::{Salt, StoreError, StoreErrorKind};
use std::ops::ControlFlow;

/// The layout that this code writes.
const LAYOUT: u64 = 2;

const CREATE: &str = "
CREATE TABLE durable_session_meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) \
    STRICT, WITHOUT ROWID;
CREATE TABLE durable_session_numbers (id TEXT PRIMARY KEY, row BLOB NOT NULL) \
    STRICT, WITHOUT ROWID;
CREATE TABLE durable_session_heads (n INTEGER PRIMARY KEY, row BLOB NOT NULL) STRICT;
CREATE TABLE durable_session_messages (
    n INTEGER NOT NULL, seq INTEGER NOT NULL, tag BLOB, row BLOB NOT NULL, PRIMARY KEY (n, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE durable_session_replies (
    n INTEGER NOT NULL, seq INTEGER NOT NULL, row BLOB NOT NULL, PRIMARY KEY (n, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE durable_session_chunks (
    n INTEGER NOT NULL, seq INTEGER NOT NULL, offset INTEGER NOT NULL, row BLOB NOT NULL,
    PRIMARY KEY (n, seq, offset)
) STRICT, WITHOUT ROWID;
INSERT INTO durable_session_meta (key, value) VALUES ('layout', 2), ('next_number', 1);
";

/// The salt of the sessions' versions; `None` if there are no tables, and an error if they have
/// another layout.
pub(crate) fn look(sql: &Sql) -> Result<Option<Salt>, StoreError> {
    let doing = "could not look for the session tables";
    let table = sql
        .first(
            "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'durable_session_meta'",
            Vec::new(),
        )
        .map_err(|e| e.into_store(doing))?;
    if table.is_none() {
        return Ok(None);
    }
    let (mut layout, mut salt) = (None, Salt::NONE);
    sql.each(
        "SELECT key, value FROM durable_session_meta WHERE key IN ('layout', 'salt')",
        Vec::new(),
        |mut row| {
            let value = row.integer(1)?;
            match row.text(0)?.as_str() {
                SALT => salt = Salt::new(value),
                _ => layout = Some(value),
            }
            Ok::<_, SqlError>(ControlFlow::Continue(()))
        },
    )
    .map_err(|e| e.into_store(doing))?;
    if layout == Some(LAYOUT) {
        return Ok(Some(salt));
    }
    let layout = layout.map_or_else(|| "none".to_owned(), |layout| layout.to_string());
    Err(StoreError::new(
        StoreErrorKind::Unavailable,
        format!(
            "the layout of the object's tables is {layout}, and this release reads layout \
             {LAYOUT}: deploy the release that wrote them, or empty the object's storage"
        ),
    ))
}

/// The meta row of the store's salt. It does not exist until the storage was put back to an earlier
/// point in time.
pub(crate) const SALT: &str = "salt";
/// The meta row of a takeover: the number of the session that was made of [`FORMER_STATE`].
pub(crate) const TAKEN_OVER: &str = "taken_over";
/// The key, outside the tables, under which an object in JavaScript kept its state.
pub(crate) const FORMER_STATE: &str = "chatState";

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
        "INSERT INTO durable_session_meta (key, value) VALUES (?, ?) \
         ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        vec![text(key), integer(value)],
    )
}

/// Whether there are no sessions, no tables of the app, and no keys.
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
