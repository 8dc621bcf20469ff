//! The database and its log are one store: each names the other, and neither is used without it.

use crate::error::OpenError;
use crate::layout::meta::{self, Identity};
use crate::memtable::Memtable;
use crate::opened::Settings;
use crate::wal::{self, Batch, Log, LogConfig, LogError, LogId, LogStorage, Recovered, Torn};
use durable_session::env::Random;
use durable_session::store::Salt;
use redb::Database;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The smallest segment: some batches fit into it.
const SMALLEST_SEGMENT: u64 = 4096;

/// A log takes about this many segments, so that some are free again while others are flushed.
const SEGMENTS: u64 = 16;

/// The log of a database that is open for writing.
pub(crate) struct Paired {
    pub(crate) log: Log,
    pub(crate) memtable: Memtable,
    pub(crate) salt: Salt,
    /// The file was verified, because something was stored in it.
    pub(crate) verified: bool,
    /// Batches at the end of the log that were dropped.
    pub(crate) torn: u64,
}

fn config(settings: Settings) -> LogConfig {
    let limit_bytes = settings.log_bytes;
    let segment_bytes = (limit_bytes / SEGMENTS).clamp(SMALLEST_SEGMENT, LogConfig::SEGMENT_BYTES);
    LogConfig { segment_bytes, limit_bytes }
}

/// Opens the log that the database names, or begins one if it names none. `verify` is called before
/// anything is stored in the database.
pub(crate) fn pair(
    db: &Database,
    log: &Arc<dyn LogStorage>,
    settings: Settings,
    random: &Arc<dyn Random>,
    verify: impl FnOnce() -> Result<(), OpenError>,
) -> Result<Paired, OpenError> {
    let stored = meta::identity(db)?;
    let found = match stored.log {
        Some(id) => recover(log, id, &stored, settings, random)?,
        None => None,
    };
    match (found, stored.salt) {
        (Some((log, memtable, torn)), Some(salt)) if !settings.restored => {
            Ok(Paired { log, memtable, salt, verified: false, torn })
        }
        (Some((log, memtable, torn)), _) => {
            verify()?;
            let salt = meta::draw_salt(&**random)?;
            meta::store_identity(db, stored.log.unwrap_or(LogId::UNDRAWN), salt)?;
            Ok(Paired { log, memtable, salt, verified: true, torn })
        }
        (None, _) => {
            verify()?;
            let salt = meta::draw_salt(&**random)?;
            let id = LogId::draw(&**random)
                .map_err(|e| OpenError::io("no random bytes for the log", io::Error::other(e)))?;
            let next = stored.flushed + 1;
            let (storage, source) = (Arc::clone(log), Arc::clone(random));
            let log = wal::begin(storage, id, next, config(settings), source)
                .map_err(|error| refusal(error, &**log))?;
            // Before the first batch: a log that no database names is never taken for its own.
            meta::store_identity(db, id, salt)?;
            let memtable = Memtable::new(stored.flushed, stored.next_number);
            Ok(Paired { log, memtable, salt, verified: true, torn: 0 })
        }
    }
}

/// Reads the log again after a failure.
pub(crate) fn recover_again(
    db: &Database,
    log: &Arc<dyn LogStorage>,
    settings: Settings,
    random: &Arc<dyn Random>,
) -> Result<(Log, Memtable), OpenError> {
    let stored = meta::identity(db)?;
    let missing = || refusal(LogError::Missing, &**log);
    let id = stored.log.ok_or_else(missing)?;
    let settings = Settings { accept_missing_log: false, ..settings };
    let recovered = recover(log, id, &stored, settings, random)?;
    recovered.map(|(log, memtable, _)| (log, memtable)).ok_or_else(missing)
}

/// Reads the log into a memtable. `None`: it is missing, and that was accepted.
fn recover(
    log: &Arc<dyn LogStorage>,
    id: LogId,
    stored: &Identity,
    settings: Settings,
    random: &Arc<dyn Random>,
) -> Result<Option<(Log, Memtable, u64)>, OpenError> {
    let mut memtable = Memtable::new(stored.flushed, stored.next_number);
    let (storage, source) = (Arc::clone(log), Arc::clone(random));
    let replay = |batch: Batch<'_>| replay(&mut memtable, &batch);
    match wal::recover(storage, id, stored.flushed, config(settings), source, replay) {
        Ok(Recovered { log, torn }) => Ok(Some((log, memtable, dropped(torn.as_ref())))),
        // A log that was begun for this file, and whose identity a crash kept out of it, is
        // foreign. One with changes is refused later.
        Err(LogError::Missing | LogError::Foreign { .. }) if settings.accept_missing_log => {
            tracing::warn!("the log is missing; the store is opened as of its last flush");
            Ok(None)
        }
        Err(error) => Err(refusal(error, &**log)),
    }
}

/// Reports the batch that was dropped, if there is one, and counts it.
fn dropped(torn: Option<&Torn>) -> u64 {
    if let Some(torn) = torn {
        tracing::warn!(
            segment = torn.name,
            offset = torn.offset,
            bytes = torn.bytes,
            "the last batch of the log was not written whole, and was dropped"
        );
    }
    u64::from(torn.is_some())
}

fn replay(memtable: &mut Memtable, batch: &Batch<'_>) -> Result<(), LogError> {
    memtable.replay(batch).map_err(|error| batch.damaged(error.to_string()))
}

/// The changes in the log of a database that is open for reading.
pub(crate) struct ReadChanges {
    pub(crate) memtable: Memtable,
    /// The first damage of the log.
    pub(crate) damage: Option<OpenError>,
    /// Batches at the end of the log that were left out.
    pub(crate) torn: u64,
}

/// Reads the log of a database that is open for reading, past damage.
pub(crate) fn read_only(
    stored: &Identity,
    log: &dyn LogStorage,
    settings: Settings,
) -> Result<ReadChanges, OpenError> {
    let mut memtable = Memtable::new(stored.flushed, stored.next_number);
    let mut damage = None;
    let Some(id) = stored.log else { return Ok(ReadChanges { memtable, damage, torn: 0 }) };
    let replay = |batch: Batch<'_>| replay(&mut memtable, &batch);
    let damaged = |found: wal::LogDamage| {
        tracing::error!(
            segment = found.name,
            offset = found.offset,
            damage = found.text,
            "the log is damaged; it is read on after the damage"
        );
        damage.get_or_insert(OpenError::LogDamaged {
            log: found.name,
            offset: found.offset,
            damage: found.text.into(),
        });
    };
    match wal::read_only(log, id, stored.flushed, replay, damaged) {
        Ok(read) => {
            tracing::debug!(last = read.last, "the log was read");
            let torn = dropped(read.torn.as_ref());
            Ok(ReadChanges { memtable, damage, torn })
        }
        Err(LogError::Missing | LogError::Foreign { .. }) if settings.accept_missing_log => {
            Ok(ReadChanges { memtable, damage, torn: 0 })
        }
        Err(error) => Err(refusal(error, log)),
    }
}

/// A segment that some store has used.
pub(crate) fn any_segment(log: &dyn LogStorage) -> Option<String> {
    wal::used_segment(log).ok().flatten()
}

/// No new store is created beside a log with changes.
pub(crate) fn refuse_a_log_without_a_file(
    path: &Path,
    log: &dyn LogStorage,
) -> Result<(), OpenError> {
    match wal::used_segment(log) {
        Ok(None) => Ok(()),
        Ok(log) => Err(OpenError::FileMissing { path: path.to_owned(), log }),
        // The folder may be missing, too: creating the file says so.
        Err(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotADirectory => Ok(()),
        Err(error) => Err(refusal(error, log)),
    }
}

/// After a failed sync the kernel may keep bytes in memory that never reached the disk.
pub(crate) fn forget_cached(log: &dyn LogStorage) {
    let numbers = log.list().unwrap_or_default();
    for number in numbers {
        if let Err(error) = log.forget_cached(number) {
            tracing::warn!(%error, "the cached bytes of a log segment could not be dropped");
        }
    }
}

fn refusal(error: LogError, log: &dyn LogStorage) -> OpenError {
    match error {
        LogError::Missing => OpenError::LogMissing { log: log.name(1) },
        LogError::Foreign { name } => OpenError::ForeignLog { log: name },
        LogError::Gap { expected, found } => {
            OpenError::LogGap { file: expected.saturating_sub(1), log: found }
        }
        LogError::Older { flushed, last } => OpenError::OlderLog { file: flushed, log: last },
        LogError::Damaged { name, offset, text } => {
            OpenError::LogDamaged { log: name, offset, damage: text.into() }
        }
        LogError::NewerFormat { name, found } => OpenError::NewerLogFormat { log: name, found },
        LogError::Io { doing, name, source } => OpenError::log(doing, &name, source),
    }
}
