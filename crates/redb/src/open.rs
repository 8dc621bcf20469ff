//! Opening, creating and reopening the two parts of a store: its database and its log.

use crate::backend::{MonitoredBackend, Storage, StorageMonitor};
use crate::check;
use crate::error::{OpenError, caught, guarded};
use crate::layout::meta::{self, Create};
use crate::new_file::NewFile;
use crate::open_read_only;
use crate::opened::{Context, OpenCheck, Opened, Place, Settings, Source, StorageFactory};
use crate::pair::{self, Paired};
use crate::shared_store::Db;
use crate::store_file::{file_backend, forget_cached_pages};
use crate::wal::{LogId, Position};
use durable_session::env::Random;
use redb::{Database, StorageBackend};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time between two attempts to open a file that another store has open.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Calls `open` until it succeeds, for up to `patience` while another store has the file open.
pub(crate) fn patiently(
    patience: Duration,
    mut open: impl FnMut() -> Result<Opened, OpenError>,
) -> Result<Opened, OpenError> {
    let began = Instant::now();
    loop {
        match open() {
            Err(OpenError::AlreadyOpen { path, .. }) => {
                let waited = began.elapsed();
                if waited >= patience {
                    let waited = if patience.is_zero() { patience } else { waited };
                    return Err(OpenError::AlreadyOpen { path, waited });
                }
                std::thread::sleep(LOOK_AGAIN.min(patience.saturating_sub(waited)));
            }
            opened => return opened,
        }
    }
}

/// Opens the store in the file at `path`; creates it if there is no file.
pub(crate) fn file(path: &Path, context: Context<'_>) -> Result<Opened, OpenError> {
    match fs::metadata(path) {
        Ok(_) => existing_file(path, context),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            match pair::refuse_a_log_without_a_file(path, &**context.log) {
                // Another store has created the file, and then its log, since the first look.
                Err(OpenError::FileMissing { .. }) if path.exists() => {
                    return existing_file(path, context);
                }
                looked => looked?,
            }
            let new = NewFile::create(path, context.settings.cache_bytes, context.monitor)?;
            match new.publish() {
                Err(OpenError::Exists { .. }) => existing_file(path, context),
                Err(error) => Err(error),
                Ok(db) => with_log(db, true, context),
            }
        }
        Err(e) => Err(OpenError::file("open", path, e)),
    }
}

fn existing_file(path: &Path, context: Context<'_>) -> Result<Opened, OpenError> {
    let backend = file_backend(path, true)?;
    let storage = Arc::new(Storage::new(backend));
    opened_with(&storage, Create::Never, context).map_err(|error| error.at(path))
}

/// Opens a store on storage that the host gave; empty storage becomes a new store.
pub(crate) fn backend(
    backend: Box<dyn StorageBackend>,
    context: Context<'_>,
) -> Result<Opened, OpenError> {
    opened_with(&Arc::new(Storage::new(backend)), Create::IfEmpty, context)
}

/// Opens both parts again, as they are on the disk and not as they are in memory.
pub(crate) fn reopen(
    source: &mut Source,
    settings: Settings,
    monitor: &Arc<StorageMonitor>,
    random: &Arc<dyn Random>,
) -> Result<Opened, OpenError> {
    let backend = match &mut source.place {
        Place::File(path) => {
            if !path.exists() {
                return Err(OpenError::FileMissing { path: path.clone(), log: None });
            }
            forget_cached_pages(path);
            file_backend(path, true)?
        }
        Place::Storage(given) => given_by_host(given)?,
        Place::Backend => return Err(OpenError::HostMustReopen),
    };
    pair::forget_cached(&*source.log);
    // Said of the first opening.
    let settings = Settings { restored: false, accept_missing_log: false, ..settings };
    let context = Context { log: &source.log, settings, monitor, random };
    let opened = opened_with(&Arc::new(Storage::new(backend)), Create::Never, context);
    opened.map_err(|error| source.place.named(error))
}

/// Opens the database again after its storage failed. It must be the one to which `log` belongs,
/// and have no changes after position `last`. The lock of a file is kept. Storage of a host is
/// closed and asked for again: the pages in its cache may never have reached the disk.
pub(crate) fn database_again(
    failed: Box<dyn StorageBackend>,
    place: &mut Place,
    context: Context<'_>,
    log: Option<LogId>,
    last: Position,
) -> Result<Database, OpenError> {
    let backend = match place {
        Place::File(path) => {
            forget_cached_pages(path);
            failed
        }
        Place::Storage(given) => {
            if let Err(error) = failed.close() {
                tracing::warn!(%error, "the storage was not closed in order");
            }
            drop(failed);
            given_by_host(given)?
        }
        Place::Backend => return Err(OpenError::HostMustReopen),
    };
    let storage = Arc::new(Storage::new(backend));
    // It is verified later, while what is found is served.
    let settings = Settings { check: OpenCheck::Background, ..context.settings };
    let context = Context { settings, ..context };
    let db = database(&storage, Create::Never, context).map_err(|error| place.named(error))?;
    match meta::identity(&db) {
        Ok(found) if found.log == log && found.flushed <= last => Ok(db),
        found => {
            context.monitor.drop_without_writes(db);
            Err(found
                .err()
                .unwrap_or_else(|| OpenError::damaged("it is another store than before")))
        }
    }
}

/// Opens a store on the storage that the host gives; empty storage becomes a new store.
pub(crate) fn storage(
    factory: &mut StorageFactory,
    context: Context<'_>,
) -> Result<Opened, OpenError> {
    backend(given_by_host(factory)?, context)
}

/// Asks the host for its storage.
fn given_by_host(factory: &mut StorageFactory) -> Result<Box<dyn StorageBackend>, OpenError> {
    caught(factory)
        .unwrap_or_else(|message| Err(io::Error::other(message)))
        .map_err(|e| OpenError::io("the host did not give its storage", e))
}

fn opened_with(
    storage: &Arc<Storage>,
    create: Create,
    context: Context<'_>,
) -> Result<Opened, OpenError> {
    let new = create == Create::IfEmpty && storage.len().is_ok_and(|len| len == 0);
    with_log(database(storage, create, context)?, new, context)
}

/// Opens the database in `storage` and checks that it holds a store.
fn database(
    storage: &Arc<Storage>,
    create: Create,
    context: Context<'_>,
) -> Result<Database, OpenError> {
    let Context { settings, monitor, .. } = context;
    monitor.opening(true);
    let backend = MonitoredBackend::new(Arc::clone(storage), Arc::clone(monitor));
    let opened = guarded(|| {
        let db = Database::builder()
            .set_cache_size(settings.cache_bytes)
            .set_check_integrity_on_open(settings.check == OpenCheck::First)
            .create_with_backend(backend)
            .map_err(OpenError::redb)?;
        match meta::prepare(&db, create) {
            Ok(()) => Ok(db),
            Err(error @ OpenError::Damaged { .. }) => {
                // The storage stays for an attempt to read what is left.
                storage.drop_unwritten(db);
                Err(error)
            }
            // A database of another application is closed in order.
            Err(error) => db.close().map_err(OpenError::redb).and(Err(error)),
        }
    });
    monitor.opening(false);
    opened.map_err(|error| with_advice(error, storage, settings))
}

/// Closes the storage of a database that cannot be opened; says in the error whether a damaged one
/// can be read.
fn with_advice(error: OpenError, storage: &Arc<Storage>, settings: Settings) -> OpenError {
    let error = match error {
        OpenError::Damaged { damage, source, .. } => {
            let readable = open_read_only::is_readable(storage, settings.cache_bytes);
            OpenError::Damaged { damage, readable, source }
        }
        error => error,
    };
    if let Err(error) = storage.close() {
        tracing::warn!(%error, "the storage was not closed in order");
    }
    error
}

/// Opens or begins the log that belongs to the database.
fn with_log(db: Database, new: bool, context: Context<'_>) -> Result<Opened, OpenError> {
    let Context { log, settings, monitor, random } = context;
    let storage = monitor.storage();
    let verified = new || settings.check != OpenCheck::Background;
    let verify = || if verified { Ok(()) } else { check::verify_file(Arc::clone(&storage)) };
    match guarded(|| pair::pair(&db, log, settings, random, verify)) {
        Ok(Paired { log, memtable, salt, torn, verified: now_verified }) => Ok(Opened {
            db: Db::Own(db),
            memtable,
            log: Some(log),
            salt,
            verified: verified || now_verified,
            torn,
            damage: None,
        }),
        Err(error) => {
            monitor.opening(true);
            storage.drop_unwritten(db);
            monitor.opening(false);
            Err(with_advice(error, &storage, settings))
        }
    }
}
