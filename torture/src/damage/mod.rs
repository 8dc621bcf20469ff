//! Campaign 4: files that were altered while nobody had them open.

mod examine;
mod foreign;
mod kinds;
mod listed;
mod opening;
mod sample;
mod tail;

use crate::campaign::{Plan, Tally};
use crate::verdict::{Kind, hold};
use anyhow::{Context, Result, ensure};
use durable_session_redb::RedbStore;
use examine::Findings;
use opening::Opening;
use sample::{Sample, Sessions};
use std::time::{Duration, Instant};
use testkit::disk::{Disk, Failure, Files, Part};

pub(crate) const NAME: &str = "damage";

/// So many damages of each sample.
const DAMAGES: u64 = 100;
const PATIENCE: Duration = Duration::from_secs(30);

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
        let (kind, files) = kinds::damage(sample, rng);
        tally.add(kind, 1);
        let case = Case { sample, kind, files };
        case.first(tally).context("verified first").context(kind)?;
        case.background(tally).context("verified in the background").context(kind)?;
        case.written_at_once(tally).context("written while it was verified").context(kind)?;
        case.skip(tally).context("not verified").context(kind)?;
        case.read_only(tally).context("opened only to read").context(kind)
    })
}

/// A damage of a sample.
struct Case<'a> {
    sample: &'a Sample,
    kind: &'static str,
    files: Files,
}

impl Case<'_> {
    /// With every page checked first: refused or complete.
    fn first(&self, tally: &mut Tally) -> Result<()> {
        let Some(Opening { store, .. }) = opening::verified(&self.files, tally)? else {
            return Ok(());
        };
        let findings = self.examine(&store, tally)?;
        findings.silent.into_result()?;
        examine::go_on(&store, self.sample);
        Ok(())
    }

    /// Until every page was checked, found is what is found, and nothing counts as absent; and
    /// nothing is flushed.
    fn background(&self, tally: &mut Tally) -> Result<()> {
        let Some(Opening { store, disk }) = opening::small(&self.files, tally)? else {
            return Ok(());
        };
        let opened = disk.counts_of(Part::Main).operations;
        let findings = self.examine(&store, tally)?;
        tally.add("missed_until_verified", findings.silent.findings());
        findings.absent.into_result().context("told before the file was verified")?;
        findings.deleted.into_result().context("shown before the file was verified")?;
        until_verified(&store)?;
        if opening::is_sound(&self.files) {
            self.examine(&store, tally)?.silent.into_result().context("after the verification")?;
            examine::go_on(&store, self.sample);
            return Ok(());
        }
        tally.add("damaged_in_the_background", 1);
        self.examine(&store, tally)?.absent.into_result().context("told of a damaged file")?;
        examine::go_on(&store, self.sample);
        unwritten(&store, &disk, opened)
    }

    /// Nothing is flushed into a file before it was verified, although the log takes writes.
    fn written_at_once(&self, tally: &mut Tally) -> Result<()> {
        let Some(Opening { store, disk }) = opening::small(&self.files, tally)? else {
            return Ok(());
        };
        let opened = disk.counts_of(Part::Main).operations;
        examine::go_on(&store, self.sample);
        if opening::is_sound(&self.files) { Ok(()) } else { unwritten(&store, &disk, opened) }
    }

    fn skip(&self, tally: &mut Tally) -> Result<()> {
        let Some(Opening { store, disk }) = opening::trusted(&self.files, tally)? else {
            return Ok(());
        };
        let findings = self.examine(&store, tally)?;
        tally.add("named", findings.named);
        tally.add("missed_if_skipped", findings.silent.findings());
        findings.deleted.clone().into_result()?;
        let told = findings.verification_names_silent_damage(&store);
        let sound = opening::is_sound(&self.files);
        let unseen = !sound && findings.named == 0 && findings.silent.is_nothing();
        if self.kind == kinds::STALE || unseen {
            // A page of an earlier time is whole, and one of redb's own tables is read only as it
            // writes: nobody may have seen the damage, and then redb can abort the process as it
            // writes or closes. The disk goes first.
            tally.add("unseen", u64::from(unseen));
            disk.fail_reads(true);
            disk.fail(Some(Failure::from(1)));
        } else {
            examine::go_on(&store, self.sample);
        }
        self.told(told, tally)
    }

    /// Nothing is written, whatever is found.
    fn read_only(&self, tally: &mut Tally) -> Result<()> {
        let Some(Opening { store, disk }) = opening::read_only(&self.files, tally)? else {
            return Ok(());
        };
        let findings = self.examine(&store, tally)?;
        tally.add("missed_if_only_read", findings.silent.findings());
        let told = findings.verification_names_silent_damage(&store);
        examine::go_on(&store, self.sample);
        hold!(disk.counts().operations == 0, Wrong, "a store that is only read was written");
        self.told(told, tally)
    }

    /// A page of an earlier time is whole, and no row of it is wrong: only the checks when opening
    /// can tell.
    fn told(&self, told: Result<()>, tally: &mut Tally) -> Result<()> {
        match told {
            Err(_) if self.kind == kinds::STALE => {
                tally.add("stale_unseen_by_verify", 1);
                Ok(())
            }
            told => told,
        }
    }

    /// Looks at everything. The last batches of the log may be lost if the damage reaches its end.
    fn examine(&self, store: &RedbStore, tally: &mut Tally) -> Result<Findings> {
        let Sample { sessions, tail, files, .. } = self.sample;
        let found = examine::examine(store, sessions, tally);
        if found.as_ref().is_ok_and(|findings| findings.silent.is_nothing()) {
            return found;
        }
        for (batches, earlier) in tail.may_be(files, &self.files) {
            if let Some(findings) = as_before(store, earlier, tally) {
                let reported = store.stats().torn_batches > 0 || findings.named > 0;
                tally.add("batches_lost_at_the_end", batches);
                tally.add("not_reported", u64::from(!reported));
                let one_bit = matches!(self.kind, "flipped_bit" | "flipped_end");
                hold!(!one_bit || (reported && batches == 1), Lost, "{batches} batches, untold");
                return Ok(findings);
            }
        }
        if self.kind == "older_log"
            && let Some(findings) = as_before(store, &self.sample.earlier_sessions, tally)
        {
            // Nothing was flushed since, so the file does not show that its log is old.
            tally.add("older_log_unseen", 1);
            return Ok(findings);
        }
        found
    }
}

fn until_verified(store: &RedbStore) -> Result<()> {
    let began = Instant::now();
    while store.stats().verifying {
        ensure!(began.elapsed() < PATIENCE, "the verification does not end");
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

/// Nothing was written to redb's file since it was opened. A file that could not be read is opened
/// again, and redb notes in its header that it is open.
fn unwritten(store: &RedbStore, disk: &Disk, opened: u64) -> Result<()> {
    let written = disk.counts_of(Part::Main).operations - opened;
    let again = store.stats().reopened > 0;
    hold!(written == 0 || again, Wrong, "{written} operations on a file that is not sound");
    Ok(())
}

/// The findings, if all sessions are as they were at this time.
fn as_before(store: &RedbStore, earlier: &Sessions, tally: &mut Tally) -> Option<Findings> {
    let findings = examine::examine(store, earlier, tally).ok()?;
    findings.silent.is_nothing().then_some(findings)
}
