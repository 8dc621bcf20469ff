//! Bytes written for each append in the long run, while the sessions grow, and their parts.
//!
//! On a simulated disk and at a tenth of the size: 2,000 sessions in place of 20,000, and logs of a
//! tenth. From one flush to the next a session gets as many messages as at full size, and the cost
//! of a flush depends on that.

use super::{append, exact, filled};
use anyhow::Result;
use benches::{Bound, Line, Plot, Report, SeriesLabelPosition};
use durable_session::{ChatSession, ChatSessions};
use durable_session_redb::RedbStore;
use testkit::disk::Disk;

/// How long the sessions become, and how many of these messages are one step.
const MESSAGES: usize = 600;
const STEP: usize = 100;

/// The size of the log unless one sets it.
const DEFAULT_MIB: u64 = 256;

/// Bytes written and batches made for each append, by the length of the sessions and the size
/// of the log.
pub(super) fn steady(report: &mut Report) -> Result<()> {
    if !report.wants("append.counts.steady") {
        return Ok(());
    }
    let smaller = if report.options().quick { 100 } else { 10 };
    let sessions = 20_000 / smaller;
    let unflushed = unflushed(report)?;
    let mut lines = Vec::new();
    for (mib, at_once) in [(64, 64), (DEFAULT_MIB, 64), (512, 64), (DEFAULT_MIB, 128)] {
        let mut run = Run::start(sessions, (mib << 20) / smaller as u64)?;
        let mut points = Vec::new();
        for messages in (STEP..=MESSAGES).step_by(STEP) {
            let written = run.append(at_once, sessions * STEP)?;
            points.push((exact(messages), written.bytes));
            let flushing = written.bytes - unflushed.at(written.batches);
            let size = if mib == DEFAULT_MIB { String::new() } else { format!("log-{mib}-mib.") };
            if (mib, at_once) == (DEFAULT_MIB, 64) || messages == MESSAGES {
                let name = |what: &str| {
                    format!("append.counts.{at_once}.{size}{what}.at-{messages}-messages")
                };
                report.add(
                    name("bytes-written"),
                    written.bytes,
                    "per append",
                    Bound::AtMost(3072.0),
                );
                report.add(name("batches"), written.batches, "per append", Bound::None);
                report.add(name("flushing"), flushing, "per append", Bound::None);
            }
        }
        if at_once == 64 {
            lines.push(Line { name: format!("log of {mib} MiB"), points });
        }
    }
    report.plot(&Plot {
        file: "steady",
        caption: &format!(
            "The longer the sessions, the more bytes each append writes, \
             and the larger the log, the fewer (64 callers, bodies of 400 bytes, \
             flushes included; {sessions} sessions, the log 1/{smaller} of its size)"
        ),
        x: "messages in each session",
        y: "bytes written per append",
        legend: SeriesLabelPosition::LowerRight,
        lines: &lines,
    })
}

/// Bytes written while nothing is flushed: so many for each batch, and so many for each
/// append.
#[derive(Clone, Copy)]
struct Unflushed {
    batch: f64,
    append: f64,
}

impl Unflushed {
    /// The line that is nearest to the bytes that were written.
    fn fit(all: &[Written]) -> Self {
        let count = exact(all.len());
        let mean = |of: fn(&Written) -> f64| all.iter().map(of).sum::<f64>() / count;
        let (x, y) = (mean(|w| w.batches), mean(|w| w.bytes));
        let together: f64 = all.iter().map(|w| (w.batches - x) * (w.bytes - y)).sum();
        let alone: f64 = all.iter().map(|w| (w.batches - x).powi(2)).sum();
        let batch = together / alone;
        Self { batch, append: y - batch * x }
    }

    /// Bytes for each append.
    fn at(self, batches: f64) -> f64 {
        self.append + self.batch * batches
    }
}

/// Measures with a log that never becomes full. In a quick run, too, since the bytes that a
/// batch writes to the log depend on how much is in it.
fn unflushed(report: &mut Report) -> Result<Unflushed> {
    let sessions = 2_000;
    let mut all = Vec::new();
    for at_once in [1, 16, 64, 256] {
        let written = Run::start(sessions, u64::MAX)?.append(at_once, 20 * sessions)?;
        let name = |what| format!("append.counts.{at_once}.{what}.nothing-flushed");
        report.add(name("bytes-written"), written.bytes, "per append", Bound::None);
        report.add(name("batches"), written.batches, "per append", Bound::None);
        // A lone append fills up to a multiple of 64 bytes; the others share one batch.
        if at_once > 1 {
            all.push(written);
        }
    }
    let unflushed = Unflushed::fit(&all);
    report.add("append.counts.a-batch", unflushed.batch, "bytes", Bound::None);
    report.add("append.counts.a-logged-append", unflushed.append, "bytes", Bound::None);
    Ok(unflushed)
}

/// The bytes that one step wrote, for each append.
struct Written {
    bytes: f64,
    batches: f64,
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
        let store =
            RedbStore::builder().log_bytes(log_bytes).open_backend(disk.backend(), disk.log())?;
        let registry: ChatSessions = ChatSessions::builder(store.clone()).build();
        let handles = filled(&registry, sessions)?;
        Ok(Self { disk, store, handles, next: 0 })
    }

    fn append(&mut self, at_once: usize, appends: usize) -> Result<Written> {
        let counts = || (self.disk.counts().bytes_written, self.store.stats().batches);
        let before = counts();
        append(&self.handles, at_once, &(self.next..self.next + appends))?;
        let after = counts();
        self.next += appends;
        let each = |after: u64, before: u64| exact(after - before) / exact(appends);
        Ok(Written { bytes: each(after.0, before.0), batches: each(after.1, before.1) })
    }
}

#[cfg(test)]
mod tests {
    use super::{Unflushed, Written};

    #[test]
    fn a_line_goes_through_its_points() {
        let on_it = |batches| Written { bytes: 500.0 + 28_000.0 * batches, batches };
        let fit = Unflushed::fit(&[0.06, 0.016, 0.004].map(on_it));
        assert!((fit.batch - 28_000.0).abs() < 1e-6 && (fit.append - 500.0).abs() < 1e-6);
        assert!((fit.at(0.5) - 14_500.0).abs() < 1e-6);
    }
}
