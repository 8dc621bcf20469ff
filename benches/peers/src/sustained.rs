//! 64 callers over 20,000 sessions for minutes, by turns with SQLite by hand. The sessions only grow, or each is deleted when
//! it has so many messages, and begins anew.

use crate::io;
use crate::peer::{Ours, SqliteByHand, message};
use crate::rows::Rows;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::ops::AddAssign;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const SESSIONS: usize = 20_000;
const CALLERS: usize = 64;
/// How long each has its turn: long, because what a side leaves undone it can do in the other's turn.
const TURN: Duration = Duration::from_secs(30);

/// What both sides do for so long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) minutes: f64,
    /// For live sessions of ours.
    pub(crate) memory: u64,
    /// How many messages a session has when it is deleted; none if it never is.
    pub(crate) keep: Option<u64>,
}

impl Load {
    /// The session of the n-th append: all of them in an order without neighbours.
    fn session(n: u64) -> usize {
        usize::try_from(n * 7919 % SESSIONS as u64).unwrap_or_default()
    }

    /// How many messages the session of the n-th append has afterwards, if it is to be deleted then. In each round as many are.
    fn deletes(&self, n: u64) -> Option<u64> {
        let (keep, round) = (self.keep?, n / SESSIONS as u64);
        (round + Self::session(n) as u64 + 1).is_multiple_of(keep).then(|| (round + 1).min(keep))
    }
}

/// What was done in one turn, or in all turns of a side.
#[derive(Debug, Default, Clone, Copy)]
struct Work {
    appends: u64,
    deletes: u64,
    /// Messages of the sessions that were deleted.
    deleted: u64,
}

impl Work {
    fn append(&mut self, deleted: Option<u64>) {
        self.appends += 1;
        self.deletes += u64::from(deleted.is_some());
        self.deleted += deleted.unwrap_or_default();
    }

    /// How many messages are left.
    fn messages(self) -> u64 {
        self.appends - self.deleted
    }
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.appends += other.appends;
        self.deletes += other.deletes;
        self.deleted += other.deleted;
    }
}

/// What one turn, or all turns of a side, amounted to.
#[derive(Debug, Default, Clone, Copy)]
struct Done {
    work: Work,
    seconds: f64,
    bytes: u64,
}

impl AddAssign for Done {
    fn add_assign(&mut self, other: Self) {
        self.work += other.work;
        self.seconds += other.seconds;
        self.bytes += other.bytes;
    }
}

impl Done {
    #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
    fn per_second(self) -> f64 {
        self.work.appends as f64 / self.seconds
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
    fn bytes_each(self) -> f64 {
        self.bytes as f64 / self.work.appends.max(1) as f64
    }
}

/// Prints a line for each pair of turns, then the sums.
pub(crate) fn run(runtime: &Runtime, place: &Path, load: Load, rows: &mut Rows) -> Result<()> {
    let folder = TempDir::new_in(place)?;
    let (our_file, their_file) = (folder.path().join("ours.redb"), folder.path().join("sqlite.db"));
    let ours = Ours::empty(&our_file, SESSIONS, load.memory)?;
    let mut theirs = SqliteByHand::empty(&their_file)?;
    println!(
        "64 callers over 20,000 sessions in {}, turns of {} s, {} MiB for live sessions, {}",
        place.display(),
        TURN.as_secs(),
        load.memory >> 20,
        load.keep
            .map_or("which only grow".to_owned(), |keep| format!("each deleted when it has {keep} messages")),
    );
    println!(
        "          ---------------------- durable-session ---------------------   ------------- rusqlite, 64 appends a transaction ------------"
    );
    println!(
        "  minute  appends/s  bytes/append  file MB  messages  deletes    loads   appends/s  bytes/append  file and log MB  messages  deletes   ratio"
    );
    let began = Instant::now();
    let (mut our_sum, mut their_sum) = (Done::default(), Done::default());
    let (our_next, mut their_next) = (Arc::new(AtomicU64::new(0)), 0);
    let until = Duration::from_secs_f64(load.minutes * 60.0);
    for turn in 0.. {
        if began.elapsed() >= until {
            break;
        }
        let (mut our_turn, mut their_turn) = (Done::default(), Done::default());
        let (before, loads) = (Written::so_far()?, ours.loads());
        // First by turns, too.
        for first in [turn % 2 == 0, turn % 2 == 1] {
            if first {
                our_turn = measured(|end| many_callers(runtime, &ours, load, &our_next, end))?;
            } else {
                their_turn = measured(|end| gathered(&mut theirs, load, &mut their_next, end))?;
            }
        }
        let after = Written::so_far()?;
        our_turn.bytes = after.by_others - before.by_others;
        their_turn.bytes = after.by_this_thread - before.by_this_thread;
        let loads = ours.loads() - loads;
        our_sum += our_turn;
        their_sum += their_turn;
        let (our_size, their_size) =
            (size(&our_file)?, size(&their_file)? + size(&their_file.with_extension("db-wal"))?);
        let minute = began.elapsed().as_secs_f64() / 60.0;
        println!(
            "{minute:>8.1} {:>10.0} {:>13.0} {:>8} {:>9} {:>8} {loads:>8} {:>11.0} {:>13.0} {:>16} {:>9} {:>8} {:>7.2}",
            our_turn.per_second(),
            our_turn.bytes_each(),
            our_size >> 20,
            our_sum.work.messages(),
            our_turn.work.deletes,
            their_turn.per_second(),
            their_turn.bytes_each(),
            their_size >> 20,
            their_sum.work.messages(),
            their_turn.work.deletes,
            our_turn.per_second() / their_turn.per_second(),
        );
        for (peer, done, sum, size, loads) in [
            ("durable-session", our_turn, our_sum, our_size, Some(loads)),
            ("rusqlite-by-hand", their_turn, their_sum, their_size, None),
        ] {
            rows.add(json!({
                "place": place, "what": "sustained", "peer": peer, "minute": minute, "appends": done.work.appends,
                "appends_per_second": done.per_second(), "bytes_per_append": done.bytes_each(),
                "deletes": done.work.deletes, "messages": sum.work.messages(), "file_bytes": size, "loads": loads,
                "memory": load.memory, "keep": load.keep,
            }));
        }
    }
    for (name, sum) in [("durable-session", our_sum), ("rusqlite-by-hand", their_sum)] {
        println!(
            "peers.sustained.{name:<18} {:>8.0} appends/s {:>8.0} bytes written/append, {} appends and {} deletes in {:.0} s",
            sum.per_second(),
            sum.bytes_each(),
            sum.work.appends,
            sum.work.deletes,
            sum.seconds,
        );
    }
    let ratio = our_sum.per_second() / their_sum.per_second();
    let verdict = if ratio >= 1.5 { "met" } else { "MISSED" };
    println!("peers.sustained/rusqlite {ratio:.2} ratio >=1.5 {verdict}");
    Ok(())
}

/// Lets one side work until a time.
fn measured(work: impl FnOnce(Instant) -> Result<Work>) -> Result<Done> {
    let began = Instant::now();
    let work = work(began + TURN)?;
    Ok(Done { work, seconds: began.elapsed().as_secs_f64(), bytes: 0 })
}

/// Each caller waits for its append, then makes the next one in a session that is far from the last.
fn many_callers(
    runtime: &Runtime,
    ours: &Ours,
    load: Load,
    next: &Arc<AtomicU64>,
    end: Instant,
) -> Result<Work> {
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (sessions, next) = (ours.sessions(), Arc::clone(next));
            runtime.spawn(async move {
                let mut done = Work::default();
                while Instant::now() < end {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let session = &sessions[Load::session(n)];
                    session.add_message(message()).await?;
                    let deletes = load.deletes(n);
                    if deletes.is_some() {
                        ensure!(session.delete().await?, "a session to be deleted was not there");
                    }
                    done.append(deletes);
                }
                Ok(done)
            })
        })
        .collect();
    let mut done = Work::default();
    for caller in callers {
        done += runtime.block_on(caller)??;
    }
    Ok(done)
}

fn gathered(theirs: &mut SqliteByHand, load: Load, next: &mut u64, end: Instant) -> Result<Work> {
    let mut done = Work::default();
    while Instant::now() < end {
        let (mut some, mut old) = (Vec::new(), Vec::new());
        for n in *next..*next + CALLERS as u64 {
            let (session, deletes) = (Load::session(n), load.deletes(n));
            some.push(session);
            old.extend(deletes.map(|_| session));
            done.append(deletes);
        }
        *next += CALLERS as u64;
        theirs.in_one_transaction(&some, &old)?;
    }
    Ok(done)
}

/// Bytes caused to be sent to the storage, on tmpfs 0. SQLite writes in the thread of its caller, which is this one, and the
/// redb store in threads of its own: so each has its own count, also of what it does in the other's turn.
struct Written {
    by_this_thread: u64,
    by_others: u64,
}

impl Written {
    fn so_far() -> Result<Self> {
        let by_this_thread = io::counted("/proc/thread-self/io", "write_bytes")?;
        Ok(Self {
            by_this_thread,
            by_others: io::counted("/proc/self/io", "write_bytes")?.saturating_sub(by_this_thread),
        })
    }
}

fn size(path: &Path) -> Result<u64> {
    Ok(std::fs::metadata(path).with_context(|| format!("no {}", path.display()))?.len())
}
