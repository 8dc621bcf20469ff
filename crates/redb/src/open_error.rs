//! Errors of opening and copying a store, and the advice that they give.

use durable_session::store::{StoreError, StoreErrorKind};
use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A store could not be opened, created or reopened. No stored data was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The path names a directory.
    #[error("{path} is a directory; name a file in it")]
    IsDirectory {
        /// The path.
        path: PathBuf,
    },
    /// The file is empty. A store is never empty, so an empty file is not taken for a new store.
    #[error("{path} is empty and so not a store; if it lost no data, remove it to create a store")]
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
    #[error("the file is not a redb database; check the path, or restore a backup")]
    NotADatabase(#[source] redb::Error),
    /// The file is a redb database of another application.
    #[error("the file is a redb database without a durable-session store; check the path")]
    ForeignDatabase,
    /// A newer release wrote the store.
    #[error(
        "the store has layout {found}; this release reads layouts up to {supported}; \
         use a newer release"
    )]
    NewerFormat {
        /// The layout of the file.
        found: u64,
        /// The newest layout that this release reads.
        supported: u64,
    },
    /// A build from before the first release wrote the store.
    #[error(
        "the store has layout {found} of an early build; this release reads layout {supported}; \
         export the sessions with the build that wrote it and import them here"
    )]
    EarlierLayout {
        /// The layout of the file.
        found: u64,
        /// The layout that this release reads.
        supported: u64,
    },
    /// The file has a newer redb file format.
    #[error(
        "the file has a newer redb file format than this release reads; \
         use the release that wrote it, or restore a backup"
    )]
    NewerFileFormat(#[source] redb::Error),
    /// The file has an old redb file format.
    #[error(
        "the file has redb file format {found}, which this release cannot read; \
         upgrade it with the redb that wrote it, or restore a backup"
    )]
    OldFileFormat {
        /// The format of the file.
        found: u8,
    },
    /// This or another process has the file open.
    #[error("{}", already_open(path.as_deref(), *waited))]
    AlreadyOpen {
        /// The file; `None` for storage of the host.
        path: Option<PathBuf>,
        /// How long opening waited for it, see
        /// [`wait_for_lock`](crate::RedbStoreBuilder::wait_for_lock).
        waited: Duration,
    },
    /// There is no file at the path. If its log is there, no new store is created beside it.
    #[error("{}", no_file(path, log.as_deref()))]
    FileMissing {
        /// The path.
        path: PathBuf,
        /// A segment of the log that is there.
        log: Option<String>,
    },
    /// No segment of the file's log is there. Changes that were acknowledged may be only in it.
    #[error(
        "the log of the store is missing ({log} and the files after it); the latest changes may be \
         only there; bring it back, or accept the loss: \
         RedbStoreBuilder::accept_missing_log(true) opens the file without it"
    )]
    LogMissing {
        /// The name that the first segment of the log would have.
        log: String,
    },
    /// The log beside the file belongs to another store, or to a file that a backup has replaced.
    #[error(
        "{log} belongs to the log of another file; move the log of that file away \
         ({log} and the others of this name), and bring back the log of this file if it had one"
    )]
    ForeignLog {
        /// A segment of the other log.
        log: String,
    },
    /// Changes are missing between the file and its log: the file is older than its log.
    #[error(
        "the file is older than its log: the file ends with change {file}, \
         and the log begins with change {log}; put the file back that belongs to the log, \
         or move the log away and accept the loss: RedbStoreBuilder::accept_missing_log(true)"
    )]
    LogGap {
        /// The last change that the file has.
        file: u64,
        /// The first change that the log has.
        log: u64,
    },
    /// The log ends before the last change that the file has: the log is older than the file.
    #[error(
        "the log is older than the file: the file ends with change {file}, \
         and the log ends with change {log}; put the log back that belongs to the file, \
         or move the log away and accept the loss: RedbStoreBuilder::accept_missing_log(true)"
    )]
    OlderLog {
        /// The last change that the file has.
        file: u64,
        /// The last change that the log has.
        log: u64,
    },
    /// The log is damaged at a place that was acknowledged: changes after it are there.
    #[error(
        "{log} is damaged at offset {offset}: {damage}; restore a backup, \
         or read the rest: RedbStoreBuilder::open_read_only"
    )]
    LogDamaged {
        /// The segment.
        log: String,
        /// The offset of the damaged bytes.
        offset: u64,
        /// The damage, in words.
        damage: Cow<'static, str>,
    },
    /// A newer release wrote the log.
    #[error("{log} has log format {found}, which this release cannot read; use a newer release")]
    NewerLogFormat {
        /// The segment.
        log: String,
        /// The format of the log.
        found: u32,
    },
    /// The file is damaged: truncated, or altered by something other than redb.
    #[error("the store is damaged: {damage}; {}", after_damage(*readable))]
    Damaged {
        /// The damage, in words.
        damage: Cow<'static, str>,
        /// Whether [`open_read_only`](crate::RedbStoreBuilder::open_read_only) opens the file.
        readable: bool,
        /// The cause, if there is one.
        #[source]
        source: Option<std::io::Error>,
    },
    /// The disk or the operating system refused.
    #[error("{message}")]
    Io {
        /// The failed operation and, if known, the remedy.
        message: Cow<'static, str>,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The store works on storage that only its host can open again.
    #[error("only the host can open this storage backend again; then build a new store over it")]
    HostMustReopen,
    /// Another error of redb.
    #[error(transparent)]
    Redb(redb::Error),
}

const IO_FAILED: &str = "the storage cannot be read or written";

fn already_open(path: Option<&Path>, waited: Duration) -> String {
    let file = path.map_or_else(|| "the storage".to_owned(), |path| path.display().to_string());
    let close = "close the other store: close() returns when the file is free, \
                 a dropped store closes it in the background";
    if waited.is_zero() {
        format!(
            "{file} is already open, in this process or another; {close}; \
             RedbStoreBuilder::wait_for_lock makes opening wait"
        )
    } else {
        format!("{file} is still open after {waited:.1?}, in this process or another; {close}")
    }
}

fn no_file(path: &Path, log: Option<&str>) -> String {
    let path = path.display();
    match log {
        None => format!("there is no file {path}; check the path"),
        Some(log) => format!(
            "there is no file {path}, but its log is there ({log}); bring the file back, \
             or move the log away to create a new store"
        ),
    }
}

fn after_damage(readable: bool) -> &'static str {
    if readable {
        "restore a backup, or read the rest: RedbStoreBuilder::open_read_only"
    } else {
        "no part of it can be read; restore a backup"
    }
}

/// A backup failed. It leaves no new file at its path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The new file could not be written: it exists already, its folder is missing, or the disk is
    /// full.
    #[error(transparent)]
    Target(#[from] OpenError),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl OpenError {
    pub(crate) fn damaged(damage: impl Into<Cow<'static, str>>) -> Self {
        Self::Damaged { damage: damage.into(), readable: false, source: None }
    }

    pub(crate) fn io(message: impl Into<Cow<'static, str>>, source: std::io::Error) -> Self {
        Self::Io { message: message.into(), source }
    }

    /// The operating system refused to `open` or `create` the file at `path`.
    pub(crate) fn file(doing: &str, path: &Path, source: std::io::Error) -> Self {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new(".")).display();
        let why = match source.kind() {
            ErrorKind::NotFound => format!(": the folder {folder} does not exist; create it first"),
            ErrorKind::NotADirectory => format!(": {folder} is not a folder; check the path"),
            ErrorKind::PermissionDenied => {
                format!(
                    "; give this process the right to read and write it, \
                     and to create files in {folder}"
                )
            }
            ErrorKind::ReadOnlyFilesystem => {
                ": its file system is read-only; copy the file to one that can be written".into()
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                ": there is no room for it; free some space or choose another disk".into()
            }
            _ => String::new(),
        };
        Self::io(format!("cannot {doing} {}{why}", path.display()), source)
    }

    /// The storage of the log failed.
    pub(crate) fn log(doing: &str, name: &str, source: std::io::Error) -> Self {
        let why = match source.kind() {
            ErrorKind::PermissionDenied => "; give this process the right to read and write it",
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                ": there is no room for the log; free some space"
            }
            _ => "",
        };
        Self::io(format!("cannot {doing} the log segment {name}{why}"), source)
    }

    pub(crate) fn redb(error: impl Into<redb::Error>) -> Self {
        match error.into() {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
                Self::AlreadyOpen { path: None, waited: Duration::ZERO }
            }
            redb::Error::UpgradeRequired(found) => Self::OldFileFormat { found },
            // redb has no error of its own for this.
            redb::Error::Corrupted(text) if text.starts_with("Expected file format version <=") => {
                Self::NewerFileFormat(redb::Error::Corrupted(text))
            }
            redb::Error::Corrupted(text) => Self::damaged(format!("redb reports \"{text}\"")),
            // Creating a store creates all its tables.
            redb::Error::TableDoesNotExist(name) => {
                Self::damaged(format!("table {name} is missing"))
            }
            error @ (redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TableIsNotMultimap(_)
            | redb::Error::TypeDefinitionChanged { .. }) => {
                Self::damaged(format!("a table has another type ({error})"))
            }
            redb::Error::Io(e) if e.kind() == ErrorKind::InvalidData => {
                Self::NotADatabase(redb::Error::Io(e))
            }
            redb::Error::Io(e) if e.kind() == ErrorKind::UnexpectedEof => {
                Self::Damaged { damage: "it is cut short".into(), readable: false, source: Some(e) }
            }
            redb::Error::Io(source) => Self::io(IO_FAILED, source),
            redb::Error::PreviousIo => {
                Self::io(IO_FAILED, std::io::Error::other("an earlier operation failed"))
            }
            other => Self::Redb(other),
        }
    }

    /// Adds the path of the file.
    pub(crate) fn at(self, at: &Path) -> Self {
        match self {
            Self::AlreadyOpen { path: None, waited } => {
                Self::AlreadyOpen { path: Some(at.to_owned()), waited }
            }
            Self::Io { message, source } if message == IO_FAILED => {
                Self::file("read or write", at, source)
            }
            other => other,
        }
    }

    /// The kind of error that calls get while the store cannot be opened again.
    pub(crate) fn kind(&self) -> StoreErrorKind {
        match self {
            Self::NotADatabase(_)
            | Self::ForeignDatabase
            | Self::IsDirectory { .. }
            | Self::EmptyFile { .. }
            | Self::NewerFormat { .. }
            | Self::EarlierLayout { .. }
            | Self::NewerFileFormat(_)
            | Self::OldFileFormat { .. }
            | Self::FileMissing { .. }
            | Self::LogMissing { .. }
            | Self::ForeignLog { .. }
            | Self::LogGap { .. }
            | Self::OlderLog { .. }
            | Self::LogDamaged { .. }
            | Self::NewerLogFormat { .. }
            | Self::Damaged { .. } => StoreErrorKind::Corrupt,
            Self::HostMustReopen => StoreErrorKind::Closed,
            Self::Io { .. } | Self::AlreadyOpen { .. } | Self::Exists { .. } => {
                StoreErrorKind::Unavailable
            }
            Self::Redb(_) => StoreErrorKind::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ErrorKind, OpenError, Path, StoreErrorKind};

    #[test]
    fn an_error_of_the_operating_system_names_the_path_and_a_remedy() {
        for (kind, advice) in [
            (ErrorKind::NotFound, "the folder data does not exist; create it first"),
            (ErrorKind::NotADirectory, "data is not a folder; check the path"),
            (ErrorKind::PermissionDenied, "give this process the right to read and write it"),
            (ErrorKind::ReadOnlyFilesystem, "its file system is read-only"),
            (ErrorKind::StorageFull, "there is no room for it; free some space"),
            (ErrorKind::QuotaExceeded, "there is no room for it; free some space"),
            (ErrorKind::FileTooLarge, "there is no room for it; free some space"),
        ] {
            let error = OpenError::file("open", Path::new("data/chat.redb"), kind.into());
            let text = error.to_string();
            assert!(
                text.starts_with("cannot open data/chat.redb") && text.contains(advice),
                "{text}"
            );
            assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        }
        let error = OpenError::file("create", Path::new("chat.redb"), ErrorKind::NotFound.into());
        assert!(
            error.to_string().ends_with("the folder . does not exist; create it first"),
            "{error}"
        );
    }

    #[test]
    fn no_error_repeats_the_text_of_its_source() {
        let io = || std::io::Error::other("the disk says no");
        for error in [
            OpenError::redb(redb::Error::Io(io())),
            OpenError::file("open", Path::new("chat.redb"), io()),
            OpenError::redb(redb::Error::Io(std::io::Error::new(
                ErrorKind::InvalidData,
                "bad magic",
            ))),
            OpenError::redb(redb::Error::Io(std::io::Error::new(
                ErrorKind::UnexpectedEof,
                "too short",
            ))),
            OpenError::redb(redb::Error::Corrupted(
                "Expected file format version <= 3, but 4".into(),
            )),
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
