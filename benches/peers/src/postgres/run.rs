//! The rounds: each peer in its turn, in a process of its own.

use super::server::Server;
use crate::results::{Record, Results};
use crate::values::{Short, Values};
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tokio::runtime::Runtime;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A server on this machine, by a role that is a superuser. The schema `peer` in it is dropped
    /// and made anew.
    #[arg(long)]
    url: String,
    /// How many append at once.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 16, 64, 256])]
    callers: Vec<usize>,
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// How long each peer appends in each round.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Runs `python/postgres.py`, too, by this interpreter.
    #[arg(long, value_name = "PROGRAM")]
    python: Option<PathBuf>,
    /// Measures instead how much the tables beside the messages grow in so many minutes.
    #[arg(long, value_name = "MINUTES", conflicts_with = "python")]
    growth: Option<f64>,
    /// Keeps each result as a line of this file, and goes on with an earlier run of it.
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
}

const OURS: &str = "durable-session";
const NAIVE: &str = "tokio-postgres";
const SNAPSHOT: &str = "durable-session, old snapshot";
const COLD: &str = "durable-session, cold";
const SAVER: &str = "PostgresSaver";
const PEERS: [&str; 4] = [OURS, NAIVE, "sqlx", "tower-sessions"];
const PLACE: &str = "postgres";
const HINTS: &str = "hints";

/// The callers whose server times, syncs and WAL are compared.
const COMPARED: usize = 64;

pub(crate) fn run(options: &Options) -> Result<()> {
    let settings = Runtime::new()?
        .block_on(async { Server::connect(&options.url).await?.settings().await })?;
    println!("{settings}");
    let results =
        options.results.as_deref().map_or_else(|| Ok(Results::default()), Results::open)?;
    let mut run = Run { options, results };
    if let Some(minutes) = options.growth {
        return run.growth(minutes);
    }
    for &callers in &options.callers {
        run.callers(callers)?;
    }
    run.lengths()?;
    run.hints()?;
    println!();
    run.print();
    Ok(())
}

struct Run<'a> {
    options: &'a Options,
    results: Results,
}

impl Run<'_> {
    fn callers(&mut self, callers: usize) -> Result<()> {
        let figure = format!("{callers} callers");
        let (callers_arg, seconds) = (callers.to_string(), self.options.seconds.to_string());
        let args = ["callers", "--callers", &callers_arg, "--seconds", &seconds];
        let mut peers: Vec<&'static str> = PEERS.to_vec();
        if callers == COMPARED {
            peers.extend([SNAPSHOT, COLD]);
        }
        if self.options.python.is_some() {
            peers.push(SAVER);
        }
        for round in 1..=self.options.rounds {
            for &peer in &peers {
                if self.results.has(&figure, PLACE, peer, round) {
                    continue;
                }
                let values = match (peer, &self.options.python) {
                    (SAVER, Some(python)) => self.saver(python, &callers_arg, &seconds)?,
                    (SNAPSHOT, _) => self.child(OURS, &[&args[..], &["--snapshot"]].concat())?,
                    (COLD, _) => self.child(OURS, &[&args[..], &["--cold"]].concat())?,
                    _ => self.child(peer, &args)?,
                };
                self.keep(&figure, peer, round, values)?;
            }
            // Each takes its turn at being first.
            peers.rotate_left(1);
        }
        self.results.print_medians(&figure, PLACE, &peers);
        Ok(())
    }

    /// Lone appends to a short and to a long session.
    fn lengths(&mut self) -> Result<()> {
        for round in 1..=self.options.rounds {
            for messages in ["10", "100000"] {
                let figure = format!("{messages} messages");
                if !self.results.has(&figure, PLACE, OURS, round) {
                    let args = ["long", "--messages", messages, "--appends", "5000"];
                    let values = self.child(OURS, &args)?;
                    self.keep(&figure, OURS, round, values)?;
                }
            }
        }
        Ok(())
    }

    /// How long until another process sees a change.
    fn hints(&mut self) -> Result<()> {
        for round in 1..=self.options.rounds {
            if !self.results.has(HINTS, PLACE, OURS, round) {
                let values = self.child(OURS, &["hints", "--changes", "200"])?;
                self.keep(HINTS, OURS, round, values)?;
            }
        }
        Ok(())
    }

    /// 64 callers for so long, after one second of the same.
    fn growth(&mut self, minutes: f64) -> Result<()> {
        for (figure, seconds) in [("growth, at first", 1.0), ("growth, in the end", minutes * 60.0)]
        {
            let args = ["callers", "--callers", "64", "--seconds", &seconds.to_string()];
            if !self.results.has(figure, PLACE, OURS, 1) {
                let values = self.child(OURS, &args)?;
                self.keep(figure, OURS, 1, values)?;
            }
        }
        let bytes = |figure| self.results.medians(figure, PLACE, OURS).get("other_tables_bytes");
        let by = bytes("growth, in the end").zip(bytes("growth, at first"));
        let by = by.map_or("–".to_owned(), |(end, first)| Short(end / first).to_string());
        println!("the tables beside the messages grew by a factor of {by} (bar: ≤ 1.5)");
        Ok(())
    }

    fn keep(&mut self, figure: &str, peer: &str, round: u32, values: Values) -> Result<()> {
        let (figure, place, peer) = (figure.to_owned(), PLACE.to_owned(), peer.to_owned());
        self.results.add(Record { figure, place, peer, round, values })
    }

    fn child(&self, peer: &str, args: &[&str]) -> Result<Values> {
        let own = std::env::current_exe().context("this program does not know its own path")?;
        let mut command = Command::new(own);
        command.args(["postgres-child", "--peer", peer, "--url", &self.options.url]).args(args);
        values(command, peer)
    }

    fn saver(&self, python: &Path, callers: &str, seconds: &str) -> Result<Values> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/postgres.py");
        let mut command = Command::new(python);
        command.arg(script).args([&self.options.url, callers, seconds]);
        values(command, SAVER)
    }

    fn print(&self) {
        let all: Vec<&str> = PEERS.into_iter().chain([SNAPSHOT, COLD, SAVER]).collect();
        println!("| appends per second (p50, ms) | {} |", all.join(" | "));
        println!("|---|{}", "---|".repeat(all.len()));
        for callers in &self.options.callers {
            let figure = format!("{callers} callers");
            let cells = all.iter().map(|peer| {
                let medians = self.results.medians(&figure, PLACE, peer);
                let pair = medians.get("appends_per_s").zip(medians.get("p50_us"));
                pair.map_or("–".to_owned(), |(rate, p50)| {
                    format!("{} ({})", Short(rate), Short(p50 / 1_000.0))
                })
            });
            println!("| {callers} | {} |", cells.collect::<Vec<_>>().join(" | "));
        }
        println!("\n| figure | ours / tokio-postgres | bar | verdict |\n|---|---|---|---|");
        for (callers, bar) in [(1, 0.8), (4, 0.8), (16, 0.9), (64, 2.0), (256, 3.5)] {
            let figure = format!("{callers} callers");
            let name = format!("{callers} callers: throughput");
            row(&name, self.ratio(&figure, OURS, NAIVE, "appends_per_s"), bar, true);
        }
        let compared = format!("{COMPARED} callers");
        for (name, value, bar) in
            [("server CPU", "server_us", 0.4), ("syncs", "syncs", 0.4), ("WAL", "wal_bytes", 1.0)]
        {
            let name = format!("{COMPARED} callers: {name} per append");
            row(&name, self.ratio(&compared, OURS, NAIVE, value), bar, false);
        }
        let held = self.ratio(&compared, SNAPSHOT, OURS, "appends_per_s");
        row("64 callers: with an old snapshot / without", held, 0.9, true);
        let p50 = |figure| self.results.medians(figure, PLACE, OURS).get("p50_us");
        let long = p50("100000 messages").zip(p50("10 messages")).map(|(long, short)| long / short);
        row("p50 at 100,000 messages / at 10", long, 1.2, false);
        let hints = self.results.medians(HINTS, PLACE, OURS).get("p99_us").map(|us| us / 1_000.0);
        row("a change is seen by another process, p99, ms", hints, 100.0, false);
    }

    fn ratio(&self, figure: &str, peer: &str, other: &str, value: &str) -> Option<f64> {
        let get = |peer| self.results.medians(figure, PLACE, peer).get(value);
        Some(get(peer)? / get(other)?)
    }
}

fn row(name: &str, is: Option<f64>, bar: f64, at_least: bool) {
    let met = is.map(|is| if at_least { is >= bar } else { is <= bar });
    let verdict = met.map_or("not measured", |met| if met { "met" } else { "**missed**" });
    let is = is.map_or("–".to_owned(), |is| Short(is).to_string());
    println!("| {name} | {is} | {} {bar} | {verdict} |", if at_least { "≥" } else { "≤" });
}

/// The figures that a process prints as a line of JSON.
fn values(mut command: Command, peer: &str) -> Result<Values> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("could not start {peer}"))?;
    ensure!(output.status.success(), "{peer} failed: {}", output.status);
    let text = String::from_utf8(output.stdout)?;
    serde_json::from_str(&text).with_context(|| format!("{peer} says {text:?}"))
}
