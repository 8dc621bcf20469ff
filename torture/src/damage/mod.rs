//! Campaign 4: files that were altered while nobody had them open.

mod examine;
mod foreign;
mod sample;
mod wounds;

use crate::campaign::{Plan, Tally};
use anyhow::{Context, Result};
use durable_session_redb::{OpenError, RedbStore};
use examine::Findings;
use sample::Sample;
use torture_disk::Disk;

pub(crate) const NAME: &str = "damage";

/// So many damages of each sample.
const DAMAGES: u64 = 100;

pub(crate) fn run(plan: &Plan) -> Result<Tally> {
    let mut current: Option<(u64, Sample)> = None;
    plan.cases(NAME, 300, |case, rng, tally| {
        let number = case / DAMAGES;
        let sample = match current.take() {
            Some((n, sample)) if n == number => sample,
            _ => {
                foreign::check(tally).context("foreign files")?;
                Sample::make(&mut plan.rng("damage sample", number))?
            }
        };
        let (_, sample) = current.insert((number, sample));
        let (wound, file) = wounds::wound(sample, rng);
        tally.add(wound, 1);
        both(sample, &file, tally).context(wound)
    })
}

/// The file is opened as it is, and with every page checked first.
fn both(sample: &Sample, file: &[u8], tally: &mut Tally) -> Result<()> {
    if let Some(store) = open(file, true, tally)? {
        let findings = examine::examine(&store, sample, tally)?;
        findings.nothing_is_wrong().context("every page was checked when it was opened")?;
        examine::go_on(&store, sample);
    }
    if let Some(store) = open(file, false, tally)? {
        let findings: Findings = examine::examine(&store, sample, tally)?;
        tally.add("named", findings.named);
        tally.add("missed_until_verified", findings.silent.len() as u64);
        // Nothing is written: redb can abort the process when it writes to pages that it did not check.
        findings.verification_names_what_is_silent(&store)?;
    }
    Ok(())
}

/// `None`: the file is refused.
fn open(file: &[u8], verify: bool, tally: &mut Tally) -> Result<Option<RedbStore>> {
    let disk = Disk::with(file.to_vec());
    let builder = RedbStore::builder().verify_on_open(verify).reader_threads(1).cache_bytes(1 << 20);
    match builder.open_storage(move || Ok(disk.backend())) {
        Ok(store) => {
            tally.add(if verify { "sound" } else { "opened" }, 1);
            Ok(Some(store))
        }
        Err(OpenError::Damaged { .. } | OpenError::NotADatabase(_) | OpenError::ForeignDatabase) => {
            tally.add("refused", 1);
            Ok(None)
        }
        Err(
            OpenError::NewerFormat { .. }
            | OpenError::NewerFileFormat(_)
            | OpenError::OldFileFormat { .. }
            | OpenError::Io { .. }
            | OpenError::Redb(_),
        ) => {
            tally.add("refused_oddly", 1);
            Ok(None)
        }
        Err(error) => Err(error).context("opening a damaged file"),
    }
}
