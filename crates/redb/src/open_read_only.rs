//! Opening a store for reading, without writing a byte: after a clean stop, after a crash, or
//! damaged.
//!
//! After an unclean stop redb repairs a file before it reads it. Over an [`Overlay`] the repair
//! stays in memory. A damaged page can prevent the repair, and then the file is read without it,
//! since each commit leaves whole trees: with flags that say it was closed in order, first at the
//! last commit, then at the one before.

use crate::backend::Storage;
use crate::error::{OpenError, guarded};
use crate::layout::meta;
use crate::memtable::Memtable;
use crate::opened::{Context, Opened};
use crate::overlay::Overlay;
use crate::pair::{self, ReadChanges};
use crate::shared_store::Db;
use crate::store_file::file_backend;
use durable_session::store::{Salt, StoreError, StoreErrorKind};
use redb::{ConcurrencyMode, Database, StorageBackend};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Offset of the flags in redb's header, and the flags.
const FLAGS_AT: u64 = 9;
const SECOND_SLOT: u8 = 1;
const NOT_CLOSED: u8 = 2;
const NOT_FLUSHED: u8 = 8;

/// The states of a file that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// As redb repairs it.
    Repaired,
    /// Unrepaired, at the last commit.
    Last,
    /// Unrepaired, at the commit before.
    Earlier,
}

const STATES: [State; 3] = [State::Repaired, State::Last, State::Earlier];

/// Opens the store in the file at `path` for reading.
pub(crate) fn file(path: &Path, context: Context<'_>) -> Result<Opened, OpenError> {
    if !path.exists() {
        let log = pair::any_segment(&**context.log);
        return Err(OpenError::FileMissing { path: path.to_owned(), log });
    }
    storage(file_backend(path, false)?, context).map_err(|error| error.at(path))
}

/// Opens the store in the storage of a host for reading.
pub(crate) fn storage(
    backend: Box<dyn StorageBackend>,
    context: Context<'_>,
) -> Result<Opened, OpenError> {
    let storage = Arc::new(Storage::new(backend));
    let opened = opened(&storage, context);
    match &opened {
        Ok(_) => context.monitor.watch(storage),
        Err(_) => drop(storage.close()),
    }
    opened
}

fn opened(storage: &Arc<Storage>, context: Context<'_>) -> Result<Opened, OpenError> {
    let failed = |e| OpenError::io("the file cannot be read", e);
    if !storage.lock_shared().map_err(failed)? {
        return Err(OpenError::AlreadyOpen { path: None, waited: Duration::ZERO });
    }
    let (db, state) = readable(storage, context.settings.cache_bytes)?;
    match guarded(|| read_log(&db, state, context)) {
        Ok(ReadLog { memtable, salt, torn, damage }) => {
            Ok(Opened { db, memtable, log: None, salt, verified: false, torn, damage })
        }
        Err(error) => {
            drop_read(storage, db);
            Err(error)
        }
    }
}

/// The log of a database that is open for reading.
struct ReadLog {
    memtable: Memtable,
    salt: Salt,
    torn: u64,
    damage: Option<StoreError>,
}

fn read_log(db: &Db, state: State, context: Context<'_>) -> Result<ReadLog, OpenError> {
    let stored = meta::readable_identity(db.readable());
    let changes = pair::read_only(&stored, &**context.log, context.settings)?;
    let ReadChanges { memtable, damage, torn } = changes;
    // A copy has none, and a damaged one may have lost it.
    let salt = stored.salt.map_or_else(|| meta::draw_salt(&**context.random), Ok)?;
    let damage = match (state, damage) {
        (State::Repaired, damage) => damage.map(|damage| damage.to_string()),
        (State::Last | State::Earlier, _) => Some("redb cannot repair the file".into()),
    };
    let damage = damage.map(|damage| StoreError::new(StoreErrorKind::Corrupt, damage));
    Ok(ReadLog { memtable, salt, torn, damage })
}

/// Whether the database in a storage that is locked can be read.
pub(crate) fn is_readable(storage: &Arc<Storage>, cache_bytes: usize) -> bool {
    match readable(storage, cache_bytes) {
        Ok((db, _)) => drop_read(storage, db),
        Err(_) => return false,
    }
    true
}

/// Also the writes to an overlay end in a panic if the pages are damaged.
fn drop_read(storage: &Storage, db: Db) {
    match db {
        Db::Own(db) => storage.drop_unwritten(db),
        Db::ReadOnly(db) => drop(db),
    }
}

/// The first error is the one to report.
fn readable(storage: &Arc<Storage>, cache_bytes: usize) -> Result<(Db, State), OpenError> {
    let mut refusal = None;
    for state in STATES {
        match guarded(|| open_at(storage, state, cache_bytes)) {
            Ok(db) => {
                if state != State::Repaired {
                    tracing::error!(?state, "the file is damaged; it is read unrepaired");
                }
                return Ok((db, state));
            }
            Err(error @ (OpenError::Damaged { .. } | OpenError::ForeignDatabase)) => {
                tracing::warn!(%error, ?state, "a state of the damaged file cannot be read");
                refusal.get_or_insert(error);
            }
            Err(error) => return Err(refusal.unwrap_or(error)),
        }
    }
    Err(refusal.unwrap_or_else(|| OpenError::damaged("no state of the file can be read")))
}

fn open_at(storage: &Arc<Storage>, state: State, cache_bytes: usize) -> Result<Db, OpenError> {
    let overlay = Overlay::over(Arc::clone(storage))
        .map_err(|e| OpenError::io("the file cannot be read", e))?;
    let mut builder = Database::builder();
    builder.set_cache_size(cache_bytes);
    let db = if state == State::Repaired {
        Db::Own(builder.create_with_backend(overlay).map_err(OpenError::redb)?)
    } else {
        pretend_closed(&overlay, state == State::Earlier)
            .map_err(|e| OpenError::io("the file cannot be read", e))?;
        // In this mode redb asks for no list of free pages.
        builder.set_concurrency_mode(ConcurrencyMode::SingleWriter);
        Db::ReadOnly(builder.open_read_only_with_backend(overlay).map_err(OpenError::redb)?)
    };
    match guarded(|| meta::check_readable(db.readable())) {
        Ok(()) => Ok(db),
        Err(error) => {
            drop_read(storage, db);
            Err(error)
        }
    }
}

/// Changes the flags in the header, in memory.
fn pretend_closed(overlay: &Overlay, earlier: bool) -> io::Result<()> {
    let mut flags = [0];
    overlay.read(FLAGS_AT, &mut flags)?;
    flags[0] &= !(NOT_CLOSED | NOT_FLUSHED);
    flags[0] ^= if earlier { SECOND_SLOT } else { 0 };
    overlay.write(FLAGS_AT, &flags)
}
