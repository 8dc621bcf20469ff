//! Reading messages: the tail, a page, and what damage leaves readable.

use super::{bounded_seq, failed, find};
use crate::sql::{Columns, MAX_INTEGER, Sql, SqlError, integer};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::rows;
use durable_session::store::{
    Damage, Order, ReadQuery, Row, Salvaged, StoreError, StoreErrorKind, TailBounds,
};
use std::ops::ControlFlow;

pub(super) fn tail(
    sql: &Sql,
    id: &SessionId,
    number: u64,
    bounds: TailBounds,
) -> Result<Vec<Row>, StoreError> {
    let query = ReadQuery {
        first: 0,
        last: MAX_INTEGER,
        order: Order::Backward,
        max_messages: bounds.max_messages,
        max_bytes: bounds.max_bytes,
    };
    let (mut rows, _) = page(sql, id, number, &query)?;
    rows.reverse();
    Ok(rows)
}

/// The rows of a page, and whether the range holds more.
pub(super) fn page(
    sql: &Sql,
    id: &SessionId,
    number: u64,
    query: &ReadQuery,
) -> Result<(Vec<Row>, bool), StoreError> {
    let mut rows = Vec::new();
    let more = walk(sql, id, number, query, |seq, row| {
        rows.push(Row { seq, body: body(id, number, seq, row)? });
        Ok(())
    })?;
    Ok((rows, more))
}

pub(super) fn salvage(sql: &Sql, id: &SessionId, query: &ReadQuery) -> Result<Option<Salvaged>, StoreError> {
    let Some(numbered) = find::number_anyway(sql, id)? else { return Ok(None) };
    let mut salvaged = Salvaged { head: None, app: None, rows: Vec::new(), damage: Vec::new(), more: false };
    salvaged.damage.extend(numbered.damage.map(|error| Damage { seq: None, error }));
    let Some(number) = numbered.number else { return Ok(Some(salvaged)) };

    // A damaged last message hides the current head, but not the app state.
    let head = find::head_row(sql, id, number).and_then(|(stored, app)| {
        salvaged.app = Some(app);
        find::current(sql, id, number, stored)
    });
    match head {
        Ok(head) => salvaged.head = Some(head),
        Err(error) if error.kind() == StoreErrorKind::Corrupt => {
            salvaged.damage.push(Damage { seq: None, error });
        }
        Err(e) => return Err(e),
    }

    salvaged.more = walk(sql, id, number, query, |seq, row| {
        match body(id, number, seq, row) {
            Ok(body) => salvaged.rows.push(Row { seq, body }),
            Err(error) => salvaged.damage.push(Damage { seq: Some(seq), error }),
        }
        Ok(())
    })?;
    Ok(Some(salvaged))
}

const READ: &str = "could not read messages";

/// Gives the rows within the query's range and bounds to `take`; answers whether the range holds more.
///
/// The bound of bytes is judged by the lengths of the rows, so a damaged row past it disturbs nobody.
fn walk(
    sql: &Sql,
    id: &SessionId,
    number: u64,
    query: &ReadQuery,
    mut take: impl FnMut(u64, Vec<u8>) -> Result<(), StoreError>,
) -> Result<bool, StoreError> {
    if query.first > query.last {
        return Ok(false);
    }
    let statement = match query.order {
        Order::Forward => {
            "SELECT seq, row FROM durable_session_messages
             WHERE n = ? AND seq BETWEEN ? AND ? ORDER BY seq LIMIT ?"
        }
        Order::Backward => {
            "SELECT seq, row FROM durable_session_messages
             WHERE n = ? AND seq BETWEEN ? AND ? ORDER BY seq DESC LIMIT ?"
        }
    };
    let max_messages = (query.max_messages as u64).max(1);
    let values = vec![
        integer(number),
        integer(bounded_seq(query.first)),
        integer(bounded_seq(query.last)),
        integer(max_messages.saturating_add(1)),
    ];
    let (mut taken, mut bytes, mut more) = (0_u64, 0_u64, false);
    sql.each(statement, values, |mut columns| {
        let (seq, row) = seq_and_row(&mut columns).map_err(failed(id, READ))?;
        bytes = bytes.saturating_add(rows::body_bytes(row.len()));
        if taken > 0 && (taken >= max_messages || bytes > query.max_bytes) {
            more = true;
            return Ok(ControlFlow::Break(()));
        }
        taken += 1;
        take(seq, row)?;
        Ok(ControlFlow::Continue(()))
    })
    .map_err(|e: StoreError| e.in_session(id))?;
    Ok(more)
}

fn seq_and_row(columns: &mut Columns) -> Result<(u64, Vec<u8>), SqlError> {
    Ok((columns.integer(0)?, columns.blob(1)?))
}

fn body(id: &SessionId, number: u64, seq: u64, row: Vec<u8>) -> Result<Bytes, StoreError> {
    let row = Bytes::from(row);
    let body = rows::decode_message(id, number, seq, &row)?.body;
    Ok(row.slice_ref(body))
}
