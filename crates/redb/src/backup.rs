//! Online backup: a consistent copy of a running store.

use crate::engine::Engine;
use crate::error::{BackupError, Fault, OpenError, caught};
use crate::layout::{self, Index, Snapshot, Tail};
use crate::open::{NewFile, Settings};
use durable_session::SessionId;
use durable_session::store::StoreError;
use redb::{Database, Key, ReadOnlyTable, ReadableTable, ReadableTableMetadata, TableDefinition, Value};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// One transaction of the copy: enough to be quick, little enough to hold in memory.
const CHUNK_BYTES: usize = 8 * 1024 * 1024;

/// How far a backup or a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Rows done.
    pub done: u64,
    /// Rows in all.
    pub total: u64,
}

/// Copies everything into a new file at `path`, row by row as it is stored, damaged rows included.
pub(crate) fn backup(
    engine: &Engine,
    path: &Path,
    mut progress: impl FnMut(Progress),
) -> Result<(), BackupError> {
    if path.exists() {
        return Err(OpenError::Exists { path: path.to_owned() }.into());
    }
    let new = NewFile::create(
        path,
        Settings { cache_bytes: 4 * CHUNK_BYTES, verify: false, log_bytes: 0 },
        &Arc::default(),
    )?;
    engine.read_detached("copying the store", |snapshot, meta, logged| {
        let Some(db) = new.db() else { return Ok(Ok(())) };
        let mut copy = Copy { db, done: 0, total: 0, progress: &mut progress };
        match copy.all(snapshot, meta, logged) {
            Ok(()) => Ok(Ok(())),
            Err(Broken::Target(error)) => Ok(Err(OpenError::redb(error).at(path))),
            Err(Broken::Source(fault)) => Err(fault),
        }
    })??;
    // On the disk as a whole before it gets its name.
    Ok(new.close_and_publish()?)
}

/// Which of the two files failed: the store is well when the disk of the copy is full.
enum Broken {
    Source(Fault),
    Target(redb::Error),
}

fn source(error: impl Into<Fault>) -> Broken {
    Broken::Source(error.into())
}

fn target(error: impl Into<redb::Error>) -> Broken {
    Broken::Target(error.into())
}

type Meta = ReadOnlyTable<&'static str, &'static [u8]>;
type Tails = HashMap<SessionId, Tail>;

struct Copy<'a, P> {
    db: &'a Database,
    done: u64,
    total: u64,
    progress: &'a mut P,
}

impl<P: FnMut(Progress)> Copy<'_, P> {
    fn all(&mut self, snapshot: &Snapshot, meta: &Meta, logged: &Tails) -> Result<(), Broken> {
        let Snapshot { index: Index { ids, heads }, rows } = snapshot;
        let messages: usize = logged.values().map(|tail| tail.rows().len()).sum();
        self.total = ids.len().map_err(source)?
            + heads.len().map_err(source)?
            + rows.len().map_err(source)?
            + messages as u64;
        let number = layout::meta::next_number(meta).map_err(source)?;
        let txn = self.db.begin_write().map_err(target)?;
        layout::meta::create_tables(&txn, number).map_err(target)?;
        txn.commit().map_err(target)?;
        self.table(ids, layout::IDS)?;
        self.table(heads, layout::HEADS)?;
        self.table(rows, layout::ROWS)?;
        self.logged(heads, logged)
    }

    fn table<K: Key + 'static, V: Value + 'static>(
        &mut self,
        from: &ReadOnlyTable<K, V>,
        to: TableDefinition<'_, K, V>,
    ) -> Result<(), Broken> {
        let mut entries = ReadableTable::iter(from).map_err(source)?;
        let mut left = true;
        while left {
            left = false;
            let txn = self.db.begin_write().map_err(target)?;
            let mut table = txn.open_table(to).map_err(target)?;
            let mut bytes = 0;
            for entry in entries.by_ref() {
                let (key, value) = entry.map_err(source)?;
                table.insert(key.value(), value.value()).map_err(target)?;
                bytes += V::as_bytes(&value.value()).as_ref().len();
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

    /// What the logs hold goes into the tables: the copy needs no log.
    fn logged(&mut self, heads: &ReadOnlyTable<u64, &'static [u8]>, logged: &Tails) -> Result<(), Broken> {
        let txn = self.db.begin_write().map_err(target)?;
        let mut to_heads = txn.open_table(layout::HEADS).map_err(target)?;
        let mut to_rows = txn.open_table(layout::ROWS).map_err(target)?;
        for (id, tail) in logged {
            for (place, row) in tail.counting(id, heads).map_err(source)? {
                to_rows.insert(place, row).map_err(target)?;
            }
            if let Some((number, row)) = tail.counting_head(id, heads).map_err(source)? {
                to_heads.insert(number, row).map_err(target)?;
            }
            self.done += tail.rows().len() as u64;
        }
        drop((to_heads, to_rows));
        txn.commit().map_err(target)?;
        self.report();
        Ok(())
    }

    fn report(&mut self) {
        // The host's code: a panic in it must not look like one of redb.
        let now = Progress { done: self.done, total: self.total };
        let _ = caught(|| (self.progress)(now));
    }
}

impl Engine {
    /// Like [`read`](Engine::read), but other work does not wait for it: closing or reopening the database ends it.
    fn read_detached<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Snapshot, &Meta, &Tails) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let read = || {
            let (txn, logged) = self.begin_read(|logged| logged.tails(true))?;
            let (snapshot, meta) = (Snapshot::open(&txn)?, txn.open_table(layout::META)?);
            work(&snapshot, &meta, &logged)
        };
        self.told(caught(read).unwrap_or_else(|message| Err(Fault::Panic(message))), doing)
    }
}
