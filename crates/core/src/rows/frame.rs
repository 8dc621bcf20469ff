//! The parts that all rows share: format version, checksum and address.

use crate::SessionId;
use crate::store::{StoreError, StoreErrorKind};
use std::cell::RefCell;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// The format version that this code writes. It reads no other: version 1 was never released.
pub const FORMAT: u8 = 2;

/// The bytes of a checksum.
pub(super) const CHECKSUM: usize = 8;

/// The third integer in the address of a reply row.
pub(super) const REPLY: u64 = u64::MAX;
/// The third integer in the address of a tag row.
pub(super) const TAG: u64 = u64::MAX - 1;
/// The third integer in the address of an app row, whose seq is 0.
pub(super) const APP: u64 = u64::MAX - 2;

/// The address of a message row, or of the head row if `seq` is 0, which no message has.
pub(super) fn address(number: u64, seq: u64) -> [u8; 16] {
    let mut address = [0; 16];
    address[..8].copy_from_slice(&number.to_le_bytes());
    address[8..].copy_from_slice(&seq.to_le_bytes());
    address
}

/// The address of a row beside a message. It is longer than the address of a message, so the two
/// are never equal.
pub(super) fn address_beside(number: u64, seq: u64, third: u64) -> [u8; 24] {
    let mut beside = [0; 24];
    beside[..16].copy_from_slice(&address(number, seq));
    beside[16..].copy_from_slice(&third.to_le_bytes());
    beside
}

/// Rows up to this length are copied together with their address and hashed at once, which takes
/// half the time of hashing them in parts.
pub(super) const SHORT: usize = 4096;

thread_local! {
    static TOGETHER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The checksum of a row with this content at this address.
pub(super) fn checksum(content: &[u8], address: &[u8]) -> u64 {
    if content.len() > SHORT {
        return checksum_in_parts(content, address);
    }
    // The buffer is gone only while its thread ends.
    let hashed = TOGETHER.try_with(|together| {
        let mut together = together.borrow_mut();
        together.clear();
        together.extend_from_slice(content);
        together.extend_from_slice(address);
        xxh3_64(&together)
    });
    hashed.unwrap_or_else(|_| checksum_in_parts(content, address))
}

pub(super) fn checksum_in_parts(content: &[u8], address: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(content);
    hasher.update(address);
    hasher.digest()
}

/// Splits a row into content and checksum, after checking its format version and that it holds a
/// header of `header` bytes.
pub(super) fn split(row: &[u8], header: usize) -> Result<(&[u8], u64), &'static str> {
    match row.first() {
        Some(&FORMAT) => {}
        Some(0) | None => return Err("the row has no format version"),
        Some(_) => return Err("the row has a format version that this release does not read"),
    }
    if row.len() < header + CHECKSUM {
        return Err("the row is too short");
    }
    let (content, _) = row.split_at(row.len() - CHECKSUM);
    Ok((content, integer(row, row.len() - CHECKSUM)))
}

/// The integer at this offset of a row that is known to be long enough.
pub(super) fn integer(bytes: &[u8], at: usize) -> u64 {
    let mut integer = [0; 8];
    integer.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(integer)
}

pub(super) fn corrupt(id: &SessionId, context: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, context).in_session(id)
}
