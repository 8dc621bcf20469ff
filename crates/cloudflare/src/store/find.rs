//! Finding a session: its number, its stored head, and the head that its rows make current.

use super::failure::{corrupt, failed};
use crate::sql::{Sql, SqlError, integer, text};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::rows::{self, HeadRow};
use durable_session::store::{Head, Labels, StoreError, StoreErrorKind};
use std::ops::ControlFlow;

/// A session as it is stored. Its versions are without the store's salt.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) number: u64,
    pub(super) row: Stored,
    /// The head after all commits. The stored head row is older if commits have only appended
    /// since.
    pub(super) current: Head,
}

/// A decoded head row.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) head: Head,
    pub(super) labels: Labels,
    pub(super) app: Bytes,
}

const FIND: &str = "could not look up the session";

pub(crate) fn session(sql: &Sql, id: &SessionId) -> Result<Option<Found>, StoreError> {
    match number(sql, id)? {
        Some(number) => numbered(sql, id, number).map(Some),
        None => Ok(None),
    }
}

/// The session whose number is known.
pub(super) fn numbered(sql: &Sql, id: &SessionId, number: u64) -> Result<Found, StoreError> {
    let row = head_row(sql, id, number)?;
    let current = current(sql, id, number, row.head)?;
    Ok(Found { number, row, current })
}

pub(super) fn number(sql: &Sql, id: &SessionId) -> Result<Option<u64>, StoreError> {
    let row = sql
        .first("SELECT row FROM durable_session_numbers WHERE id = ?", vec![text(id.as_str())])
        .and_then(|row| row.map(|mut row| row.blob(0)).transpose())
        .map_err(failed(id, FIND))?;
    row.map(|row| rows::decode_number(id, &row)).transpose()
}

pub(super) fn head_row(sql: &Sql, id: &SessionId, number: u64) -> Result<Stored, StoreError> {
    let row = sql
        .first("SELECT row FROM durable_session_heads WHERE n = ?", vec![integer(number)])
        .and_then(|row| row.map(|mut row| row.blob(0)).transpose())
        .map_err(failed(id, FIND))?
        .ok_or_else(|| corrupt(id, "the session has a number but no head row"))?;
    let row = Bytes::from(row);
    let decoded = rows::decode_head(number, id, &row)?;
    Ok(Stored { head: decoded.head, labels: decoded.labels(), app: row.slice_ref(decoded.app) })
}

/// The current head. Since the stored head only messages at its end were appended; the last of them
/// carries the current head.
pub(super) fn current(
    sql: &Sql,
    id: &SessionId,
    number: u64,
    stored: Head,
) -> Result<Head, StoreError> {
    let last = sql
        .first(
            "SELECT seq, row FROM durable_session_messages WHERE n = ? AND seq >= ? \
             ORDER BY seq DESC LIMIT 1",
            vec![integer(number), integer(stored.next_seq)],
        )
        .and_then(|row| row.map(|mut row| Ok((row.integer(0)?, row.blob(1)?))).transpose())
        .map_err(failed(id, FIND))?;
    match last {
        Some((seq, row)) => {
            let last = rows::decode_message(id, number, seq, &row)?;
            Ok(HeadRow { head: stored, owner: "", title: "", app: &[] }.current(Some(&last)))
        }
        None => Ok(stored),
    }
}

/// The number of a session whose rows may be damaged.
pub(super) struct Numbered {
    /// From the number row. If that is damaged, from the head row that names the id, if one does.
    pub(super) number: Option<u64>,
    /// The damage of the number row.
    pub(super) damage: Option<StoreError>,
}

/// `None` if there is no such session.
pub(super) fn number_anyway(sql: &Sql, id: &SessionId) -> Result<Option<Numbered>, StoreError> {
    match number(sql, id) {
        Ok(None) => Ok(None),
        Ok(number) => Ok(Some(Numbered { number, damage: None })),
        Err(e) if e.kind() == StoreErrorKind::Corrupt => {
            Ok(Some(Numbered { number: number_from_heads(sql, id)?, damage: Some(e) }))
        }
        Err(e) => Err(e),
    }
}

/// Reads all head rows of the object. It is slow, but happens for damaged rows only.
fn number_from_heads(sql: &Sql, id: &SessionId) -> Result<Option<u64>, StoreError> {
    let mut found = None;
    sql.each("SELECT n, row FROM durable_session_heads", Vec::new(), |mut row| {
        let number = row.integer(0)?;
        if rows::decode_head(number, id, &row.blob(1)?).is_ok() {
            found = Some(number);
            return Ok(ControlFlow::Break(()));
        }
        Ok::<_, SqlError>(ControlFlow::Continue(()))
    })
    .map_err(failed(id, FIND))?;
    Ok(found)
}
