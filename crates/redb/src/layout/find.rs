//! Finding a session and its current head.

use super::seqs;
use crate::error::{Fault, contradiction};
use crate::tables::{Heads, Ids, Name, Rows};
use crate::view::View;
use durable_session::SessionId;
use durable_session::rows::{self, HeadRow};
use durable_session::store::{Head, Labels, Order, StoreError};

/// Where a session is and what its head says.
pub(super) struct Found {
    pub(super) number: u64,
    /// The head as the head row has it: without the appends since.
    pub(super) stored: Head,
    pub(super) current: Head,
}

/// The key of a session in the table of ids.
pub(super) fn key(id: &SessionId) -> Name {
    id.as_str().as_bytes().into()
}

/// The number of the session.
pub(super) fn number(view: &View<'_>, id: &SessionId) -> Result<Option<u64>, Fault> {
    match view.get::<Ids>(&key(id))? {
        Some(row) => Ok(Some(rows::decode_number(id, &row)?)),
        None => Ok(None),
    }
}

/// Finds the session; `take` copies what is needed from the head row.
pub(super) fn find<T>(
    view: &View<'_>,
    id: &SessionId,
    take: impl FnOnce(&HeadRow<'_>) -> T,
) -> Result<Option<(Found, T)>, Fault> {
    match number(view, id)? {
        Some(number) => find_numbered(view, id, number, take).map(Some),
        None => Ok(None),
    }
}

/// Finds the session that has this number.
pub(super) fn find_numbered<T>(
    view: &View<'_>,
    id: &SessionId,
    number: u64,
    take: impl FnOnce(&HeadRow<'_>) -> T,
) -> Result<(Found, T), Fault> {
    let row = view.get::<Heads>(&number)?.ok_or_else(|| missing_head(id))?;
    let head_row = rows::decode_head(number, id, &row)?;
    let current = current(view, id, number, &head_row)?;
    Ok((Found { number, stored: head_row.head, current }, take(&head_row)))
}

/// The current head. Only messages past the end that the head row tells of were appended since, and
/// the last of them carries the head; damage to older ones does not hide it.
pub(super) fn current(
    view: &View<'_>,
    id: &SessionId,
    number: u64,
    head_row: &HeadRow<'_>,
) -> Result<Head, Fault> {
    let appended = (number, head_row.head.next_seq)..=(number, u64::MAX);
    match view.first::<Rows>(appended, Order::Backward)? {
        Some(((_, seq), row)) => {
            let last = rows::decode_message(id, number, seq, &row)?;
            seqs::continues(id, &head_row.head, &last)?;
            Ok(head_row.current(Some(&last)))
        }
        None => Ok(head_row.current(None)),
    }
}

/// Finds a session whose number row is damaged by its head row. Walks all heads: only for damage.
pub(super) fn number_by_scan(view: &View<'_>, id: &SessionId) -> Result<Option<u64>, Fault> {
    let mut heads = view.walk::<Heads>(.., Order::Forward);
    while let Some(entry) = heads.next()? {
        let (number, row) = entry.read()?;
        if rows::decode_head(number, id, &row).is_ok() {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

/// Takes the labels from a head row.
pub(super) fn labels_of(row: &HeadRow<'_>) -> Labels {
    row.labels()
}

pub(super) fn missing_head(id: &SessionId) -> StoreError {
    contradiction("the session's head row is missing").in_session(id)
}
