//! Opening, creating and reopening the database under a store.

use crate::backend::{Watch, Watched};
use crate::engine::Db;
use crate::error::{OpenError, caught};
use crate::layout::meta::{self, Create};
use crate::layout::{self, Logged, Position};
use crate::salvage;
use durable_session::env::{Random, SystemRandom};
use redb::backends::FileBackend;
use redb::{Database, DatabaseError, StorageBackend, StorageError};
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where the database comes from, and so whether it can be had again.
pub(crate) enum Source {
    /// A file of our own: reopened after a failure.
    File(PathBuf),
    /// Storage that can be had again.
    Storage(Storage),
    /// Storage that the host gave once.
    Backend,
    /// A database that the host shares.
    Host,
}

/// Gives the same storage anew, each time it is asked.
pub(crate) type Storage = Box<dyn FnMut() -> io::Result<Box<dyn StorageBackend>> + Send>;

impl Source {
    pub(crate) fn can_be_had_again(&self) -> bool {
        matches!(self, Self::File(_) | Self::Storage(_))
    }
}

/// How to open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) cache_bytes: usize,
    /// Check every page's checksum before trusting the file.
    pub(crate) verify: bool,
    /// How many bytes make a log full; 0: nothing is logged.
    pub(crate) log_bytes: u64,
}

/// A store that was just opened.
pub(crate) struct Opened {
    pub(crate) db: Db,
    pub(crate) logged: Logged,
    pub(crate) position: Position,
}

impl Opened {
    /// One whose logs are not written.
    pub(crate) fn to_read_only(db: Db, logged: Logged) -> Self {
        Self { db, logged, position: Position::none() }
    }
}

/// How often opening looks whether the file was let go.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Opens with `open`, again and again for at most `patience` while another store has the file.
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

/// Opens the store in the file at `path`, or creates it if nothing is there.
pub(crate) fn file(path: &Path, settings: Settings, watch: &Arc<Watch>) -> Result<Opened, OpenError> {
    match fs::metadata(path) {
        Ok(_) => existing_file(path, settings, watch),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let new = NewFile::create(path, settings, watch)?;
            match new.publish() {
                Err(OpenError::Exists { .. }) => existing_file(path, settings, watch),
                created => created,
            }
        }
        Err(e) => Err(OpenError::file("open", path, e)),
    }
}

fn existing_file(path: &Path, settings: Settings, watch: &Arc<Watch>) -> Result<Opened, OpenError> {
    let failed = |e| OpenError::file("open", path, e);
    let found = fs::metadata(path).map_err(failed)?;
    if found.is_dir() {
        return Err(OpenError::IsDirectory { path: path.to_owned() });
    }
    if !found.is_file() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")));
    }
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.len() == 0 {
        return Err(OpenError::EmptyFile { path: path.to_owned() });
    }
    let backend = FileBackend::new(file).map_err(OpenError::redb)?;
    backend_with(Box::new(backend), settings, watch, Create::Never).map_err(|error| error.at(path))
}

/// Opens a store on storage that is given once; empty storage becomes a new store.
pub(crate) fn backend(
    backend: Box<dyn StorageBackend>,
    settings: Settings,
    watch: &Arc<Watch>,
) -> Result<Opened, OpenError> {
    backend_with(backend, settings, watch, Create::IfEmpty)
}

/// Makes a store of, or finds it in, a database of the host. Others may write to it, so nothing stays in its logs.
pub(crate) fn host(db: &Database) -> Result<(), OpenError> {
    guarded(|| {
        meta::prepare(db, Create::Always)?;
        layout::empty_logs(db)
    })
}

/// Opens the storage that `storage` gives.
pub(crate) fn storage(
    storage: &mut Storage,
    settings: Settings,
    watch: &Arc<Watch>,
    create: Create,
) -> Result<Opened, OpenError> {
    let given = caught(storage)
        .unwrap_or_else(|message| Err(io::Error::other(message)))
        .map_err(|e| OpenError::io("getting the storage from the host", e))?;
    backend_with(given, settings, watch, create)
}

/// Opens the store again, from the disk and not from what memory makes of it, checking every page.
pub(crate) fn again(
    source: &mut Source,
    settings: Settings,
    watch: &Arc<Watch>,
) -> Result<Opened, OpenError> {
    let settings = Settings { verify: true, ..settings };
    match source {
        Source::File(path) => {
            forget_cached_pages(path);
            existing_file(path, settings, watch)
        }
        Source::Storage(given) => storage(given, settings, watch, Create::Never),
        Source::Backend => Err(OpenError::HostMustReopen { what: "storage backend" }),
        Source::Host => Err(OpenError::HostMustReopen { what: "database" }),
    }
}

fn backend_with(
    backend: Box<dyn StorageBackend>,
    settings: Settings,
    watch: &Arc<Watch>,
    create: Create,
) -> Result<Opened, OpenError> {
    watch.opening(true);
    let backend = Watched::new(backend, Arc::clone(watch));
    let mut storage = None;
    let opened = guarded(|| {
        let db = Database::builder()
            .set_cache_size(settings.cache_bytes)
            .set_check_integrity_on_open(settings.verify)
            .create_with_backend(backend)
            .map_err(OpenError::redb)?;
        let prepared =
            meta::prepare(&db, create).and_then(|()| layout::log::recover(&db, settings.log_bytes));
        match prepared {
            Ok((logged, position)) => Ok(Opened { db: Db::Own(db), logged, position }),
            Err(error @ OpenError::Damaged { .. }) => {
                storage = watch.take();
                put_down(db);
                Err(error)
            }
            Err(error) => Err(error),
        }
    });
    watch.opening(false);
    match opened {
        Err(OpenError::Damaged { what, source, .. }) => {
            let storage = storage.or_else(|| watch.take());
            let left = storage.and_then(|storage| salvage::open(storage, settings.cache_bytes, watch));
            match left {
                Some(left) if !settings.verify => Ok(left),
                left => Err(OpenError::Damaged { what, readable: left.is_some(), source }),
            }
        }
        Err(error) => {
            watch.cut();
            Err(error)
        }
        Ok(opened) => Ok(opened),
    }
}

/// Puts down a database whose file may be damaged: redb would write to it as it closes, and may panic.
pub(crate) fn take_away(db: Database, watch: &Watch) {
    watch.cut();
    put_down(db);
}

/// Puts down a database whose storage was taken.
fn put_down(mut db: Database) {
    // Once redb has seen its storage fail it lets everything be, and this asks the storage for something.
    match caught(|| db.check_integrity()) {
        Ok(Err(DatabaseError::Storage(StorageError::Io(_) | StorageError::PreviousIo))) => {
            if let Err(message) = caught(|| drop(db)) {
                tracing::warn!(message, "redb panicked while the database was put down");
            }
        }
        // It is still being read, or cannot even be asked: its memory is the price for the process.
        _ => std::mem::forget(db),
    }
}

fn guarded<T>(work: impl FnOnce() -> Result<T, OpenError>) -> Result<T, OpenError> {
    caught(work).unwrap_or_else(|message| Err(OpenError::damaged(format!("redb panicked on it ({message})"))))
}

/// A store that is being written under a temporary name: nobody ever finds a half-made file at `path`.
pub(crate) struct NewFile {
    opened: Option<Opened>,
    temporary: PathBuf,
    path: PathBuf,
}

impl NewFile {
    pub(crate) fn create(path: &Path, settings: Settings, watch: &Arc<Watch>) -> Result<Self, OpenError> {
        let failed = |e| OpenError::file("create", path, e);
        let name = path
            .file_name()
            .ok_or_else(|| failed(io::Error::new(io::ErrorKind::InvalidInput, "it names no file")))?;
        let mut suffix = [0; 8];
        SystemRandom.fill(&mut suffix).map_err(|e| failed(io::Error::other(e)))?;
        let suffix = suffix.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        let temporary = path.with_file_name(format!(".{}.{suffix}.new", name.to_string_lossy()));
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).open(&temporary).map_err(failed)?;
        let mut new = Self { opened: None, temporary, path: path.to_owned() };
        let backend = FileBackend::new(file).map_err(OpenError::redb)?;
        let opened = backend_with(Box::new(backend), settings, watch, Create::IfEmpty);
        new.opened = Some(opened.map_err(|error| error.at(path))?);
        Ok(new)
    }

    pub(crate) fn db(&self) -> Option<&Database> {
        self.opened.as_ref().and_then(|opened| opened.db.writable().ok())
    }

    /// Gives the file its name, durably, and hands out the open database.
    pub(crate) fn publish(mut self) -> Result<Opened, OpenError> {
        self.name_it()?;
        self.opened.take().ok_or_else(|| OpenError::damaged("the new store was closed before it was named"))
    }

    /// Closes the file, then gives it its name.
    pub(crate) fn close_and_publish(mut self) -> Result<(), OpenError> {
        if let Some(Opened { db: Db::Own(db), .. }) = self.opened.take() {
            guarded(|| db.close().map_err(OpenError::redb)).map_err(|error| error.at(&self.path))?;
        }
        self.name_it()
    }

    /// A hard link fails where a rename would overwrite.
    fn name_it(&self) -> Result<(), OpenError> {
        let failed = |e| OpenError::file("create", &self.path, e);
        match fs::hard_link(&self.temporary, &self.path) {
            Ok(()) => fs::remove_file(&self.temporary).map_err(failed)?,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                return Err(OpenError::Exists { path: self.path.clone() });
            }
            // Some file systems have no hard links.
            Err(_) if !self.path.exists() => fs::rename(&self.temporary, &self.path).map_err(failed)?,
            Err(_) => return Err(OpenError::Exists { path: self.path.clone() }),
        }
        sync_directory(&self.path).map_err(failed)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        let db = self.opened.take();
        // Once published, the temporary name is gone and this does nothing.
        let _ = fs::remove_file(&self.temporary);
        let _ = caught(|| drop(db));
    }
}

/// Makes the new name itself survive power loss.
fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// After a failed sync the kernel may keep pages in memory, marked clean, that never reached the disk.
#[cfg(target_os = "linux")]
fn forget_cached_pages(path: &Path) {
    use rustix::fs::{Advice, fadvise};
    let advised = File::open(path).map(|file| fadvise(&file, 0, None, Advice::DontNeed));
    if !matches!(advised, Ok(Ok(()))) {
        tracing::warn!("the cached pages of the store's file could not be dropped before it is verified");
    }
}

#[cfg(not(target_os = "linux"))]
fn forget_cached_pages(_: &Path) {}
