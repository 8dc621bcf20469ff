//! Importing a whole input, session after session.

use super::import::import_known;
use super::{ImportError, ImportOptions, Imported, Place, Record, Records};
use crate::SessionId;
use crate::store::SessionStore;
use std::fmt;
use std::io::BufRead;

/// A session that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Taken {
    /// Where it stands in the input.
    pub place: Place,
    /// Its id.
    pub session: SessionId,
    /// What was stored of it now, and what was there already.
    pub imported: Imported,
}

/// A session that was not taken, and why.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {error}")]
#[non_exhaustive]
pub struct NotTaken {
    /// Where it stands in the input.
    pub place: Place,
    /// The reason.
    pub error: ImportError,
}

/// What an import took and what it did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ImportReport {
    /// Sessions that are in the store, whether they were stored now or earlier.
    pub taken: u64,
    /// Sessions that were not taken.
    pub skipped: u64,
    /// Messages of the sessions taken that were stored now.
    pub stored: u64,
    /// Messages of the sessions taken that were there already.
    pub found: u64,
    /// The end of the input was reached. Otherwise there may be more sessions in it than were
    /// counted.
    pub ended: bool,
}

impl ImportReport {
    /// Whether everything was taken, and that was not nothing. An import that is not complete has
    /// not succeeded.
    pub fn is_complete(&self) -> bool {
        self.ended && self.taken > 0 && self.skipped == 0
    }
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { taken, skipped, stored, found, ended } = self;
        write!(f, "sessions taken={taken} skipped={skipped}, messages stored={stored} found={found}")?;
        if !ended {
            f.write_str("; the end of the input was not reached")?;
        }
        Ok(())
    }
}

/// Imports the sessions of an input one after the other: JSON Lines or one JSON array, as
/// [`Records`] reads them.
///
/// A session that cannot be taken does not stop the others. An error about more than one session
/// ([`ImportError::is_general`]) ends the import: importing the same input again goes on from
/// there.
///
/// Run again on the same input it says the same of every session.
#[derive(Debug)]
pub struct Import<'a, S: ?Sized> {
    store: &'a S,
    records: Records<'a>,
    options: ImportOptions,
    report: ImportReport,
    stopped: bool,
}

impl<'a, S: SessionStore> Import<'a, S> {
    /// Everything in `input`, which is read while the import runs and blocks it while nothing
    /// comes.
    pub fn new(store: &'a S, input: impl BufRead + Send + 'a, options: ImportOptions) -> Self {
        Self { store, records: Records::new(input), options, report: ImportReport::default(), stopped: false }
    }

    /// Imports the next session; `None` at the end, or after an error about more than one session.
    pub async fn next(&mut self) -> Option<Result<Taken, NotTaken>> {
        if self.stopped {
            return None;
        }
        let Some(Record { place, text }) = self.records.next() else {
            self.report.ended = true;
            return None;
        };
        let outcome = match text {
            Ok(text) => import_known(self.store, &text, &self.options).await,
            Err(e) => Err(e.into()),
        };
        Some(match outcome {
            Ok((session, imported)) => {
                self.report.taken += 1;
                self.report.stored += imported.stored;
                self.report.found += imported.found;
                Ok(Taken { place, session, imported })
            }
            Err(error) => {
                self.report.skipped += 1;
                self.stopped = error.is_general();
                Err(NotTaken { place, error })
            }
        })
    }

    /// What was taken so far. Complete only once [`next`](Self::next) has answered `None`.
    pub fn report(&self) -> ImportReport {
        self.report
    }
}
