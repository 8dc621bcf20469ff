//! Finding a session: its number, its stored head, and the head that its rows make current.

use super::{bounded_seq, corrupt, failed};
use crate::sql::{Sql, SqlError, integer, text};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::rows::{self, HeadRow};
use durable_session::store::{Head, StoreError, StoreErrorKind};
use std::ops::ControlFlow;

/// A session as it is stored.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) number: u64,
    /// The head row's head.
    pub(super) stored: Head,
    /// The head after all commits, those that only appended included.
    pub(super) current: Head,
    pub(super) app: Bytes,
}

const FIND: &str = "could not look the session up";

pub(crate) fn session(sql: &Sql, id: &SessionId) -> Result<Option<Found>, StoreError> {
    let Some(number) = number(sql, id)? else { return Ok(None) };
    let (stored, app) = head_row(sql, id, number)?;
    let current = current(sql, id, number, stored)?;
    Ok(Some(Found { number, stored, current, app }))
}

fn number(sql: &Sql, id: &SessionId) -> Result<Option<u64>, StoreError> {
    let row = sql
        .first("SELECT row FROM durable_session_numbers WHERE id = ?", vec![text(id.as_str())])
        .and_then(|row| row.map(|mut row| row.blob(0)).transpose())
        .map_err(failed(id, FIND))?;
    row.map(|row| rows::decode_number(id, &row)).transpose()
}

/// The stored head and the app state.
pub(super) fn head_row(sql: &Sql, id: &SessionId, number: u64) -> Result<(Head, Bytes), StoreError> {
    let row = sql
        .first("SELECT row FROM durable_session_heads WHERE n = ?", vec![integer(number)])
        .and_then(|row| row.map(|mut row| row.blob(0)).transpose())
        .map_err(failed(id, FIND))?
        .ok_or_else(|| corrupt(id, "the session has a number but no head row"))?;
    let row = Bytes::from(row);
    let HeadRow { head, app } = rows::decode_head(number, id, &row)?;
    Ok((head, row.slice_ref(app)))
}

/// The current head: only messages past the stored head's end were appended since, and the last one carries it.
pub(super) fn current(sql: &Sql, id: &SessionId, number: u64, stored: Head) -> Result<Head, StoreError> {
    let last = sql
        .first(
            "SELECT seq, row FROM durable_session_messages WHERE n = ? AND seq >= ? ORDER BY seq DESC LIMIT 1",
            vec![integer(number), integer(bounded_seq(stored.next_seq))],
        )
        .and_then(|row| row.map(|mut row| Ok((row.integer(0)?, row.blob(1)?))).transpose())
        .map_err(failed(id, FIND))?;
    match last {
        Some((seq, row)) => {
            let last = rows::decode_message(id, number, seq, &row)?;
            Ok(HeadRow { head: stored, app: &[] }.current(Some(&last)))
        }
        None => Ok(stored),
    }
}

/// What is known of the number of a session whose rows may be damaged.
pub(super) struct Numbered {
    /// Where the number row cannot be read: the number of the head row that names the id, if one does.
    pub(super) number: Option<u64>,
    /// What is wrong with the number row.
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

/// Walks all heads of the object, which a damaged row is worth.
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
