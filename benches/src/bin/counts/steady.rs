//! Bytes written for each append in the long run, while the sessions grow, and what they are made of.
//!
//! On a simulated disk and at a tenth of the size: 2,000 sessions in place of 20,000, and logs of a tenth. From one fold to
//! the next a session gets as many messages as at full size, and what a fold costs depends on that.

use super::{append, exact, filled};
use anyhow::Result;
use benches::{Bound, Line, Plot, Report, SeriesLabelPosition};
use durable_session::{ChatSession, ChatSessions};
use durable_session_redb::RedbStore;
use torture_disk::Disk;

/// How long the sessions become, and how many of these messages are one step.
const MESSAGES: usize = 600;
const STEP: usize = 100;

/// The logs' size unless one sets it.
const DEFAULT_MIB: u64 = 64;

/// Bytes written and transactions made for each append, by the length of the sessions and the size of the logs.
pub(super) fn steady(report: &mut Report) -> Result<()> {
    if !report.wants("append.counts.steady") {
        return Ok(());
    }
    let smaller = if report.options().quick { 100 } else { 10 };
    let sessions = 20_000 / smaller;
    let unfolded = unfolded(report)?;
    let mut lines = Vec::new();
    for (mib, at_once) in [(32, 64), (DEFAULT_MIB, 64), (96, 64), (128, 64), (DEFAULT_MIB, 128)] {
        let mut run = Run::start(sessions, (mib << 20) / smaller as u64)?;
        let mut points = Vec::new();
        for messages in (STEP..=MESSAGES).step_by(STEP) {
            let written = run.append(at_once, sessions * STEP)?;
            points.push((exact(messages), written.bytes));
            let folding = written.bytes - unfolded.at(written.transactions);
            let size = if mib == DEFAULT_MIB { String::new() } else { format!("logs-{mib}-mib.") };
            if (mib, at_once) == (DEFAULT_MIB, 64) || messages == MESSAGES {
                let name =
                    |what: &str| format!("append.counts.{at_once}.{size}{what}.at-{messages}-messages");
                report.add(name("bytes-written"), written.bytes, "per append", Bound::AtMost(3072.0));
                report.add(name("transactions"), written.transactions, "per append", Bound::None);
                report.add(name("folding"), folding, "per append", Bound::None);
            }
        }
        // Between 64 and 128 MiB there is no room for the numbers of another line.
        if at_once == 64 && mib != 96 {
            lines.push(Line { name: format!("logs of {mib} MiB"), points });
        }
    }
    report.plot(&Plot {
        file: "steady",
        caption: &format!(
            "The longer the sessions, the more bytes each append writes, and the larger the logs, the fewer \
             (64 callers, bodies of 400 bytes, folding included; {sessions} sessions, logs of 1/{smaller} of the size)"
        ),
        x: "messages in each session",
        y: "bytes written per append",
        legend: SeriesLabelPosition::LowerRight,
        lines: &lines,
    })
}

/// What is written while nothing is folded: so much for each transaction, and so much for each append.
#[derive(Clone, Copy)]
struct Unfolded {
    transaction: f64,
    append: f64,
}

impl Unfolded {
    /// The line that is nearest to what was written.
    fn fit(all: &[Written]) -> Self {
        let count = exact(all.len());
        let mean = |of: fn(&Written) -> f64| all.iter().map(of).sum::<f64>() / count;
        let (x, y) = (mean(|w| w.transactions), mean(|w| w.bytes));
        let together: f64 = all.iter().map(|w| (w.transactions - x) * (w.bytes - y)).sum();
        let alone: f64 = all.iter().map(|w| (w.transactions - x).powi(2)).sum();
        let transaction = together / alone;
        Self { transaction, append: y - transaction * x }
    }

    /// Bytes for each append.
    fn at(self, transactions: f64) -> f64 {
        self.append + self.transaction * transactions
    }
}

/// Measures with logs that never become full. In a quick run, too, since what a transaction writes of a log depends on how
/// much is in it.
fn unfolded(report: &mut Report) -> Result<Unfolded> {
    let sessions = 2_000;
    let mut all = Vec::new();
    for at_once in [1, 16, 64, 256] {
        let written = Run::start(sessions, u64::MAX)?.append(at_once, 20 * sessions)?;
        let name = |what| format!("append.counts.{at_once}.{what}.nothing-folded");
        report.add(name("bytes-written"), written.bytes, "per append", Bound::None);
        report.add(name("transactions"), written.transactions, "per append", Bound::None);
        // A lone append has a page of the log to itself; the others share full ones.
        if at_once > 1 {
            all.push(written);
        }
    }
    let unfolded = Unfolded::fit(&all);
    report.add("append.counts.a-transaction", unfolded.transaction, "bytes", Bound::None);
    report.add("append.counts.a-logged-append", unfolded.append, "bytes", Bound::None);
    Ok(unfolded)
}

/// What one step wrote, for each append.
struct Written {
    bytes: f64,
    transactions: f64,
}

/// A store on a disk of its own, and how far it is.
struct Run {
    disk: Disk,
    store: RedbStore,
    handles: Vec<ChatSession>,
    next: usize,
}

impl Run {
    fn start(sessions: usize, log_bytes: u64) -> Result<Self> {
        let disk = Disk::default();
        let store = RedbStore::builder().log_bytes(log_bytes).open_backend(disk.backend())?;
        let hub: ChatSessions = ChatSessions::builder(store.clone()).build();
        let handles = filled(&hub, sessions)?;
        Ok(Self { disk, store, handles, next: 0 })
    }

    fn append(&mut self, at_once: usize, appends: usize) -> Result<Written> {
        let counts = || (self.disk.counts().bytes_written, self.store.stats().transactions);
        let before = counts();
        append(&self.handles, at_once, &(self.next..self.next + appends))?;
        let after = counts();
        self.next += appends;
        let each = |after: u64, before: u64| exact(after - before) / exact(appends);
        Ok(Written { bytes: each(after.0, before.0), transactions: each(after.1, before.1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_through_what_is_on_it() {
        let on_it = |transactions| Written { bytes: 500.0 + 28_000.0 * transactions, transactions };
        let fit = Unfolded::fit(&[0.06, 0.016, 0.004].map(on_it));
        assert!((fit.transaction - 28_000.0).abs() < 1e-6 && (fit.append - 500.0).abs() < 1e-6);
        assert!((fit.at(0.5) - 14_500.0).abs() < 1e-6);
    }
}
