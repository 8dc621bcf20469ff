//! The file of a store.

use crate::error::OpenError;
use redb::StorageBackend;
use redb::backends::FileBackend;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

/// The file at `path`, if it can be a store.
pub(crate) fn file_backend(
    path: &Path,
    writable: bool,
) -> Result<Box<dyn StorageBackend>, OpenError> {
    let failed = |e| OpenError::file("open", path, e);
    let found = fs::metadata(path).map_err(failed)?;
    if found.is_dir() {
        return Err(OpenError::IsDirectory { path: path.to_owned() });
    }
    if !found.is_file() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    let file = OpenOptions::new().read(true).write(writable).open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.len() == 0 {
        return Err(OpenError::EmptyFile { path: path.to_owned() });
    }
    Ok(Box::new(FileBackend::new(file).map_err(OpenError::redb)?))
}

/// Drops the cached pages of the file. After a failed sync the kernel may keep pages in memory,
/// marked clean, that never reached the disk.
#[cfg(target_os = "linux")]
pub(crate) fn forget_cached_pages(path: &Path) {
    use rustix::fs::{Advice, fadvise};
    let advised = fs::File::open(path).map(|file| fadvise(&file, 0, None, Advice::DontNeed));
    if !matches!(advised, Ok(Ok(()))) {
        tracing::warn!(
            "the cached pages of the file could not be dropped; verification may read them"
        );
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn forget_cached_pages(_: &Path) {}
