//! Replays recorded conversations into a store like a live service, then compares every message.
//!
//! After a kill, the next run goes on from the stored messages. A conversation that cannot be
//! stored is named and skipped. The last line is the verdict, and so is the exit code: 0 if
//! everything was stored, 1 if a message was lost, doubled or out of order, 2 if nothing or only a
//! part was stored.

mod add;
#[cfg(test)]
mod failing;
mod faults;
mod input;
mod store;
mod told;
mod verify;

use anyhow::{Result, bail};
use clap::Parser;
use input::Conversations;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use store::{Opened, StoreKind};
use told::Told;
use verify::Verified;

#[derive(Debug, Parser)]
#[command(
    about = "Add recorded conversations to a store, reopen it, and compare every message",
    after_help = "Exit codes: 0 everything was stored; 1 a message was lost, doubled or out of \
                  order; 2 nothing or only a part was stored."
)]
struct Cli {
    /// JSON Lines or one JSON array, plain or gzipped: {"id": "...", "messages": [{"role",
    /// "content", ...}, ...]}.
    file: PathBuf,
    /// The file of the store redb; created if it does not exist.
    #[arg(long, value_name = "PATH", default_value = "replay.redb")]
    db: PathBuf,
    /// Where to keep the sessions: redb, memory, or postgres:URL of a database.
    #[arg(long, default_value = "redb")]
    store: StoreKind,
    /// How many messages are added at the same time.
    #[arg(
        long,
        value_name = "N",
        default_value = "64",
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    in_flight: u16,
    /// Add nothing if any conversation of the file cannot be read.
    #[arg(long)]
    strict: bool,
    /// Print a line for each message that is sent and for each that is acknowledged, for a parent
    /// process that keeps a journal.
    #[arg(long)]
    acks: bool,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    AllStored,
    Faulty,
    NotAll,
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        Self::from(match verdict {
            Verdict::AllStored => 0,
            Verdict::Faulty => 1,
            Verdict::NotAll => 2,
        })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let verdict = run(Cli::parse()).await.unwrap_or_else(|error| {
        eprintln!("replay: {error:#}");
        Verdict::NotAll
    });
    verdict.into()
}

async fn run(cli: Cli) -> Result<Verdict> {
    let mut told = Told::new("reading");
    if cli.strict {
        read_all(&cli, &told).await?;
    }
    told = told.pass("adding");
    let conversations = Conversations::open(&cli.file, &told.progress)?;
    let opened = Opened::open(&cli.store, &cli.db).await?;
    let started = Instant::now();
    let work = add::Work::new(opened.sessions(), told.clone(), cli.acks);
    let done = Arc::clone(&work.done);
    let ran = work.run(conversations, usize::from(cli.in_flight)).await;
    let seconds = started.elapsed().as_secs_f64();
    let added = done.added.load(Ordering::Relaxed);

    told = told.pass("comparing");
    let verified = match ran {
        Ok(()) => verify(opened, &cli, &told, done.read.load(Ordering::Relaxed)).await,
        Err(error) => Err(error),
    };
    told.progress.finish_and_clear();
    let Verified { conversations, messages, faults, .. } = verified.inspect_err(|_| {
        println!(
            "stopped sessions={} messages={} skipped={}",
            done.conversations.load(Ordering::Relaxed),
            done.messages.load(Ordering::Relaxed),
            told.skipped(),
        );
    })?;
    let skipped = told.skipped();
    if messages == 0 && skipped == 0 {
        eprintln!("{} has no messages: nothing was stored", cli.file.display());
    }
    #[allow(clippy::cast_precision_loss, reason = "a rate, for reading")]
    let rate = if added == 0 { 0.0 } else { added as f64 / seconds };
    println!(
        "verified sessions={conversations} messages={messages} lost={} duplicated={} reordered={} \
         appends_per_s={rate:.0} skipped={skipped}",
        faults.lost, faults.duplicated, faults.reordered,
    );
    Ok(match () {
        () if !faults.none() => Verdict::Faulty,
        () if messages == 0 || skipped > 0 => Verdict::NotAll,
        () => Verdict::AllStored,
    })
}

/// Reads the file once for `--strict`, and fails if any conversation cannot be read.
async fn read_all(cli: &Cli, told: &Told) -> Result<()> {
    let conversations = Conversations::open(&cli.file, &told.progress)?;
    let reading = told.clone();
    tokio::task::spawn_blocking(move || {
        conversations.filter_map(Result::err).for_each(|skipped| reading.skip(None, &skipped));
    })
    .await?;
    match told.skipped() {
        0 => Ok(()),
        skipped => bail!(
            "{skipped} conversations cannot be read, and --strict was given: nothing was added"
        ),
    }
}

/// Opens the store again, reads the file again, and compares them.
async fn verify(opened: Opened, cli: &Cli, told: &Told, read: u64) -> Result<Verified> {
    let reopened = opened.reopen().await?;
    let conversations = Conversations::open(&cli.file, &told.progress)?;
    let verified = verify::all(&reopened.sessions(), conversations, told).await?;
    reopened.close().await?;
    if verified.read != read {
        bail!(
            "{} changed during the run: it had {read} conversations, now it has {}",
            cli.file.display(),
            verified.read
        );
    }
    Ok(verified)
}
