//! The cost of adding a message durably, through the whole stack, against redb by hand.

use anyhow::Result;
use benches::{Bound, Line, Plot, Report, SeriesLabelPosition, id, median, message};
use durable_session::{ChatSession, ChatSessions};
use durable_session_redb::RedbStore;
use futures_executor::block_on;
use futures_util::future::try_join_all;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tempfile::TempDir;
use testkit::ByHand;

/// Both sides, over the same sessions, in two files of one folder.
struct Pair {
    by_hand: ByHand,
    sessions: Vec<ChatSession>,
    body: Vec<u8>,
    next: usize,
    _folder: TempDir,
}

impl Pair {
    fn new(folder: &Path, sessions: usize) -> Result<Self> {
        let folder = TempDir::new_in(folder)?;
        let mut by_hand = ByHand::create(&folder.path().join("by-hand.redb"), sessions)?;
        let registry: ChatSessions =
            ChatSessions::builder(RedbStore::open(folder.path().join("store.redb"))?).build();
        let handles =
            (0..sessions).map(|n| Ok(registry.session(id(n)?))).collect::<Result<Vec<_>>>()?;
        let body = message().as_json().as_bytes().to_vec();
        let all: Vec<usize> = (0..sessions).collect();
        for some in all.chunks(500) {
            by_hand.append(some, &body)?;
            block_on(try_join_all(some.iter().map(|&n| handles[n].add_message(message()))))?;
        }
        Ok(Self { by_hand, sessions: handles, body, next: 1, _folder: folder })
    }

    /// So many sessions, scattered over all of them and each one once.
    fn choose(&mut self, count: usize) -> Vec<usize> {
        let all = self.sessions.len();
        // A stride without a common divisor with round numbers visits every session.
        let chosen = (0..count).map(|n| (self.next + n * 7919) % all).collect();
        self.next = (self.next + count * 7919) % all;
        chosen
    }

    /// Microseconds per append: by hand in one transaction, and through the stack in as many calls
    /// at once.
    fn round(&mut self, count: usize) -> Result<(f64, f64)> {
        let chosen = self.choose(count);
        let (mut hand, mut ours) = (0.0, 0.0);
        // By turns first: a sync may leave work behind for the next one.
        for by_hand in [self.next.is_multiple_of(2), self.next % 2 == 1] {
            let began = Instant::now();
            if by_hand {
                self.by_hand.append(&chosen, &self.body)?;
                hand = began.elapsed().as_secs_f64();
                continue;
            }
            if let [one] = chosen[..] {
                block_on(self.sessions[one].add_message(message()))?;
            } else {
                block_on(try_join_all(
                    chosen.iter().map(|&n| self.sessions[n].add_message(message())),
                ))?;
            }
            ours = began.elapsed().as_secs_f64();
        }
        let each = 1e6 / f64::from(u32::try_from(count)?);
        Ok((hand * each, ours * each))
    }

    /// The medians of so many rounds.
    fn rounds(&mut self, rounds: usize, count: usize) -> Result<(f64, f64)> {
        let (mut hand, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (by_hand, through) = self.round(count)?;
            hand.push(by_hand);
            ours.push(through);
        }
        Ok((median(&mut hand), median(&mut ours)))
    }
}

fn folders(report: &Report) -> [(&'static str, PathBuf); 2] {
    [("memory", report.options().memory.clone()), ("disk", report.options().out.clone())]
}

/// A lone append; the session changes from call to call.
pub(crate) fn lone(report: &mut Report) -> Result<()> {
    if !report.wants("append.lone") {
        return Ok(());
    }
    for (place, folder) in folders(report) {
        let mut pair = Pair::new(&folder, 2_000)?;
        let rounds = report.rounds(if place == "disk" { 3_000 } else { 20_000 });
        let (hand, ours) = pair.rounds(rounds, 1)?;
        report.add(format!("append.lone.{place}.by-hand"), hand, "µs", Bound::None);
        report.add(format!("append.lone.{place}"), ours, "µs", Bound::None);
        report.add(
            format!("append.lone.{place}/by-hand"),
            ours / hand,
            "ratio",
            Bound::AtMost(1.1),
        );
    }
    fdatasync(report)
}

/// The time of the disk itself for one small durable write.
fn fdatasync(report: &mut Report) -> Result<()> {
    let mut file = tempfile::tempfile_in(&report.options().out)?;
    let mut samples = Vec::new();
    for _ in 0..report.rounds(2_000) {
        samples.push(one_sync(&mut file)?);
    }
    report.add("host.fdatasync", median(&mut samples), "µs", Bound::None);
    Ok(())
}

fn one_sync(file: &mut File) -> Result<f64> {
    file.write_all(&[7; 4096])?;
    let began = Instant::now();
    file.sync_data()?;
    Ok(began.elapsed().as_secs_f64() * 1e6)
}

/// Many sessions at once, over 20,000.
pub(crate) fn together(report: &mut Report) -> Result<()> {
    if !report.wants("append.together") {
        return Ok(());
    }
    let mut pair = Pair::new(&report.options().memory.clone(), 20_000)?;
    let (mut hand, mut ours) = (Vec::new(), Vec::new());
    for count in [1, 4, 16, 64, 256] {
        let rounds = report.rounds(20_000 / (count + 10));
        let (by_hand, through) = pair.rounds(rounds, count)?;
        let at = f64::from(u32::try_from(count)?);
        hand.push((at, 1e6 / by_hand));
        ours.push((at, 1e6 / through));
        if count >= 64 {
            let name = format!("append.together.{count}");
            report.add(format!("{name}.by-hand-batch"), 1e6 / by_hand, "appends/s", Bound::None);
            report.add(name.clone(), 1e6 / through, "appends/s", Bound::None);
            report.add(
                format!("{name}/by-hand-batch"),
                through / by_hand,
                "ratio of time",
                Bound::None,
            );
        }
    }
    report.plot(&Plot {
        file: "throughput",
        caption: "How much of a shared transaction's gain reaches independent callers \
                  (files in memory)",
        x: "appends at once",
        y: "appends per second",
        lines: &[
            Line { name: "durable-session, independent calls".into(), points: ours },
            Line { name: "redb by hand, all in one transaction".into(), points: hand },
        ],
        legend: SeriesLabelPosition::UpperLeft,
    })
}

/// An append to a long session against one to a short one.
pub(crate) fn history(report: &mut Report) -> Result<()> {
    if !report.wants("append.history") {
        return Ok(());
    }
    let folder = TempDir::new_in(&report.options().memory)?;
    let registry: ChatSessions =
        ChatSessions::builder(RedbStore::open(folder.path().join("store.redb"))?).build();
    let lengths: [u32; 5] = [10, 100, 1_000, 10_000, 100_000];
    let mut sessions = Vec::new();
    for length in lengths {
        let session = registry.session(id(length as usize)?);
        let mut left = length as usize;
        while left > 0 {
            let some = left.min(1_000);
            block_on(session.add_messages(vec![message(); some]))?;
            left -= some;
        }
        sessions.push((length, session, Vec::new()));
    }
    // The short one must stay short: after so many, all of them are put back.
    for _ in 0..report.rounds(2_000) {
        for (length, session, samples) in &mut sessions {
            let began = Instant::now();
            block_on(session.add_message(message()))?;
            samples.push(began.elapsed().as_secs_f64() * 1e6);
            block_on(session.rewind_to(u64::from(*length)))?;
        }
    }
    let points: Vec<(f64, f64)> = sessions
        .iter_mut()
        .map(|(length, _, samples)| (f64::from(*length), median(samples)))
        .collect();
    let (short, long) = (points[0].1, points[points.len() - 1].1);
    report.add("append.history.10", short, "µs", Bound::None);
    report.add("append.history.100000", long, "µs", Bound::None);
    report.add("append.history.100000/10", long / short, "ratio", Bound::AtMost(1.05));
    report.plot(&Plot {
        file: "history",
        caption: "An append costs the same whatever the session's length (file in memory)",
        x: "messages in the session",
        y: "µs per append",
        lines: &[Line { name: "durable-session".into(), points }],
        legend: SeriesLabelPosition::LowerRight,
    })
}
