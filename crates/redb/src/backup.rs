//! Online backup: a consistent copy of a running store.

use crate::error::{BackupError, Fault, OpenError, caught};
use crate::layout::{Snapshot, meta};
use crate::new_file::NewFile;
use crate::shared_store::SharedStore;
use crate::tables::{Table, TableKey, Visit, visit_all};
use crate::view::View;
use durable_session::store::{Order, StoreError};
use redb::Database;
use std::path::Path;
use std::sync::Arc;

/// Bytes of a transaction of the copy: enough to be quick, few enough to hold in memory.
const CHUNK_BYTES: usize = 8 * 1024 * 1024;

/// The progress of a backup (in rows) or a verification (in messages).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Rows or messages done.
    pub done: u64,
    /// Rows or messages in all.
    pub total: u64,
}

/// Copies all rows, as they are stored, into a new file at `path`; damaged rows, too.
pub(crate) fn backup(
    shared: &SharedStore,
    path: &Path,
    mut progress: impl FnMut(Progress),
) -> Result<(), BackupError> {
    if path.exists() {
        return Err(OpenError::Exists { path: path.to_owned() }.into());
    }
    let new = NewFile::create(path, 4 * CHUNK_BYTES, &Arc::default())?;
    shared.read_detached("copying the store", |snapshot| {
        let Some(db) = new.db() else { return Ok(Ok(())) };
        let view = &snapshot.view;
        let mut job = CopyJob { view, db, next: 1, done: 0, total: 0, progress: &mut progress };
        match job.all() {
            Ok(()) => Ok(Ok(())),
            Err(CopyError::Target(error)) => Ok(Err(OpenError::redb(error).at(path))),
            Err(CopyError::Source(fault)) => Err(fault),
        }
    })??;
    // The whole copy is on the disk before it gets its name.
    Ok(new.close_and_publish()?)
}

/// The file that failed: a full disk of the copy is no failure of the store.
enum CopyError {
    Source(Fault),
    Target(redb::Error),
}

fn source(error: impl Into<Fault>) -> CopyError {
    CopyError::Source(error.into())
}

fn target(error: impl Into<redb::Error>) -> CopyError {
    CopyError::Target(error.into())
}

struct CopyJob<'a, P> {
    view: &'a View<'a>,
    db: &'a Database,
    /// A session number that no row has.
    next: u64,
    done: u64,
    total: u64,
    progress: &'a mut P,
}

impl<P: FnMut(Progress)> CopyJob<'_, P> {
    fn all(&mut self) -> Result<(), CopyError> {
        visit_all(&mut Count(self))?;
        let txn = self.db.begin_write().map_err(target)?;
        // Without a salt and a log: the first opening of the copy draws them.
        meta::create_tables(&txn, self.next).map_err(target)?;
        txn.commit().map_err(target)?;
        visit_all(self)
    }

    fn report(&mut self) {
        // A panic in the host's code must not look like a panic of redb.
        let now = Progress { done: self.done, total: self.total };
        let _ = caught(|| (self.progress)(now));
    }
}

/// Looks at all tables before they are copied.
struct Count<'j, 'a, P>(&'j mut CopyJob<'a, P>);

impl<P> Visit for Count<'_, '_, P> {
    type Error = CopyError;

    fn table<T: Table>(&mut self) -> Result<(), CopyError> {
        let view = self.0.view;
        self.0.total += view.at_most::<T>().map_err(source)?;
        let mut last = view.walk::<T>(.., Order::Backward);
        if let Some(number) = last.next().map_err(source)?.and_then(|entry| entry.key.number()) {
            self.0.next = self.0.next.max(number.saturating_add(1));
        }
        Ok(())
    }
}

impl<P: FnMut(Progress)> Visit for CopyJob<'_, P> {
    type Error = CopyError;

    fn table<T: Table>(&mut self) -> Result<(), CopyError> {
        let mut walk = self.view.walk::<T>(.., Order::Forward);
        let mut left = true;
        while left {
            left = false;
            let txn = self.db.begin_write().map_err(target)?;
            let mut table = txn.open_table(T::DEFINITION).map_err(target)?;
            let mut bytes = 0;
            while let Some(entry) = walk.next().map_err(source)? {
                let (key, row) = entry.read().map_err(source)?;
                table.insert(key.stored(), &row[..]).map_err(target)?;
                bytes += row.len();
                self.done += 1;
                if bytes >= CHUNK_BYTES {
                    left = true;
                    break;
                }
            }
            drop(table);
            txn.commit().map_err(target)?;
            self.report();
        }
        Ok(())
    }
}

impl SharedStore {
    /// Like [`read`](SharedStore::read), but closing and reopening do not wait for it: they end it.
    fn read_detached<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Snapshot<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let read = || {
            let (txn, layers) = self.begin_read()?;
            work(&Snapshot::new(txn, layers, self.salt()))
        };
        self.judged(caught(read).unwrap_or_else(|message| Err(Fault::Panic(message))), doing)
    }
}
