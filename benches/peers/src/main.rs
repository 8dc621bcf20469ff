//! The same appends by durable-session and by what a user would pick instead, in one interleaved run.
//!
//! Every row is a durable append of a 400-byte message, or a load; the medians of all rounds are printed, and what
//! the fastest tenth took, since a disk that others use syncs now fast, now slow. Every peer syncs
//! each commit to the disk: what it says of itself at run time is printed, and a peer that would not sync is an error.

mod compare;
mod io;
mod peer;
mod rows;
mod sustained;

use anyhow::{Context, Result};
use clap::Parser;
use rows::Rows;
use std::path::PathBuf;
use sustained::Load;
use tokio::runtime::Runtime;

#[derive(Debug, Parser)]
struct Options {
    /// Fewer rounds: a first impression rather than a figure.
    #[arg(long)]
    quick: bool,
    /// Instead: 64 callers over 20,000 sessions for so many minutes, by turns with rusqlite.
    #[arg(long, value_name = "MINUTES")]
    sustained: Option<f64>,
    /// With --sustained: how much memory the live sessions may have, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    memory: u64,
    /// With --sustained: each session is deleted when it has so many messages, and begins anew.
    #[arg(long, value_name = "MESSAGES", value_parser = clap::value_parser!(u64).range(1..))]
    keep: Option<u64>,
    /// Write the figures to this file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The files are made in each of them by turns.
    #[arg(required = true, value_name = "FOLDER")]
    folders: Vec<PathBuf>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let runtime = Runtime::new()?;
    let mut rows = Rows::default();
    for folder in &options.folders {
        match options.sustained {
            Some(minutes) => {
                let load = Load { minutes, memory: options.memory << 20, keep: options.keep };
                sustained::run(&runtime, folder, load, &mut rows)?;
            }
            None => compare::run(&runtime, folder, if options.quick { 200 } else { 2_000 }, &mut rows)?,
        }
    }
    match &options.json {
        Some(path) => {
            std::fs::write(path, rows.json()?).with_context(|| format!("could not write {}", path.display()))
        }
        None => Ok(()),
    }
}
