//! Replays recorded conversations into a store, as a live service would add them, and proves the result.
//!
//! Killed and run again, it goes on from what is stored. The last line it prints is the verdict.

mod add;
mod faults;
mod input;
mod store;
mod verify;

use anyhow::{Result, bail};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use input::{Conversation, Input};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;
use store::{Opened, StoreKind};

#[derive(Debug, Parser)]
#[command(about = "Add recorded conversations to a store, reopen it, and compare every message")]
struct Cli {
    /// JSON Lines, plain or gzipped: {"id": "...", "messages": [{"role", "content", "timestamp"}, ...]}.
    file: PathBuf,
    /// The database file, made if it is not there.
    #[arg(long, value_name = "PATH", default_value = "replay.redb")]
    db: PathBuf,
    /// Where to keep the sessions.
    #[arg(long, value_enum, default_value = "redb")]
    store: StoreKind,
    /// How many messages are being added at the same time.
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u16).range(1..))]
    in_flight: u16,
    /// Add nothing if any line of the file is malformed.
    #[arg(long)]
    strict: bool,
    /// Print a line as each message is sent and as it is acknowledged, for a parent process that keeps a journal.
    #[arg(long)]
    acks: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("replay: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<bool> {
    let path = cli.file.clone();
    let input = tokio::task::spawn_blocking(move || input::read(&path)).await??;
    report_malformed(&input);
    if cli.strict && !input.malformed.is_empty() {
        bail!("{} malformed lines, and --strict was given: nothing was added", input.malformed.len());
    }
    let conversations: Arc<[Conversation]> = input.conversations.into();
    let messages: usize = conversations.iter().map(|conversation| conversation.messages.len()).sum();

    let opened = Opened::open(cli.store, &cli.db).await?;
    let started = Instant::now();
    let progress = bar("adding", messages as u64);
    let work = add::Work::new(opened.sessions(), Arc::clone(&conversations), progress.clone(), cli.acks);
    let added = work.run(usize::from(cli.in_flight)).await?;
    progress.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64();

    let reopened = opened.reopen().await?;
    let progress = bar("comparing", messages as u64);
    let faults = verify::all(&reopened.sessions(), &conversations, &progress).await?;
    progress.finish_and_clear();
    reopened.close().await?;

    #[allow(clippy::cast_precision_loss, reason = "a rate, for reading")]
    let rate = if added == 0 { 0.0 } else { added as f64 / seconds };
    println!(
        "verified sessions={} messages={messages} lost={} duplicated={} reordered={} appends_per_s={rate:.0}",
        conversations.len(),
        faults.lost,
        faults.duplicated,
        faults.reordered,
    );
    Ok(faults.none())
}

fn report_malformed(input: &Input) {
    for bad in &input.malformed {
        eprintln!("line {}: {}", bad.line, bad.reason);
    }
    if !input.malformed.is_empty() {
        eprintln!("malformed lines, left out: {}", input.malformed.len());
    }
}

/// A progress bar; it draws nothing when standard error is no terminal.
fn bar(what: &'static str, length: u64) -> ProgressBar {
    let bar = ProgressBar::new(length).with_prefix(what);
    if let Ok(style) =
        ProgressStyle::with_template("{prefix:10} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}")
    {
        bar.set_style(style);
    }
    bar
}
