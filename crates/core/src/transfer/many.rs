//! Imports a whole input, session after session.

use super::import::import_known;
use super::{ImportCounts, ImportError, ImportOptions, Position, Record, Records};
use crate::SessionId;
use crate::store::SessionStore;
use std::fmt;
use std::io::BufRead;

/// A session that was imported.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportedSession {
    /// The position of its record in the input.
    pub position: Position,
    /// The session's id.
    pub session: SessionId,
    /// The messages and chunks that were stored now or earlier.
    pub counts: ImportCounts,
}

/// A session that was refused.
#[derive(Debug, thiserror::Error)]
#[error("{position}: {error}")]
#[non_exhaustive]
pub struct RefusedSession {
    /// The position of its record in the input.
    pub position: Position,
    /// The reason.
    pub error: ImportError,
}

/// The counts of a whole import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ImportReport {
    /// The number of imported sessions, stored now or earlier.
    pub taken: u64,
    /// The number of refused sessions.
    pub skipped: u64,
    /// The messages of imported sessions that were stored now.
    pub stored: u64,
    /// The messages of imported sessions that were stored earlier.
    pub found: u64,
    /// The end of the input was reached. Otherwise the input may have more sessions than were
    /// counted.
    pub ended: bool,
}

impl ImportReport {
    /// Whether the whole input was read and every session was imported, at least one. Treat an
    /// import that is not complete as failed.
    ///
    /// ```
    /// use durable_session::transfer::{Import, ImportOptions};
    /// use durable_session_memory::MemoryStore;
    ///
    /// # futures_executor::block_on(async {
    /// let (store, options) = (MemoryStore::new(), ImportOptions::default());
    /// let mut import = Import::new(&store, &b"not a session"[..], options);
    /// while import.next().await.is_some() {}
    /// assert!(!import.report().is_complete());
    /// # });
    /// ```
    pub fn is_complete(&self) -> bool {
        self.ended && self.taken > 0 && self.skipped == 0
    }
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { taken, skipped, stored, found, ended } = self;
        write!(
            f,
            "sessions taken={taken} skipped={skipped}, messages stored={stored} found={found}"
        )?;
        if !ended {
            f.write_str("; the end of the input was not reached")?;
        }
        Ok(())
    }
}

/// Imports the sessions of an input one by one: JSON Lines or one JSON array, as [`Records`] reads
/// them.
///
/// A refused session does not stop the import. An error about more than one session
/// ([`ImportError::is_general`]) ends it; importing the same input again continues from there.
/// Importing the same input twice stores each session once.
///
/// The [module](crate::transfer) has an example.
#[derive(Debug)]
pub struct Import<'a, S: ?Sized> {
    store: &'a S,
    records: Records<'a>,
    options: ImportOptions,
    report: ImportReport,
    stopped: bool,
}

impl<'a, S: SessionStore> Import<'a, S> {
    /// An import of all sessions in `input` into `store`. [`next`](Self::next) blocks while `input`
    /// blocks.
    pub fn new(store: &'a S, input: impl BufRead + Send + 'a, options: ImportOptions) -> Self {
        Self {
            store,
            records: Records::new(input),
            options,
            report: ImportReport::default(),
            stopped: false,
        }
    }

    /// Imports the next session; `None` at the end, or after an error about more than one session.
    ///
    /// # Errors
    /// [`RefusedSession`] with the position and the reason.
    pub async fn next(&mut self) -> Option<Result<ImportedSession, RefusedSession>> {
        if self.stopped {
            return None;
        }
        let Some(Record { position, text }) = self.records.next() else {
            self.report.ended = true;
            return None;
        };
        let outcome = match text {
            Ok(text) => import_known(self.store, &text, &self.options).await,
            Err(e) => Err(e.into()),
        };
        Some(match outcome {
            Ok((session, counts)) => {
                self.report.taken += 1;
                self.report.stored += counts.stored;
                self.report.found += counts.found;
                Ok(ImportedSession { position, session, counts })
            }
            Err(error) => {
                self.report.skipped += 1;
                self.stopped = error.is_general();
                Err(RefusedSession { position, error })
            }
        })
    }

    /// The counts so far. They are final once [`next`](Self::next) returned `None`.
    pub fn report(&self) -> ImportReport {
        self.report
    }
}
