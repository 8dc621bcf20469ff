//! What can go wrong while a store is opened or copied, and what to do about it.

use durable_session::store::{StoreError, StoreErrorKind};
use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A store could not be opened, created or reopened. Nothing that was stored has been changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The path names a directory.
    #[error("{path} is a directory; name a file in it")]
    IsDirectory {
        /// The path.
        path: PathBuf,
    },
    /// The file exists and is empty. A store is never empty, so this is not taken for a new one.
    #[error(
        "{path} is an empty file and not a store; if nothing was lost here, remove it and it will be \
         created anew"
    )]
    EmptyFile {
        /// The path.
        path: PathBuf,
    },
    /// The file exists already (a backup never overwrites).
    #[error("{path} exists already; choose another name or remove it")]
    Exists {
        /// The path.
        path: PathBuf,
    },
    /// The file is not a redb database.
    #[error("this is not a redb database; check the path, or restore a backup if it should be one")]
    NotADatabase(#[source] redb::Error),
    /// A redb database, but not one of this library.
    #[error("this redb database holds no durable-session store; check the path")]
    ForeignDatabase,
    /// The store, or the redb file under it, was written by another release.
    #[error(
        "the store has layout {found}, this release knows layouts up to {supported}; use a newer release"
    )]
    NewerFormat {
        /// The layout of the file.
        found: u64,
        /// The newest layout that this release knows.
        supported: u64,
    },
    /// The file has a newer redb file format.
    #[error(
        "the file has a newer redb file format than this release knows; use the release that wrote it, or \
         restore a backup if no newer one did"
    )]
    NewerFileFormat(#[source] redb::Error),
    /// The file has an old redb file format.
    #[error(
        "the file has redb file format {found}, which this release of redb cannot open; upgrade it with the \
         redb that wrote it, or restore a backup if no older one did"
    )]
    OldFileFormat {
        /// The format of the file.
        found: u8,
    },
    /// This or another process has the file open.
    #[error("{}", already_open(path.as_deref(), *waited))]
    AlreadyOpen {
        /// The file; none for storage of the host.
        path: Option<PathBuf>,
        /// How long opening waited for it, see
        /// [`wait_for_lock`](crate::RedbStoreBuilder::wait_for_lock).
        waited: Duration,
    },
    /// The file is damaged: truncated, or altered by something other than redb.
    #[error("the store is damaged: {what}; {}", after_damage(*readable))]
    Damaged {
        /// What was found.
        what: Cow<'static, str>,
        /// Whether [`verify_on_open(false)`](crate::RedbStoreBuilder::verify_on_open) opens it, to read
        /// what is left. `false` where that was just tried.
        readable: bool,
        /// The error below it, if there is one.
        #[source]
        source: Option<std::io::Error>,
    },
    /// The disk or the operating system refused.
    #[error("{what}")]
    Io {
        /// What was being done, and what to do about it where that is known.
        what: Cow<'static, str>,
        /// The reason.
        #[source]
        source: std::io::Error,
    },
    /// The store works on a database or backend of its host, which alone can open it again.
    #[error("only the host can open this {what} again; then build a new store over it")]
    HostMustReopen {
        /// The database or the storage backend.
        what: &'static str,
    },
    /// Something that has no better name here.
    #[error(transparent)]
    Redb(redb::Error),
}

const IO_FAILED: &str = "the store's storage cannot be read or written";

fn already_open(path: Option<&Path>, waited: Duration) -> String {
    let file = path.map_or_else(|| "the storage".to_owned(), |path| path.display().to_string());
    let close = "close the other store: close() returns when the file is free, a dropped store closes it in the \
                 background";
    if waited.is_zero() {
        format!(
            "{file} is already open, in this process or another; {close}; RedbStoreBuilder::wait_for_lock makes \
             opening wait"
        )
    } else {
        format!("{file} is still open after {waited:.1?}, in this process or another; {close}")
    }
}

fn after_damage(readable: bool) -> &'static str {
    if readable {
        "restore a backup, or open a copy of the file with verify_on_open(false) to read what is left"
    } else {
        "nothing in it can be read; restore a backup"
    }
}

/// A backup was not made. There is no new file at its path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The new file could not be written: it exists already, its folder is missing, the disk is full.
    #[error(transparent)]
    Target(#[from] OpenError),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl OpenError {
    pub(crate) fn damaged(what: impl Into<Cow<'static, str>>) -> Self {
        Self::Damaged { what: what.into(), readable: false, source: None }
    }

    pub(crate) fn io(what: impl Into<Cow<'static, str>>, source: std::io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }

    /// The operating system refused to `open` or `create` the file at `path`.
    pub(crate) fn file(doing: &str, path: &Path, source: std::io::Error) -> Self {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new(".")).display();
        let why = match source.kind() {
            ErrorKind::NotFound => format!(": the folder {folder} does not exist; create it first"),
            ErrorKind::NotADirectory => format!(": {folder} is not a folder; check the path"),
            ErrorKind::PermissionDenied => {
                format!("; give this process the right to read and write it, and to create files in {folder}")
            }
            ErrorKind::ReadOnlyFilesystem => {
                ": its file system is read-only, and the store writes to its file; copy it to another".into()
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                ": there is no room for it; make room or choose another disk".into()
            }
            _ => String::new(),
        };
        Self::Io { what: format!("cannot {doing} {}{why}", path.display()).into(), source }
    }

    pub(crate) fn redb(error: impl Into<redb::Error>) -> Self {
        match error.into() {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
                Self::AlreadyOpen { path: None, waited: Duration::ZERO }
            }
            redb::Error::UpgradeRequired(found) => Self::OldFileFormat { found },
            // redb has no error of its own for this.
            redb::Error::Corrupted(what) if what.starts_with("Expected file format version <=") => {
                Self::NewerFileFormat(redb::Error::Corrupted(what))
            }
            redb::Error::Corrupted(what) => Self::damaged(format!("redb finds it corrupted ({what})")),
            // The store has made its tables itself.
            redb::Error::TableDoesNotExist(name) => Self::damaged(format!("the table {name} is missing")),
            error @ (redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TableIsNotMultimap(_)
            | redb::Error::TypeDefinitionChanged { .. }) => {
                Self::damaged(format!("a table is not of its type ({error})"))
            }
            redb::Error::Io(e) if e.kind() == ErrorKind::InvalidData => {
                Self::NotADatabase(redb::Error::Io(e))
            }
            redb::Error::Io(e) if e.kind() == ErrorKind::UnexpectedEof => {
                Self::Damaged { what: "it ends too early".into(), readable: false, source: Some(e) }
            }
            redb::Error::Io(source) => Self::io(IO_FAILED, source),
            other => Self::Redb(other),
        }
    }

    /// Names the file.
    pub(crate) fn at(self, at: &Path) -> Self {
        match self {
            Self::AlreadyOpen { path: None, waited } => {
                Self::AlreadyOpen { path: Some(at.to_owned()), waited }
            }
            Self::Io { what, source } if what == IO_FAILED => Self::file("read or write", at, source),
            other => other,
        }
    }

    /// What callers of a store get while it cannot be opened again.
    pub(crate) fn kind(&self) -> StoreErrorKind {
        match self {
            Self::NotADatabase(_)
            | Self::ForeignDatabase
            | Self::IsDirectory { .. }
            | Self::EmptyFile { .. }
            | Self::NewerFormat { .. }
            | Self::NewerFileFormat(_)
            | Self::OldFileFormat { .. }
            | Self::Damaged { .. } => StoreErrorKind::Corrupt,
            Self::HostMustReopen { .. } => StoreErrorKind::Closed,
            Self::Io { .. } | Self::AlreadyOpen { .. } | Self::Exists { .. } => StoreErrorKind::Unavailable,
            Self::Redb(_) => StoreErrorKind::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_the_operating_system_says_what_to_do() {
        for (kind, advice) in [
            (ErrorKind::NotFound, "the folder data does not exist; create it first"),
            (ErrorKind::NotADirectory, "data is not a folder; check the path"),
            (ErrorKind::PermissionDenied, "give this process the right to read and write it"),
            (ErrorKind::ReadOnlyFilesystem, "its file system is read-only"),
            (ErrorKind::StorageFull, "there is no room for it; make room"),
            (ErrorKind::QuotaExceeded, "there is no room for it; make room"),
            (ErrorKind::FileTooLarge, "there is no room for it; make room"),
        ] {
            let error = OpenError::file("open", Path::new("data/chat.redb"), kind.into());
            let text = error.to_string();
            assert!(text.starts_with("cannot open data/chat.redb") && text.contains(advice), "{text}");
            assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        }
        let error = OpenError::file("create", Path::new("chat.redb"), ErrorKind::NotFound.into());
        assert!(error.to_string().ends_with("the folder . does not exist; create it first"), "{error}");
    }

    #[test]
    fn no_error_says_again_what_its_source_says() {
        let io = || std::io::Error::other("the disk says no");
        for error in [
            OpenError::redb(redb::Error::Io(io())),
            OpenError::file("open", Path::new("chat.redb"), io()),
            OpenError::redb(redb::Error::Io(std::io::Error::new(ErrorKind::InvalidData, "bad magic"))),
            OpenError::redb(redb::Error::Io(std::io::Error::new(ErrorKind::UnexpectedEof, "too short"))),
            OpenError::redb(redb::Error::Corrupted("Expected file format version <= 3, but 4".into())),
            OpenError::redb(redb::Error::Corrupted("all roots are corrupted".into())),
            OpenError::redb(redb::Error::TransactionInProgress),
        ] {
            let text = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                assert!(!text.contains(&cause.to_string()), "{text}: {cause}");
                source = cause.source();
            }
        }
    }
}
