//! Number rows: from session ids to session numbers.

use super::frame::{CHECKSUM, FORMAT, checksum, corrupt, integer, split};
use crate::SessionId;
use crate::store::StoreError;

const NUMBER_ROW: usize = 1 + 8 + CHECKSUM;

/// Writes the row that maps `id` to its session number.
pub fn encode_number(id: &SessionId, number: u64) -> [u8; NUMBER_ROW] {
    let mut row = [0; NUMBER_ROW];
    row[0] = FORMAT;
    row[1..9].copy_from_slice(&number.to_le_bytes());
    let sum = checksum(&row[..9], id.as_str().as_bytes());
    row[9..].copy_from_slice(&sum.to_le_bytes());
    row
}

/// Reads the row that maps `id` to its session number.
///
/// # Errors
/// [`StoreErrorKind::Corrupt`](crate::store::StoreErrorKind::Corrupt) with `id`, for a wrong
/// checksum, length or format version.
pub fn decode_number(id: &SessionId, row: &[u8]) -> Result<u64, StoreError> {
    let corrupt = |context| corrupt(id, context);
    let (content, sum) = split(row, NUMBER_ROW - CHECKSUM).map_err(corrupt)?;
    if row.len() != NUMBER_ROW || checksum(content, id.as_str().as_bytes()) != sum {
        return Err(corrupt("the checksum of the session's number row does not match"));
    }
    Ok(integer(content, 1))
}
