//! How the program ends, and what it says about an error.

use crate::held;
use anyhow::Error;
use durable_session::store::{StoreError, StoreErrorKind};
use durable_session::transfer::ImportError;
use durable_session_redb::{BackupError, OpenError};
use std::fmt;
use std::io::ErrorKind;
use std::process::ExitCode;

/// The exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Done,
    /// Damage was found, or something was not taken.
    Incomplete,
    Usage,
    /// Another process holds the store.
    Held,
    /// The store is foreign or cannot be read at all.
    Unreadable,
    /// The storage failed.
    StorageFailed,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Incomplete => 1,
            Exit::Usage => 2,
            Exit::Held => 3,
            Exit::Unreadable => 4,
            // 5 is kept for stores whose keys are missing.
            Exit::StorageFailed => 6,
        })
    }
}

impl Exit {
    pub(crate) fn incomplete_if(incomplete: bool) -> Self {
        if incomplete { Self::Incomplete } else { Self::Done }
    }
}

/// The command line asks for something that cannot be.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Prints the error and what can be done about it. A reader that went away is no error.
pub(crate) fn told(error: &Error) -> Exit {
    let broken_pipe = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe)
    };
    if error.chain().any(broken_pipe) {
        return Exit::Done;
    }
    let open = error.chain().find_map(opening);
    match open {
        Some(open) => eprintln!("error: {}", of_opening(open)),
        None if error.chain().any(is_damaged_file) => eprintln!(
            "error: the store is damaged. Restore a backup, or move what can be read to a new \
             store: durable-session salvage"
        ),
        None => eprintln!("error: {error:#}"),
    }
    if let Some(open) = open {
        return code_of_opening(open);
    }
    let code = error.chain().find_map(|cause| {
        let usage = cause.is::<Usage>().then_some(Exit::Usage);
        let store = || cause.downcast_ref::<StoreError>().map(code_of_store);
        let session = || match cause.downcast_ref::<durable_session::Error>() {
            Some(durable_session::Error::Store(error)) => Some(code_of_store(error)),
            _ => None,
        };
        let import = || match cause.downcast_ref::<ImportError>() {
            Some(ImportError::Store(error)) => Some(code_of_store(error)),
            Some(_) => Some(Exit::Incomplete),
            None => None,
        };
        usage.or_else(store).or_else(session).or_else(import)
    });
    code.unwrap_or(Exit::StorageFailed)
}

fn opening<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a OpenError> {
    let backup = cause.downcast_ref::<BackupError>().and_then(|error| match error {
        BackupError::Target(open) => Some(open),
        _ => None,
    });
    cause.downcast_ref::<OpenError>().or(backup)
}

/// Whether it is damage that is not in one session.
fn is_damaged_file(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause
        .downcast_ref::<StoreError>()
        .is_some_and(|error| error.kind() == StoreErrorKind::Corrupt && error.session().is_none())
}

fn code_of_store(error: &StoreError) -> Exit {
    match error.kind() {
        StoreErrorKind::Corrupt | StoreErrorKind::TooLarge => Exit::Incomplete,
        _ => Exit::StorageFailed,
    }
}

fn code_of_opening(error: &OpenError) -> Exit {
    match error {
        OpenError::AlreadyOpen { .. } => Exit::Held,
        OpenError::LogDamaged { .. } | OpenError::Damaged { readable: true, .. } => {
            Exit::Incomplete
        }
        OpenError::Exists { .. } => Exit::Usage,
        OpenError::Io { .. } | OpenError::Redb(_) | OpenError::HostMustReopen => {
            Exit::StorageFailed
        }
        _ => Exit::Unreadable,
    }
}

/// The library's text where it advises a person, and advice about this program where the library
/// advises a program.
fn of_opening(error: &OpenError) -> String {
    match error {
        OpenError::AlreadyOpen { path, .. } => {
            let file = path
                .as_ref()
                .map_or_else(|| "the store".to_owned(), |path| path.display().to_string());
            let by = path.as_deref().and_then(held::by);
            let by = by.unwrap_or_else(|| "another process".to_owned());
            format!(
                "{file} is held by {by}. Read the sessions through that process (GET \
                 /api/chat/sessions of a service), stop it, or look into a backup that it makes"
            )
        }
        OpenError::LogMissing { log } => format!(
            "the log of the store is missing ({log} and the files after it); the latest changes \
             may be only there. Bring it back, or accept the loss: --accept-missing-log"
        ),
        OpenError::LogGap { file, log } => format!(
            "the file is older than its log: the file ends with change {file}, and the log begins \
             with change {log}. Put the file back that belongs to the log, or move the log away \
             and accept the loss: --accept-missing-log"
        ),
        OpenError::OlderLog { file, log } => format!(
            "the log is older than the file: the file ends with change {file}, and the log ends \
             with change {log}. Put the log back that belongs to the file, or move the log away \
             and accept the loss: --accept-missing-log"
        ),
        OpenError::LogDamaged { log, offset, damage } => format!(
            "{log} is damaged at offset {offset}: {damage}. Restore a backup, or move what can be \
             read to a new store: durable-session salvage"
        ),
        OpenError::Damaged { damage, readable: true, .. } => format!(
            "the store is damaged: {damage}. Restore a backup, or move what can be read to a new \
             store: durable-session salvage"
        ),
        error => {
            let chain = anyhow::Chain::new(error).map(ToString::to_string);
            chain.collect::<Vec<_>>().join(": ")
        }
    }
}
