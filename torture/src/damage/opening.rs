//! Opening damaged files in all ways.

use crate::campaign::Tally;
use anyhow::{Context, Result};
use durable_session_redb::{OpenCheck, OpenError, RedbStore, RedbStoreBuilder};
use std::time::Duration;
use testkit::disk::{Disk, File, Files};

/// How long a read takes the verification in the background.
const SLOW_READ: Duration = Duration::from_micros(100);

/// A store over a copy of the files.
pub(super) struct Opening {
    pub(super) store: RedbStore,
    pub(super) disk: Disk,
}

fn builder(check: OpenCheck) -> RedbStoreBuilder {
    RedbStore::builder().check(check).reader_threads(1).cache_bytes(0)
}

/// Every page is checked first. `None`: the files are refused.
pub(super) fn verified(files: &Files, tally: &mut Tally) -> Result<Option<Opening>> {
    open(Disk::holding(files.clone()), &builder(OpenCheck::First), "sound", tally)
}

/// Pages are checked in the background, slowly, so that reads come before the end of the check. A
/// flush is due at once.
pub(super) fn small(files: &Files, tally: &mut Tally) -> Result<Option<Opening>> {
    let builder = builder(OpenCheck::Background).log_bytes(1).memtable_bytes(1);
    let disk = Disk::holding(files.clone());
    disk.slow_reads_of("durable-session-check", SLOW_READ);
    open(disk, &builder, "opened_unchecked", tally)
}

/// No page is checked, and no flush is due: a write to damaged pages can abort the process.
pub(super) fn trusted(files: &Files, tally: &mut Tally) -> Result<Option<Opening>> {
    open(Disk::holding(files.clone()), &builder(OpenCheck::Skip), "trusted", tally)
}

/// Nothing is written.
pub(super) fn read_only(files: &Files, tally: &mut Tally) -> Result<Option<Opening>> {
    let disk = Disk::holding(files.clone());
    let builder = builder(OpenCheck::default());
    let opened = builder.open_backend_read_only(disk.backend(), disk.log());
    told(opened, disk, "only_read", tally)
}

/// Whether redb's file is as redb wrote it, by the checks when it is opened.
pub(super) fn is_sound(files: &Files) -> bool {
    let main = files.get(&File::Main).cloned().unwrap_or_default();
    let disk = Disk::holding(Files::from([(File::Main, main)]));
    let builder = builder(OpenCheck::First).accept_missing_log(true);
    builder.open_backend(disk.backend(), disk.log()).is_ok()
}

fn open(
    disk: Disk,
    builder: &RedbStoreBuilder,
    name: &'static str,
    tally: &mut Tally,
) -> Result<Option<Opening>> {
    let storage = disk.clone();
    let opened = builder.open_storage(move || Ok(storage.backend()), disk.log());
    told(opened, disk, name, tally)
}

fn told(
    opened: Result<RedbStore, OpenError>,
    disk: Disk,
    name: &'static str,
    tally: &mut Tally,
) -> Result<Option<Opening>> {
    let refused = match opened {
        Ok(store) => {
            tally.add(name, 1);
            return Ok(Some(Opening { store, disk }));
        }
        Err(
            OpenError::Damaged { .. } | OpenError::NotADatabase(_) | OpenError::ForeignDatabase,
        ) => "refused",
        Err(OpenError::LogMissing { .. }) => "refused_without_log",
        Err(OpenError::LogDamaged { .. }) => "refused_for_the_log",
        Err(
            OpenError::ForeignLog { .. } | OpenError::LogGap { .. } | OpenError::OlderLog { .. },
        ) => "refused_with_this_log",
        Err(
            OpenError::NewerFormat { .. }
            | OpenError::NewerFileFormat(_)
            | OpenError::NewerLogFormat { .. }
            | OpenError::OldFileFormat { .. }
            | OpenError::EarlierLayout { .. }
            | OpenError::Io { .. }
            | OpenError::Redb(_),
        ) => "refused_oddly",
        Err(error) => return Err(error).context("opening damaged files"),
    };
    tally.add(refused, 1);
    Ok(None)
}
