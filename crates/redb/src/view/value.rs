//! A row.

use crate::tables::Blob;
use bytes::Bytes;
use redb::AccessGuard;
use std::ops::Deref;

/// A row in a page of redb, or read from the log.
pub(crate) enum Value<'a> {
    Stored(AccessGuard<'a, Blob>),
    Logged(Bytes),
}

impl Deref for Value<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Stored(row) => row.value(),
            Self::Logged(row) => row,
        }
    }
}

impl From<Value<'_>> for Bytes {
    fn from(value: Value<'_>) -> Self {
        match value {
            Value::Stored(row) => Self::copy_from_slice(row.value()),
            // Not the other rows that were read with it.
            Value::Logged(row) => Self::copy_from_slice(&row),
        }
    }
}
