//! App rows: the app state of a session, in stores that keep it beside the head row.

use super::frame::{APP, CHECKSUM, FORMAT, address_beside, checksum, corrupt, split};
use crate::SessionId;
use crate::store::StoreError;

/// Writes the app row of the session whose number is `number`.
pub fn encode_app(number: u64, app: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(1 + app.len() + CHECKSUM);
    row.push(FORMAT);
    row.extend_from_slice(app);
    let sum = checksum(&row, &address_beside(number, 0, APP));
    row.extend_from_slice(&sum.to_le_bytes());
    row
}

/// Reads the app state from the app row of session `id`, whose number is `number`.
///
/// # Errors
/// [`StoreErrorKind::Corrupt`](crate::store::StoreErrorKind::Corrupt) with `id`, for a wrong
/// checksum, length or format version, and for the row of another session.
pub fn decode_app<'a>(id: &SessionId, number: u64, row: &'a [u8]) -> Result<&'a [u8], StoreError> {
    let corrupt = |context| corrupt(id, context);
    let (content, sum) = split(row, 1).map_err(corrupt)?;
    if checksum(content, &address_beside(number, 0, APP)) != sum {
        return Err(corrupt("the checksum of the app state's row does not match"));
    }
    Ok(&content[1..])
}
