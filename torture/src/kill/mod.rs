//! Campaign 3: a child process under load is killed at random moments; its parent keeps a journal
//! of the steps that the child told.

mod child;
mod replies;

pub(crate) use child::run as child;

use crate::campaign::{Plan, Tally};
use crate::processes::StoreOptions;
use crate::script::{self, Conversation, Journal};
use crate::verdict::{Kind, hold};
use anyhow::{Context, Result, bail};
use durable_session::ChatSessions;
use durable_session_redb::RedbStore;
use fastrand::Rng;
use futures_executor::block_on;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub(crate) const NAME: &str = "kill";

/// A case is so many kills of processes on one file, one after the other.
const KILLS: usize = 20;
const SESSIONS: usize = 24;
/// After the sessions there are so many with replies, on the store itself.
const WITH_REPLIES: usize = 8;

pub(crate) fn run(plan: &Plan) -> Tally {
    plan.cases(NAME, Kind::OF_MESSAGES, 3, |_, rng, tally| {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("killed.redb");
        let options = StoreOptions::any(rng);
        tally.note(&options);
        let mut journal = vec![Journal::default(); SESSIONS + WITH_REPLIES];
        for kill in 0..KILLS {
            let starts: Vec<u64> = journal.iter().map(|journal| journal.acknowledged).collect();
            run_and_kill(&file, options, &starts, &mut journal, rng)?;
            tally.add("kills", 1);
            let in_flight =
                journal.iter().filter(|journal| journal.begun > journal.acknowledged).count();
            tally.add("in_flight", in_flight as u64);
            tally.add("killed_in_flight", u64::from(in_flight > 0));
            verify(&file, &mut journal, rng, tally).with_context(|| format!("kill {kill}"))?;
        }
        tally.add("steps", journal.iter().map(|journal| journal.acknowledged).sum());
        Ok(())
    })
}

fn run_and_kill(
    file: &Path,
    options: StoreOptions,
    starts: &[u64],
    journal: &mut [Journal],
    rng: &mut Rng,
) -> Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--child").arg(file);
    options.tell(&mut command);
    command.env("TORTURE_STARTS", starts.iter().map(u64::to_string).collect::<Vec<_>>().join(","));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let result = note_until_killed(&mut child, journal, rng);
    // Also when something went wrong: no child is left behind.
    let _ = child.kill();
    child.wait()?;
    result
}

fn note_until_killed(child: &mut Child, journal: &mut [Journal], rng: &mut Rng) -> Result<()> {
    let Some(pipe) = child.stdout.take() else { bail!("the child has no output") };
    let mut lines = BufReader::new(pipe).lines().map_while(std::io::Result::ok);
    if rng.u8(0..8) == 0 {
        // While it opens the file, or soon after.
        std::thread::sleep(Duration::from_micros(rng.u64(0..15_000)));
    } else {
        let enough = rng.usize(1..400);
        for _ in 0..enough {
            let Some(line) = lines.next() else { bail!("the child ended by itself") };
            note(journal, &line)?;
        }
        std::thread::sleep(Duration::from_micros(rng.u64(0..3_000)));
    }
    child.kill()?;
    for line in lines {
        note(journal, &line)?;
    }
    Ok(())
}

fn note(journal: &mut [Journal], line: &str) -> Result<()> {
    let mut words = line.split(' ');
    let what = words.next();
    let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
    let (Some(session), Some(step)) = (number(), number()) else {
        bail!("the child said {line:?}");
    };
    let journal = usize::try_from(session)
        .ok()
        .and_then(|n| journal.get_mut(n))
        .context("no such session")?;
    match what {
        Some("begun") => journal.begun = step + 1,
        Some("done") => journal.acknowledged = step + 1,
        _ => bail!("the child said {line:?}"),
    }
    Ok(())
}

/// Compares the stored sessions with the script, and goes on from there.
fn verify(file: &Path, journal: &mut [Journal], rng: &mut Rng, tally: &mut Tally) -> Result<()> {
    if !file.exists() {
        let acknowledged: u64 = journal.iter().map(|journal| journal.acknowledged).sum();
        hold!(acknowledged == 0, Lost, "the file is gone, {acknowledged} steps were acknowledged");
        // Killed before the file was made: there is nothing to look at.
        tally.skipped();
        return Ok(());
    }
    if rng.bool() {
        only_read(file, journal, tally).context("opening only to read after the kill")?;
    }
    let store = RedbStore::open(file).context("opening after the kill")?;
    tally.add("torn", store.stats().torn_batches);
    let sessions: ChatSessions = ChatSessions::builder(store.clone()).build();
    let steps = steps(&store, &sessions, journal, tally)?;
    for (journal, step) in journal.iter_mut().zip(steps) {
        *journal = Journal { begun: step, acknowledged: step };
    }
    block_on(sessions.close())?;
    block_on(store.close())?;
    Ok(())
}

/// After how many of its steps each session is as it is stored.
fn steps(
    store: &RedbStore,
    sessions: &ChatSessions,
    journal: &[Journal],
    tally: &mut Tally,
) -> Result<Vec<u64>> {
    let mut steps = Vec::new();
    for (n, journal) in journal.iter().enumerate() {
        let Journal { begun, acknowledged } = *journal;
        tally.add("sessions", 1);
        if let Some(n) = n.checked_sub(SESSIONS) {
            steps.push(replies::find(store, n, acknowledged, begun, tally)?);
            continue;
        }
        let chat = sessions.session(script::id(n)?);
        let mut stored = Conversation::of(&block_on(chat.get_state())?);
        // While a step is under way, an alteration can turn one possible state into another.
        if begun == acknowledged {
            stored.alter(tally);
        }
        tally.checked(1 + stored.texts.len());
        steps.push(script::find(n, *journal, &stored)?);
    }
    Ok(steps)
}

/// The files that the process left can be read without being written.
fn only_read(file: &Path, journal: &[Journal], tally: &mut Tally) -> Result<()> {
    let before = files_of(file)?;
    let store = RedbStore::builder().open_read_only(file)?;
    let sessions: ChatSessions = ChatSessions::builder(store.clone()).build();
    steps(&store, &sessions, journal, tally)?;
    drop(sessions);
    block_on(store.close())?;
    hold!(files_of(file)? == before, Wrong, "a store that was only read was written");
    tally.add("only_read", 1);
    Ok(())
}

/// The store's file and the segments of its log.
fn files_of(file: &Path) -> Result<BTreeMap<OsString, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(file.parent().context("no folder")?)? {
        let entry = entry?;
        files.insert(entry.file_name(), std::fs::read(entry.path())?);
    }
    Ok(files)
}
