//! SQL inside the object: statements, transactions, and JavaScript's exceptions as errors.
//!
//! Rows are read through `exec` and `raw` only: when JavaScript throws in another method of the
//! cursor, the exception skips Rust's destructors and the request never ends.

use durable_session::store::{StoreError, StoreErrorKind};
use std::cell::Cell;
use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use worker::wasm_bindgen_futures::JsFuture;
use worker::{SqlStorage, SqlStorageValue, Storage};

#[wasm_bindgen]
extern "C" {
    type SyncStorage;

    // The worker crate has no wrapper for it.
    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    fn transaction_sync(
        this: &SyncStorage,
        callback: &mut dyn FnMut() -> Result<JsValue, JsValue>,
    ) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, getter)]
    fn kv(this: &SyncStorage) -> Result<SyncKeys, JsValue>;

    type SyncKeys;

    #[wasm_bindgen(method, catch)]
    fn get(this: &SyncKeys, key: &str) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn delete(this: &SyncKeys, key: &str) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn list(this: &SyncKeys) -> Result<js_sys::Iterator, JsValue>;
}

/// The largest integer that passes between Rust and JavaScript unchanged.
pub(crate) const MAX_INTEGER: u64 = (1 << 53) - 1;

pub(crate) type Values = Vec<SqlStorageValue>;

/// Why a statement or a transaction failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SqlError {
    /// JavaScript threw; nothing of the statement or transaction was kept.
    #[error(transparent)]
    Thrown(#[from] worker::Error),
    /// The transaction's code ran to its end, and then the transaction failed.
    #[error("the transaction failed at its end")]
    AtEnd(#[source] worker::Error),
    /// A column has another type than the table was made with.
    #[error("column {column} is not {expected}")]
    Column { column: usize, expected: &'static str },
}

impl SqlError {
    fn thrown(exception: JsValue) -> Self {
        Self::Thrown(exception.into())
    }

    fn kind(&self) -> StoreErrorKind {
        match self {
            Self::AtEnd(_) => StoreErrorKind::OutcomeUnknown,
            Self::Column { .. } => StoreErrorKind::Corrupt,
            Self::Thrown(e) => kind_of(&e.to_string()),
        }
    }

    /// The contract's error; `doing` is the first part of its text.
    pub(crate) fn into_store(self, doing: &'static str) -> StoreError {
        StoreError::new(self.kind(), doing).with_source(self)
    }
}

impl From<SqlError> for StoreError {
    fn from(e: SqlError) -> Self {
        e.into_store("a statement failed")
    }
}

/// SQLite's result code stands at the end of the exception's message.
fn kind_of(message: &str) -> StoreErrorKind {
    let is = |codes: &[&str]| codes.iter().any(|code| message.contains(code));
    if is(&["SQLITE_TOOBIG"]) {
        StoreErrorKind::TooLarge
    } else if is(&["SQLITE_CORRUPT", "SQLITE_NOTADB"]) {
        StoreErrorKind::Corrupt
    } else if is(&["SQLITE_FULL", "SQLITE_IOERR", "SQLITE_NOMEM", "SQLITE_BUSY", "SQLITE_LOCKED"]) {
        StoreErrorKind::Unavailable
    } else {
        StoreErrorKind::Internal
    }
}

/// The object's storage.
#[derive(Debug)]
pub(crate) struct Sql {
    storage: Storage,
    statements: SqlStorage,
    written: AtomicU64,
}

impl Sql {
    pub(crate) fn new(storage: Storage) -> Self {
        let statements = storage.sql();
        Self { storage, statements, written: AtomicU64::new(0) }
    }

    fn sync(&self) -> &SyncStorage {
        self.storage.as_raw().unchecked_ref()
    }

    /// Rows written so far, indexes included. The platform bills them.
    pub(crate) fn rows_written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Runs a statement that returns nothing.
    pub(crate) fn run(&self, statement: &str, values: Values) -> Result<(), SqlError> {
        let cursor = self.statements.exec(statement, values)?;
        // A statement is stepped to its end only as its rows are asked for.
        if let Some(row) = cursor.raw().next() {
            row?;
        }
        self.written.fetch_add(cursor.rows_written() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Gives each row to `row` until it breaks; the rows after that are not read.
    pub(crate) fn each<E: From<SqlError>>(
        &self,
        query: &str,
        values: Values,
        mut row: impl FnMut(Columns) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let cursor = self.statements.exec(query, values).map_err(SqlError::from)?;
        for found in cursor.raw() {
            // Past an error the iterator would start over.
            if row(Columns(found.map_err(SqlError::from)?))?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The first row.
    pub(crate) fn first(&self, query: &str, values: Values) -> Result<Option<Columns>, SqlError> {
        let mut first = None;
        self.each(query, values, |row| {
            first = Some(row);
            Ok::<_, SqlError>(ControlFlow::Break(()))
        })?;
        Ok(first)
    }

    /// The object's value under a key; `undefined` if there is none. Like a statement, this is part
    /// of the transaction around it.
    pub(crate) fn key(&self, key: &str) -> Result<JsValue, SqlError> {
        self.sync().kv().and_then(|keys| keys.get(key)).map_err(SqlError::thrown)
    }

    pub(crate) fn delete_key(&self, key: &str) -> Result<(), SqlError> {
        self.sync().kv().and_then(|keys| keys.delete(key)).map_err(SqlError::thrown)?;
        Ok(())
    }

    /// Waits until everything written so far is confirmed.
    pub(crate) async fn confirmed(&self) -> worker::Result<()> {
        self.storage.sync().await
    }

    /// Whether the object keeps anything under any key.
    pub(crate) fn has_keys(&self) -> Result<bool, SqlError> {
        let first = self.sync().kv().and_then(|keys| keys.list()).and_then(|keys| keys.next());
        Ok(!first.map_err(SqlError::thrown)?.done())
    }

    /// Deletes the alarm and everything in the storage, at once; the future tells when that is
    /// confirmed.
    pub(crate) fn empty(
        &self,
    ) -> Result<impl Future<Output = Result<(), SqlError>> + use<>, SqlError> {
        let storage = self.storage.as_raw();
        let alarm =
            storage.delete_alarm(JsValue::UNDEFINED.unchecked_into()).map_err(SqlError::thrown)?;
        let all = storage.delete_all().map_err(SqlError::thrown)?;
        Ok(async {
            JsFuture::from(alarm).await.map_err(SqlError::thrown)?;
            JsFuture::from(all).await.map_err(SqlError::thrown)?;
            Ok(())
        })
    }

    /// Runs `work` in one transaction. It is committed if `work` returns `Ok`, and rolled back if
    /// it returns an error or JavaScript throws.
    pub(crate) fn transaction<T, E: From<SqlError>>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let work = Cell::new(Some(work));
        let done = Cell::new(None);
        let cells = AssertUnwindSafe((&work, &done));
        let ended = self.sync().transaction_sync(&mut || {
            // This line makes the closure capture the wrapper, which is unwind safe.
            let AssertUnwindSafe((work, done)) = &cells;
            let Some(work) = work.take() else {
                return Err(JsValue::from_str("the transaction's code was called twice"));
            };
            let result = work();
            let keep = result.is_ok();
            done.set(Some(result));
            if keep { Ok(JsValue::UNDEFINED) } else { Err(JsValue::from_str("rolled back")) }
        });
        match (done.take(), ended) {
            (Some(Ok(value)), Ok(_)) => Ok(value),
            (Some(Ok(_)), Err(exception)) => Err(SqlError::AtEnd(exception.into()).into()),
            (Some(Err(refused)), _) => Err(refused),
            (None, Err(exception)) => Err(SqlError::thrown(exception).into()),
            (None, Ok(_)) => {
                Err(SqlError::Thrown(worker::Error::from("the transaction's code was not called"))
                    .into())
            }
        }
    }
}

/// The columns of one row.
#[derive(Debug)]
pub(crate) struct Columns(Values);

impl Columns {
    pub(crate) fn blob(&mut self, column: usize) -> Result<Vec<u8>, SqlError> {
        match self.0.get_mut(column) {
            Some(SqlStorageValue::Blob(bytes)) => Ok(std::mem::take(bytes)),
            _ => Err(SqlError::Column { column, expected: "a BLOB" }),
        }
    }

    /// A BLOB, or `None` if the column is null.
    pub(crate) fn blob_if_any(&mut self, column: usize) -> Result<Option<Vec<u8>>, SqlError> {
        match self.0.get(column) {
            Some(SqlStorageValue::Null) => Ok(None),
            _ => self.blob(column).map(Some),
        }
    }

    pub(crate) fn text(&mut self, column: usize) -> Result<String, SqlError> {
        match self.0.get_mut(column) {
            Some(SqlStorageValue::String(text)) => Ok(std::mem::take(text)),
            _ => Err(SqlError::Column { column, expected: "TEXT" }),
        }
    }

    pub(crate) fn integer(&self, column: usize) -> Result<u64, SqlError> {
        match self.0.get(column) {
            Some(SqlStorageValue::Integer(integer)) => u64::try_from(*integer).ok(),
            _ => None,
        }
        .ok_or(SqlError::Column { column, expected: "a whole number from 0 to 2^53" })
    }
}

/// A bound integer. Seqs, numbers and offsets that are stored stay within [`MAX_INTEGER`]; the end
/// of a range may be higher.
pub(crate) fn integer(value: u64) -> SqlStorageValue {
    SqlStorageValue::Integer(i64::try_from(value.min(MAX_INTEGER)).unwrap_or(i64::MAX))
}

pub(crate) fn blob(bytes: impl Into<Vec<u8>>) -> SqlStorageValue {
    SqlStorageValue::Blob(bytes.into())
}

pub(crate) fn text(value: &str) -> SqlStorageValue {
    SqlStorageValue::String(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{SqlError, SqlStorageValue, StoreErrorKind as K, integer, kind_of};

    #[test]
    fn sqlites_codes_become_the_contracts_kinds() {
        for (message, kind) in [
            ("Error: string or blob too big: SQLITE_TOOBIG", K::TooLarge),
            ("Error: database or disk is full: SQLITE_FULL", K::Unavailable),
            ("Error: disk I/O error: SQLITE_IOERR", K::Unavailable),
            ("Error: database disk image is malformed: SQLITE_CORRUPT", K::Corrupt),
            ("SQL is not enabled for this Durable Object class", K::Internal),
        ] {
            assert_eq!(kind_of(message), kind, "{message}");
        }
    }

    #[test]
    fn a_failed_statement_names_its_cause_once() {
        let thrown = || worker::Error::from("disk I/O error: SQLITE_IOERR");
        for (error, expected) in [
            (SqlError::Thrown(thrown()), K::Unavailable),
            (SqlError::AtEnd(thrown()), K::OutcomeUnknown),
            (SqlError::Column { column: 1, expected: "TEXT" }, K::Corrupt),
        ] {
            let error = error.into_store("could not read");
            assert_eq!(error.kind(), expected);
            let told = durable_session::ErrorChain(&error).to_string();
            assert_eq!(
                told.matches("SQLITE_IOERR").count(),
                usize::from(expected != K::Corrupt),
                "{told}"
            );
        }
    }

    #[test]
    fn integers_are_bound_within_what_javascript_holds() {
        assert_eq!(integer(7), SqlStorageValue::Integer(7));
        assert_eq!(integer(u64::MAX), SqlStorageValue::Integer((1 << 53) - 1));
    }
}
