//! A file that gets its name when it is complete.

use crate::backend::{MonitoredBackend, Storage, StorageMonitor};
use crate::error::{OpenError, caught, guarded};
use crate::layout::meta::{self, Create};
use durable_session::env::{Random, SystemRandom};
use redb::Database;
use redb::backends::FileBackend;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A store without a log that is written under a temporary name, so that `path` never names an
/// incomplete file.
pub(crate) struct NewFile {
    db: Option<Database>,
    temporary: PathBuf,
    path: PathBuf,
}

impl NewFile {
    pub(crate) fn create(
        path: &Path,
        cache_bytes: usize,
        monitor: &Arc<StorageMonitor>,
    ) -> Result<Self, OpenError> {
        let failed = |e| OpenError::file("create", path, e);
        let name = path.file_name().ok_or_else(|| {
            failed(io::Error::new(io::ErrorKind::InvalidInput, "the path has no file name"))
        })?;
        let mut suffix = [0; 8];
        SystemRandom.fill(&mut suffix).map_err(|e| failed(io::Error::other(e)))?;
        let suffix = suffix.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        let temporary = path.with_file_name(format!(".{}.{suffix}.new", name.to_string_lossy()));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&temporary)
            .map_err(failed)?;
        let mut new = Self { db: None, temporary, path: path.to_owned() };
        let backend = FileBackend::new(file).map_err(OpenError::redb)?;
        let storage = Arc::new(Storage::new(Box::new(backend)));
        let backend = MonitoredBackend::new(storage, Arc::clone(monitor));
        let opened = guarded(|| {
            let db = Database::builder()
                .set_cache_size(cache_bytes)
                .create_with_backend(backend)
                .map_err(OpenError::redb)?;
            meta::prepare(&db, Create::IfEmpty)?;
            Ok(db)
        });
        new.db = Some(opened.map_err(|error| error.at(path))?);
        Ok(new)
    }

    pub(crate) fn db(&self) -> Option<&Database> {
        self.db.as_ref()
    }

    /// Gives the file its name, durably, and returns the open database.
    pub(crate) fn publish(mut self) -> Result<Database, OpenError> {
        self.name_it()?;
        self.db.take().ok_or_else(|| OpenError::damaged("the new store is not open"))
    }

    /// Closes the file, then gives it its name.
    pub(crate) fn close_and_publish(mut self) -> Result<(), OpenError> {
        if let Some(db) = self.db.take() {
            guarded(|| db.close().map_err(OpenError::redb))
                .map_err(|error| error.at(&self.path))?;
        }
        self.name_it()
    }

    /// Renames by a hard link, which never overwrites.
    fn name_it(&self) -> Result<(), OpenError> {
        let failed = |e| OpenError::file("create", &self.path, e);
        match fs::hard_link(&self.temporary, &self.path) {
            Ok(()) => fs::remove_file(&self.temporary).map_err(failed)?,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                return Err(OpenError::Exists { path: self.path.clone() });
            }
            // Some file systems have no hard links.
            Err(_) if !self.path.exists() => {
                fs::rename(&self.temporary, &self.path).map_err(failed)?;
            }
            Err(_) => return Err(OpenError::Exists { path: self.path.clone() }),
        }
        sync_directory(&self.path).map_err(failed)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        let db = self.db.take();
        // Does nothing once the file has its name.
        let _ = fs::remove_file(&self.temporary);
        let _ = caught(|| drop(db));
    }
}

/// Makes the new name survive power loss.
fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let directory =
            path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}
