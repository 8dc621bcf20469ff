//! Starts the processes, one after the other, and collects their results.

use crate::results::{Record, Results};
use crate::values::Values;
use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The figures to measure.
    #[arg(required = true)]
    pub(super) figures: Vec<Figure>,
    /// An earlier build of this program; its figures are called `before`.
    #[arg(long, value_name = "PROGRAM")]
    before: Option<PathBuf>,
    /// Only these of the peers.
    #[arg(long, value_name = "PEER", value_delimiter = ',')]
    only: Vec<String>,
    /// How many rounds each short figure has.
    #[arg(long, default_value_t = 5)]
    pub(super) rounds: u32,
    /// How long one round of `sustained` and `deletes` lasts.
    #[arg(long, default_value_t = 600.0)]
    pub(super) seconds: f64,
    /// How many rounds `sustained` and `deletes` have.
    #[arg(long, default_value_t = 1)]
    pub(super) long_rounds: u32,
    /// The sizes of the files that `opening` opens, in MB.
    #[arg(long, value_name = "MB", value_delimiter = ',', default_values_t = [100, 1_000, 4_000])]
    pub(super) sizes: Vec<u64>,
    /// Keeps each result as a line of this file, and goes on with an earlier run of it.
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// A folder on the disk.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub(super) disk: PathBuf,
    /// A folder in memory.
    #[arg(long, value_name = "FOLDER", default_value = "/dev/shm")]
    memory: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Figure {
    /// One append after the other, on disk and in memory.
    Lone,
    /// 64 tasks, on disk and in memory.
    Tasks,
    /// 64 callers over 20,000 sessions that only grow.
    Sustained,
    /// The same with sessions that are deleted at 100 messages.
    Deletes,
    /// Opening files that are not in the page cache.
    Opening,
    /// A lone append while a flush runs.
    Flush,
    /// 20,000 sessions created, appended to and deleted.
    Cycle,
    /// The store's memory beside redb's cache.
    Memory,
    /// 64 replies at 100 tokens per second, two followers each.
    Replies,
    /// One reply of 5,000 to 40,000 chunks.
    LongReply,
}

/// One peer: a program, and the name by which it knows the peer.
#[derive(Debug, Clone)]
pub(super) struct Side {
    pub(super) label: &'static str,
    program: PathBuf,
    name: &'static str,
}

pub(super) const BEFORE: &str = "before";
pub(super) const OURS: &str = "ours";
pub(super) const BARE: &str = "bare-log";
/// On the caller's thread.
pub(super) const RUSQLITE: &str = "rusqlite";
pub(super) const BLOCKING: &str = "rusqlite-spawn-blocking";
/// 64 appends in each transaction.
pub(super) const GATHERED: &str = "rusqlite-64-per-transaction";

pub(super) const DISK: &str = "disk";
pub(super) const TMPFS: &str = "tmpfs";

/// The options, and the results so far.
pub(super) struct Run<'a> {
    pub(super) options: &'a Options,
    pub(super) results: Results,
}

impl<'a> Run<'a> {
    pub(super) fn new(options: &'a Options) -> Result<Self> {
        let results = options.results.as_deref();
        let results = results.map_or_else(|| Ok(Results::default()), Results::open)?;
        Ok(Self { options, results })
    }

    /// Measures these peers by turns.
    pub(super) fn rounds(
        &mut self,
        figure: &str,
        place: &str,
        peers: &[&'static str],
        rounds: u32,
        args: &[&str],
    ) -> Result<()> {
        let mut sides = self.sides(peers)?;
        let labels: Vec<_> = sides.iter().map(|side| side.label).collect();
        println!("{figure} {place}, load {}", load_average());
        for round in 1..=rounds {
            for side in &sides {
                if self.results.has(figure, place, side.label, round) {
                    continue;
                }
                let folder = TempDir::new_in(self.folder(place))?;
                let values = self.child(side, folder.path(), args)?;
                self.keep(figure, place, side, round, values)?;
            }
            // Each takes its turn at being first.
            sides.rotate_left(1);
        }
        self.results.print_medians(figure, place, &labels);
        Ok(())
    }

    pub(super) fn keep(
        &mut self,
        figure: &str,
        place: &str,
        side: &Side,
        round: u32,
        mut values: Values,
    ) -> Result<()> {
        // Of the last minute: it shows in which rounds others used the machine.
        if let Some(load) = load_average().split(' ').next().and_then(|load| load.parse().ok()) {
            values.set("load", load);
        }
        let (figure, place, peer) = (figure.to_owned(), place.to_owned(), side.label.to_owned());
        self.results.add(Record { figure, place, peer, round, values })
    }

    fn folder(&self, place: &str) -> &Path {
        if place == TMPFS { &self.options.memory } else { &self.options.disk }
    }

    pub(super) fn sides(&self, labels: &[&'static str]) -> Result<Vec<Side>> {
        let own = std::env::current_exe().context("this program does not know its own path")?;
        let mut sides = Vec::new();
        for &label in labels {
            let only = &self.options.only;
            if !only.is_empty() && !only.iter().any(|name| name == label) {
                continue;
            }
            let (program, name) = match (label, &self.options.before) {
                (BEFORE, Some(before)) => (before.clone(), "durable-session"),
                (BEFORE, None) => continue,
                (OURS, _) => (own.clone(), "durable-session"),
                (BARE, _) => (own.clone(), "bare-log"),
                (BLOCKING, _) => (own.clone(), "rusqlite-blocking"),
                _ => (own.clone(), "rusqlite"),
            };
            sides.push(Side { label, program, name });
        }
        Ok(sides)
    }

    pub(super) fn command(side: &Side, folder: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(&side.program);
        command.args(["child", "--peer", side.name, "--folder"]).arg(folder).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    /// Runs one measurement to its end.
    #[expect(clippy::unused_self, reason = "a step of the run, as the others")]
    pub(super) fn child(&self, side: &Side, folder: &Path, args: &[&str]) -> Result<Values> {
        let output = Self::command(side, folder, args).stderr(Stdio::inherit()).output();
        let output =
            output.with_context(|| format!("could not start {}", side.program.display()))?;
        ensure!(output.status.success(), "{} {args:?} failed: {}", side.label, output.status);
        let text = String::from_utf8(output.stdout)?;
        serde_json::from_str(&text).with_context(|| format!("{} says {text:?}", side.label))
    }
}

fn load_average() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}
