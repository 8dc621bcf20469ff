//! Campaign 4: files that were altered while nobody had them open.

mod examine;
mod foreign;
mod sample;
mod wounds;

use crate::campaign::{Plan, Tally};
use crate::verdict::Kind;
use anyhow::{Context, Result};
use durable_session_redb::{OpenError, RedbStore};
use examine::Findings;
use sample::Sample;
use torture_disk::{Disk, Failure};

pub(crate) const NAME: &str = "damage";

/// So many damages of each sample.
const DAMAGES: u64 = 100;

pub(crate) fn run(plan: &Plan) -> Tally {
    let mut current: Option<(u64, Sample)> = None;
    plan.cases(NAME, Kind::OF_MESSAGES, 300, |case, rng, tally| {
        let number = case / DAMAGES;
        let sample = match current.take() {
            Some((n, sample)) if n == number => sample,
            _ => {
                foreign::check(tally).context("foreign files")?;
                Sample::make(&mut plan.rng("damage sample", number), tally)?
            }
        };
        let (_, sample) = current.insert((number, sample));
        let (wound, file) = wounds::wound(sample, rng);
        tally.add(wound, 1);
        both(sample, wound, &file, tally).context(wound)
    })
}

/// The file is opened as it is, and with every page checked first.
fn both(sample: &Sample, wound: &str, file: &[u8], tally: &mut Tally) -> Result<()> {
    if let Some((store, _)) = open(file, true, tally)? {
        let findings = examine::examine(&store, sample, tally)?;
        findings.silent.into_result().context("every page was checked when it was opened")?;
        examine::go_on(&store, sample);
    }
    if let Some((store, disk)) = open(file, false, tally)? {
        let findings: Findings = examine::examine(&store, sample, tally)?;
        tally.add("named", findings.named);
        tally.add("missed_until_verified", findings.silent.findings());
        let told = findings.verification_names_what_is_silent(&store);
        if wound == "stale_page" {
            // A page of an earlier time is whole, so that nobody may have seen the damage, and then redb can abort the
            // process as it writes or closes: the disk goes first.
            disk.fail_reads(true);
            disk.fail(Some(Failure::from(1)));
        } else {
            examine::go_on(&store, sample);
        }
        // A page of an earlier time is whole, and no row of it is wrong: only the checks when opening can tell.
        match told {
            Err(_) if wound == "stale_page" => tally.add("stale_unseen_by_verify", 1),
            told => told?,
        }
    }
    Ok(())
}

/// `None`: the file is refused.
fn open(file: &[u8], verify: bool, tally: &mut Tally) -> Result<Option<(RedbStore, Disk)>> {
    let disk = Disk::with(file.to_vec());
    let storage = disk.clone();
    let builder = RedbStore::builder().verify_on_open(verify).reader_threads(1).cache_bytes(0);
    match builder.open_storage(move || Ok(storage.backend())) {
        Ok(store) => {
            tally.add(if verify { "sound" } else { "opened" }, 1);
            Ok(Some((store, disk)))
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
